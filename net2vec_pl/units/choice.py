"""Which units are probed: the options of ``units=``, and the units that follow from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.units.encoders import ACTIVATIONS, encoder_from
from net2vec_pl.units.rotation import random_rotation
from net2vec_pl.units.transforms import FILTERS, NAMES, Units, units_from

# Name -> the options that it has.
KINDS: Mapping[str, tuple[str, ...]] = {
    FILTERS: (),
    "rotation": ("seed",),
    "signed": (),
    "pca": ("count",),
    "nmf": ("count", "seed"),
    "sae": ("file", "activation", "k", "threshold", "centred"),
}
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class UnitChoice:
    """Units as they are asked for.

    Args:
        name: ``filters``, ``rotation``, ``signed``, ``pca``, ``nmf`` or ``sae``.
        options: As in ``conf/units/NAME.yaml``; plain values.

    Raises:
        ConfigError: If there are no such units, or an option is unknown or cannot be used.
    """

    name: str = FILTERS
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigError(unknown("units", self.name, NAMES))
        for option, value in self.options.items():
            if option not in KINDS[self.name]:
                raise ConfigError(unknown(f"option of units={self.name}", option, KINDS[self.name]))
            fits, wanted = _VALUES[option]
            may_be_open = self.name == "sae" or (self.name, option) == ("pca", "count")
            if not (value is None and may_be_open) and not fits(value):
                raise ConfigError(f"units.{option}={value} must be {wanted}.")
        if self.name == "sae" and self.options.get("file") is None:
            raise ConfigError("units=sae needs the file of its weights: units.file=PATH.")

    @property
    def is_fitted(self) -> bool:
        """Whether the units follow from train images."""
        return self.name in ("pca", "nmf")

    @property
    def is_trained(self) -> bool:
        """Whether the units were learned elsewhere, for one layer of one network."""
        return self.name == "sae"

    def units(self, filters: int) -> Units:
        """Return the units of a layer; those that are fitted as blanks of the right number.

        Args:
            filters: K of the layer.

        Raises:
            ConfigError: If the layer gives no such units, or a file cannot be read.
        """
        if self.name == "sae":
            return encoder_from(self.options, filters)
        if self.is_fitted:
            count = self.options.get("count") or filters
            if count > filters:
                raise ConfigError(
                    f"units.count={count} must be from 1 to {filters}, the layer's number of "
                    "filters."
                )
            blank = {"pca": ("weight", "bias"), "nmf": ("dictionary",)}[self.name]
            sizes = {"bias": (count,)}
            return self.fitted(
                {name: torch.zeros(sizes.get(name, (count, filters))) for name in blank}
            )
        tensors: dict[str, Tensor] = {}
        if self.name == "rotation":
            rng = np.random.default_rng(self.options.get("seed", 0))
            tensors["weight"] = random_rotation(filters, rng).float()
        return units_from(self._plain, tensors)

    def fitted(self, tensors: Mapping[str, Tensor]) -> Units:
        """Return units of tensors that were fitted.

        Args:
            tensors: By name, float32.
        """
        count = len(next(iter(tensors.values())))
        return units_from(self._plain | {"count": count}, tensors)

    @property
    def _plain(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


# Option -> whether a value fits, and what is wanted.
_VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (
        lambda value: _is_whole(value, 0, _LARGEST_SEED),
        f"a whole number from 0 to {_LARGEST_SEED}",
    ),
    "count": (lambda value: _is_whole(value, 1, 2**31), "a whole number from 1"),
    "k": (lambda value: _is_whole(value, 1, 2**31), "a whole number from 1"),
    "file": (lambda value: isinstance(value, str) and value != "", "the path of a file"),
    "activation": (lambda value: value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
    "threshold": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
        "a number from 0",
    ),
    "centred": (lambda value: isinstance(value, bool), "true or false"),
}
