"""Lists of different lengths on any device, found by a key."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from net2vec_pl.functional.ragged import places, starts

T = TypeVar("T", bound="Ragged")


class Ragged:
    """Lists of different lengths, one after another, found by a key.

    Args:
        keys: The key of each list.
        lengths: The length of each list.
        values: Tensors with all the lists' elements along their first axis.
    """

    def __init__(
        self,
        keys: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        values: Sequence[Tensor],
    ) -> None:
        self.keys, self.values = keys, list(values)
        self._slot = np.full(int(keys.max(initial=-1)) + 1, -1)
        self._slot[keys] = np.arange(len(keys))
        self._start = starts(lengths)

    def __getitem__(
        self, keys: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], list[Tensor]]:
        """Return the lists of some keys: the length of each, and their elements joined."""
        on_device = torch.from_numpy(self.places(keys)).to(self.values[0].device)
        return self._lengths(keys), [value[on_device] for value in self.values]

    def places(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where the elements of some keys' lists lie, one list after another."""
        return places(self._start[self._slot[keys]], self._lengths(keys))

    def owners(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the key of each element of some keys' lists, one list after another."""
        return np.repeat(keys, self._lengths(keys))

    def _lengths(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        lengths: npt.NDArray[np.int64] = np.diff(self._start)[self._slot[keys]]
        return lengths

    def copy(self: T) -> T:
        """Return the same lists with elements of their own."""
        other = copy.copy(self)
        other.values = [value.clone() for value in self.values]
        return other

    def to(self: T, device: torch.device) -> T:
        """Move the elements to a device, in place."""
        self.values = [value.to(device) for value in self.values]
        return self

    @property
    def num_bytes(self) -> int:
        """What the elements take."""
        return sum(value.nbytes for value in self.values)
