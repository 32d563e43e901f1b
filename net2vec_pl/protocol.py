"""The choices in which papers and codes differ, by name, with the paper's values as defaults."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from net2vec_pl.errors import ConfigError, unknown

_LR_AREA = 112 * 112
NET2VEC = "net2vec"  # the paper's probe, by gradient descent
SUM = "lda+net2vec"  # the sum of both, each over the spread of its scores
CLOSED_FORM = ("mean_difference", "lda", "ridge", "pattern")  # by probes/closed_form.py


@dataclass(frozen=True)
class ClassificationProtocol:
    """How classifiers are trained; the defaults are those of the paper's stored results.

    Args:
        lr: Learning rate of SGD, for a loss averaged over the examples of a batch.
        momentum: Momentum of SGD, in [0, 1).
        epochs: Balanced draws that a concept learns from.
        lr_step: The learning rate falls after so many epochs, again and again.
        lr_factor: By this factor.
        batch_size: Examples in a step; the last of an epoch has those that are left.
    """

    lr: float = 0.1
    momentum: float = 0.9
    epochs: int = 30
    lr_step: int = 15
    lr_factor: float = 0.1
    batch_size: int = 64

    def __post_init__(self) -> None:
        name = "classification"
        _check(f"{name}.lr", self.lr, self.lr > 0, "above 0")
        _check(f"{name}.lr_factor", self.lr_factor, self.lr_factor > 0, "above 0")
        _check(f"{name}.momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        for count in ("epochs", "lr_step", "batch_size"):
            _check(f"{name}.{count}", getattr(self, count), getattr(self, count) >= 1, "at least 1")


@dataclass(frozen=True)
class Protocol:
    """How thresholds are set and how the bank is trained; the defaults are Net2Vec's (CVPR 2018).

    Args:
        name: Name of the preset, for tables.
        tau: Share of a filter's activations above its threshold, in (0, 1).
        threshold_images: Which images set the thresholds: ``all`` (train and val; no labels are
            used) or ``train``.
        threshold_order: Whether a single filter's map is thresholded ``before`` it is upsampled, or
            ``after``, as in NetDissect. What probes combine is thresholded before.
        denominator: Which images count in a concept's set IoU: those ``containing`` it, or all that
            are ``annotated`` for its category, so that false alarms elsewhere count, as in
            NetDissect. What is learned does not change.
        align_corners: Whether bilinear upsampling aligns the corner samples, as PyTorch 0.3 did.
        input: What a probe combines: ``bits`` (A > T), or ``raw`` activations or their ``root``,
            divided by their standard deviation over the threshold images.
        loss: ``agreement`` (the paper's, without logarithms) or ``bce``.
        weighting: How a loss weighs a concept's pixels against the background: by ``size``, which
            gives both sides the same total weight, or by ``iou``: a background pixel counts
            J / 2, where J is the concept's set IoU on train in the epoch before. The slope of soft
            IoU weighs them by J, and a pixel adds to IoU where its probability is above
            J / (1 + J); half of it allows for J being less on other images.
        bias: Whether a concept has a bias besides its weights.
        optimizer: ``sgd`` or ``adam``.
        lr: Learning rate, for a loss summed over pixels and averaged over images.
        lr_decay: ``none``, or ``cosine``: down to zero over the epochs.
        lr_scaling: ``area`` takes ``lr`` for masks of 112 x 112 pixels, those of BRODEN at 224, and
            scales it by the number of pixels for others, since the loss is a sum over them;
            ``none`` takes it as it is. Adam's steps do not depend on the scale of a loss.
        weight_decay: Decoupled decay of the weights, times the learning rate, a step.
        momentum: Momentum of SGD, in [0, 1).
        epochs: Passes over the train images.
        reference_batch_size: A concept's row takes a step after so many of its own train images.
        shuffle: Whether train images come in a new seeded order each epoch.
        scaling: Input scaling: ``model`` (what the network was trained with) or ``paper``.
        precision: Precision of the network on CUDA: ``tf32``, ``float32``, or ``bf16``, which turns
            some 2 % of the bits.
        probe: How weights are found: ``net2vec``, by gradient descent on the masks; in closed form
            from sums over train images, ``mean_difference``, ``lda``, ``ridge`` or ``pattern``;
            ``lda+net2vec``, the sum of two, each over the spread of its scores; or the import path
            of a :class:`~net2vec_pl.pipeline.fitter.Fitter`.
        calibrate: How each concept's bias is set afterwards: not at all (``none``); to where set
            IoU on ``train`` is largest; or likewise with scores of probes fitted on the other half
            of the train images (``halves``).
        shrinkage: By how much closed forms pull a covariance towards the mean variance, in [0, 1].
        own_covariance: The share of a concept's own train images in its covariance, in [0, 1]; the
            rest is that of all train images. Matters to ``lda``, ``pattern`` and sums.
        classification: How classifiers of whole images are trained.
    """

    name: str = "paper"
    tau: float = 0.005
    threshold_images: Literal["all", "train"] = "all"
    threshold_order: Literal["before", "after"] = "before"
    denominator: Literal["containing", "annotated"] = "containing"
    align_corners: bool = True
    input: Literal["bits", "raw", "root"] = "bits"
    loss: Literal["agreement", "bce"] = "agreement"
    weighting: Literal["size", "iou"] = "size"
    bias: bool = False
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 1e-4
    lr_decay: Literal["none", "cosine"] = "none"
    lr_scaling: Literal["area", "none"] = "area"
    weight_decay: float = 0.0
    momentum: float = 0.9
    epochs: int = 30
    reference_batch_size: int = 64
    shuffle: bool = True
    scaling: Literal["model", "paper"] = "model"
    precision: Literal["tf32", "float32", "bf16"] = "tf32"
    probe: str = "net2vec"
    calibrate: Literal["none", "train", "halves"] = "none"
    shrinkage: float = 0.01
    own_covariance: float = 0.0
    classification: ClassificationProtocol = field(default_factory=ClassificationProtocol)

    def __post_init__(self) -> None:
        _check("tau", self.tau, 0 < self.tau < 1, "above 0 and below 1; the paper takes 0.005")
        _check("lr", self.lr, self.lr > 0, "above 0")
        _check("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        _check("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        for name in ("shrinkage", "own_covariance"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "from 0 to 1")
        needs_bias = self.calibrate != "none" or self.probe in (*CLOSED_FORM, SUM)
        if needs_bias and not self.bias:
            raise ConfigError(
                "protocol.bias=false leaves nothing to calibrate, and closed forms need a bias: "
                "set protocol.bias=true."
            )
        for name in ("epochs", "reference_batch_size"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "Protocol":
        """Read a protocol from a configuration.

        Raises:
            ConfigError: If an option is unknown, of another type or out of range.
        """
        given = dict(options)
        nested = given.pop("classification", {})
        if not isinstance(nested, Mapping):
            raise ConfigError(f"protocol.classification={nested} must be a group of options.")
        classification = ClassificationProtocol(
            **_parsed(ClassificationProtocol, nested, "protocol.classification")
        )
        return cls(**_parsed(cls, given, "protocol"), classification=classification)

    def plain(self) -> dict[str, Any]:
        """Return plain dicts, names and numbers."""
        return asdict(self)

    def lr_for(self, mask_size: tuple[int, int], epoch: int = 0) -> float:
        """Return the learning rate of an epoch for masks of (sh, sw) pixels.

        Example:
            >>> Protocol().lr_for((112, 112)), Protocol().lr_for((56, 56))
            (0.0001, 0.0004)
        """
        area = mask_size[0] * mask_size[1]
        scaled = self.lr_scaling == "area" and self.optimizer == "sgd"
        cosine = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        falling = cosine if self.lr_decay == "cosine" else 1
        return self.lr * (_LR_AREA / area if scaled else 1) * falling

    def deviations(self) -> list[str]:
        """List every choice that differs from the paper's, as ``tau = 0.01 (paper: 0.005)``."""
        return [
            f"{name} = {value} (paper: {_PAPER[name]})"
            for name, value in _flat(self).items()
            if name != "name" and value != _PAPER[name]
        ]


def _flat(protocol: Protocol) -> dict[str, Any]:
    """Return every choice by its dotted name."""
    plain = protocol.plain()
    nested = plain.pop("classification")
    return plain | {f"classification.{name}": value for name, value in nested.items()}


def _parsed(kind: Any, options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Check names and types of the options of a dataclass."""
    types = {f.name: f.type for f in fields(kind) if f.name != "classification"}
    for name in options:
        if name not in types:
            raise ConfigError(unknown(f"option of {prefix}", name, types))
    return {n: _typed(f"{prefix}.{n}", value, types[n]) for n, value in options.items()}


def _typed(name: str, value: object, wanted: Any) -> Any:
    if choices := get_args(wanted):
        if value not in choices:
            raise ConfigError(unknown(f"value of {name}", str(value), choices))
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        kinds = {float: "a number", int: "a whole number", bool: "true or false", str: "a name"}
        raise ConfigError(f"{name}={value} must be {kinds[wanted]}.")
    return value


def _check(name: str, value: object, inside: bool, allowed: str) -> None:
    if not inside:
        raise ConfigError(f"protocol.{name}={value} is out of range: it must be {allowed}.")


# What the paper (or, where it is silent, its code) does; spec of each choice in docs/method.md.
_PAPER: dict[str, Any] = _flat(Protocol()) | {
    "lr_scaling": "none",
    "shuffle": False,
    "scaling": "paper",
}
