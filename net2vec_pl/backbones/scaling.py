"""Input scaling: how pixels in 0 to 255 become what a network was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from net2vec_pl.errors import ConfigError, unknown

# That of the weights; see :func:`~net2vec_pl.backbones.torchvision_weights.own_scaling`.
OWN = "own"


@dataclass(frozen=True)
class InputScaling:
    """(pixel / 255 - mean) / std, per channel in RGB order.

    Args:
        name: How to call it.
        mean: Mean of each channel, in [0, 1].
        std: Divisor of each channel, above 0.
    """

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def named(cls, name: str) -> "InputScaling":
        """Return a scaling by name.

        Raises:
            ConfigError: If there is none of this name.
        """
        if name not in _SCALINGS:
            raise ConfigError(unknown("input scaling", name, [OWN, *_SCALINGS]))
        return _SCALINGS[name]

    @classmethod
    def of(
        cls, name: str, mean: Sequence[float | int], std: Sequence[float | int]
    ) -> "InputScaling":
        """Return a scaling of three numbers each, whole or not."""
        r, g, b = map(float, mean)
        by_r, by_g, by_b = map(float, std)
        return cls(name, (r, g, b), (by_r, by_g, by_b))

    @classmethod
    def fitting(cls, mean: Sequence[float | int], std: Sequence[float | int]) -> "InputScaling":
        """Return the scaling of a mean and a standard deviation, under its name if it has one."""
        own = cls.of("custom", mean, std)
        known = (s for s in _SCALINGS.values() if (s.mean, s.std) == (own.mean, own.std))
        return next(known, own)

    def plain(self) -> str | dict[str, list[float]]:
        """Return what :meth:`parse` reads: the name of a known scaling, or the numbers."""
        if _SCALINGS.get(self.name) == self:
            return self.name
        return {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def parse(cls, given: object) -> "InputScaling":
        """Read a scaling from a configuration: a name, or ``{mean: [...], std: [...]}``.

        Raises:
            ConfigError: If it is neither.
        """
        if isinstance(given, str):
            return cls.named(given)
        fields = dict(given) if isinstance(given, Mapping) else {}
        mean, std = fields.get("mean", ()), fields.get("std", ())
        if not (_is_rgb(mean) and _is_rgb(std) and min(std) > 0) or set(fields) != {"mean", "std"}:
            raise ConfigError(
                f"model.scaling={given} must be one of {', '.join([OWN, *_SCALINGS])} or "
                "{mean: [r, g, b], std: [r, g, b]} with std above 0."
            )
        return cls.of("custom", mean, std)


def _is_rgb(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 3
        and all(isinstance(v, int | float) for v in value)
    )


_SCALINGS = {
    scaling.name: scaling
    for scaling in (
        InputScaling("torchvision", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        # Net2Vec's own code: minus (124.6901, 118.6897, 109.5388), divided by 255 * 0.224.
        InputScaling(
            "paper", (124.6901 / 255, 118.6897 / 255, 109.5388 / 255), (0.224, 0.224, 0.224)
        ),
        InputScaling("half", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        InputScaling("unit", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
}
