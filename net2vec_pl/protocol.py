"""The choices in which papers and codes differ, by name, with the paper's values as defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from net2vec_pl.errors import ConfigError, unknown

_LR_AREA = 112 * 112


@dataclass(frozen=True)
class Protocol:
    """How thresholds are set and how the bank is trained; the defaults are Net2Vec's (CVPR 2018).

    Args:
        name: Name of the preset, for tables.
        tau: Share of a filter's activations above its threshold, in (0, 1).
        threshold_images: Which images set the thresholds: ``all`` (train and val; no labels are
            used) or ``train``.
        align_corners: Whether bilinear upsampling aligns the corner samples, as PyTorch 0.3 did.
        loss: ``agreement`` (the paper's, without logarithms) or ``bce``.
        bias: Whether a concept has a bias besides its weights.
        lr: Learning rate of SGD, for a loss summed over pixels and averaged over images.
        lr_scaling: ``area`` takes ``lr`` for masks of 112 x 112 pixels, those of BRODEN at 224, and
            scales it by the number of pixels for others, since the loss is a sum over them;
            ``none`` takes it as it is.
        momentum: Momentum of SGD, in [0, 1).
        epochs: Passes over the train images.
        reference_batch_size: A concept's row takes a step after so many of its own train images.
        shuffle: Whether train images come in a new seeded order each epoch.
        scaling: Input scaling: ``model`` (what the network was trained with) or ``paper``.
        precision: Of the network's products on CUDA: ``tf32``, ``float32``, or ``bf16``, which
            turns some 2 % of the bits.
    """

    name: str = "paper"
    tau: float = 0.005
    threshold_images: Literal["all", "train"] = "all"
    align_corners: bool = True
    loss: Literal["agreement", "bce"] = "agreement"
    bias: bool = False
    lr: float = 1e-4
    lr_scaling: Literal["area", "none"] = "area"
    momentum: float = 0.9
    epochs: int = 30
    reference_batch_size: int = 64
    shuffle: bool = True
    scaling: Literal["model", "paper"] = "model"
    precision: Literal["tf32", "float32", "bf16"] = "tf32"

    def __post_init__(self) -> None:
        _check("tau", self.tau, 0 < self.tau < 1, "above 0 and below 1; the paper takes 0.005")
        _check("lr", self.lr, self.lr > 0, "above 0")
        _check("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        for name in ("epochs", "reference_batch_size"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> "Protocol":
        """Read a protocol from a configuration.

        Raises:
            ConfigError: If an option is unknown, of another type or out of range.
        """
        types = {field.name: field.type for field in fields(cls)}
        for name in options:
            if name not in types:
                raise ConfigError(unknown("option of protocol", name, types))
        return cls(**{name: _typed(name, value, types[name]) for name, value in options.items()})

    def lr_for(self, mask_size: tuple[int, int]) -> float:
        """Return the learning rate for masks of (sh, sw) pixels.

        Example:
            >>> Protocol().lr_for((112, 112)), Protocol().lr_for((56, 56))
            (0.0001, 0.0004)
        """
        area = mask_size[0] * mask_size[1]
        return self.lr * (_LR_AREA / area if self.lr_scaling == "area" else 1)

    def deviations(self) -> list[str]:
        """List every choice that differs from the paper's, as ``tau = 0.01 (paper: 0.005)``."""
        return [
            f"{name} = {getattr(self, name)} (paper: {value})"
            for name, value in _PAPER.items()
            if getattr(self, name) != value
        ]


# What the paper (or, where it is silent, its code) does; spec of each choice in docs/method.md.
_PAPER: dict[str, Any] = {
    field.name: field.default for field in fields(Protocol) if field.name != "name"
} | {"lr_scaling": "none", "shuffle": False, "scaling": "paper"}


def _typed(name: str, value: object, wanted: Any) -> Any:
    if choices := get_args(wanted):
        if value not in choices:
            raise ConfigError(unknown(f"value of protocol.{name}", str(value), choices))
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        kinds = {float: "a number", int: "a whole number", bool: "true or false", str: "a name"}
        raise ConfigError(f"protocol.{name}={value} must be {kinds[wanted]}.")
    return value


def _check(name: str, value: object, inside: bool, allowed: str) -> None:
    if not inside:
        raise ConfigError(f"protocol.{name}={value} is out of range: it must be {allowed}.")
