"""The choices in which papers and codes differ, by name, with the paper's values as defaults."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from net2vec_pl.errors import ConfigError, unknown


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
        momentum: Momentum of SGD, in [0, 1).
        epochs: Passes over the train images.
        reference_batch_size: A concept's row takes a step after so many of its own train images.
        shuffle: Whether train images come in a new seeded order each epoch.
        scaling: Input scaling: ``model`` (what the network was trained with) or ``paper``.
    """

    name: str = "paper"
    tau: float = 0.005
    threshold_images: Literal["all", "train"] = "all"
    align_corners: bool = True
    loss: Literal["agreement", "bce"] = "agreement"
    bias: bool = False
    lr: float = 1e-4
    momentum: float = 0.9
    epochs: int = 30
    reference_batch_size: int = 64
    shuffle: bool = True
    scaling: Literal["model", "paper"] = "model"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if get_origin(field.type) is Literal and value not in get_args(field.type):
                raise ConfigError(
                    unknown(f"value of protocol.{field.name}", str(value), get_args(field.type))
                )
        _check_range(
            "tau", self.tau, 0 < self.tau < 1, "above 0 and below 1; the paper takes 0.005"
        )
        _check_range("lr", self.lr, self.lr > 0, "above 0")
        _check_range("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        _check_range("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _check_range(
            "reference_batch_size",
            self.reference_batch_size,
            self.reference_batch_size >= 1,
            "at least 1",
        )

    def deviations(self) -> list[str]:
        """List every choice that differs from the paper's, as ``tau = 0.01 (paper: 0.005)``."""
        paper = _PAPER
        return [
            f"{field.name} = {getattr(self, field.name)} (paper: {paper[field.name]})"
            for field in fields(self)
            if field.name in paper and getattr(self, field.name) != paper[field.name]
        ]


# What the paper (or, where it is silent, its code) does; spec of each choice in docs/method.md.
_PAPER: dict[str, Any] = {
    field.name: field.default for field in fields(Protocol) if field.name != "name"
} | {"shuffle": False, "scaling": "paper"}


def _check_range(name: str, value: object, inside: bool, allowed: str) -> None:
    if not inside:
        raise ConfigError(f"protocol.{name}={value} is out of range: it must be {allowed}.")
