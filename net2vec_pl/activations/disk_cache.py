"""Read activations from disk, image by image, as ``disk_sink.py`` wrote them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import torch

from net2vec_pl.data import BitBatch
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.data.unknown import Areas
from net2vec_pl.functional.ragged import owners


class _Item(NamedTuple):
    """A row, where its bits are set, the concepts it contains, their packed masks, its areas."""

    row: int
    fired: npt.NDArray[np.int64]
    concepts: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint8]
    areas: Areas | None


class DiskCache(BatchSource):
    """Read batches from a complete cache, image by image; memory does not grow with the dataset.

    Args:
        paths: Its parts.
        numbers: Label number of each concept, shape (C,).
    """

    def __init__(self, paths: Sequence[Path], numbers: npt.NDArray[np.int64]) -> None:
        self._paths, self._numbers = list(paths), numbers
        self._files: list[h5py.File] = []
        self._concept = np.full(int(numbers.max(initial=0)) + 1, -1)
        self._concept[numbers] = np.arange(len(numbers))
        self._place: dict[int, tuple[int, int]] = {}
        self._ragged: list[dict[str, tuple[Any, Any]]] = []
        self._unknown: list[_UnknownPart | None] = []
        for part, path in enumerate(self._paths):
            with h5py.File(path) as file:
                self._place |= {row: (part, i) for i, row in enumerate(file["row"][:].tolist())}
                self._ragged.append(
                    {n: (file[n]["start"][:], file[n]["number"][:]) for n in ("pairs", "whole")}
                )
                self._unknown.append(_UnknownPart.read(file, numbers))
                self.threshold = torch.from_numpy(file["threshold"][:])
                h, w = (int(n) for n in file["bits"].attrs["grid"])
                self.shape = (file["bits"].shape[1], h, w)
                self.mask_size: tuple[int, int] = file["label_maps"].shape[2:]

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, row: int) -> _Item:
        """Return what is kept of a row."""
        part, slot = self._place[row]
        file = self._opened()[part]
        _, h, w = self.shape
        bits = np.unpackbits(file["bits"][slot], axis=1, count=h * w)
        number = self._labels(part, "pairs", slot)
        number = number[number < len(self._concept)]
        number = number[self._concept[number] >= 0]
        maps = file["label_maps"][slot]
        masks = (maps[None] == number[:, None, None, None]).any(1)
        masks |= np.isin(number, self._labels(part, "whole", slot))[:, None, None]
        packed = np.packbits(masks.reshape(len(number), math.prod(self.mask_size)), axis=1)
        unknown = self._unknown[part]
        areas = None if unknown is None else unknown.areas(file, row)
        return _Item(row, np.flatnonzero(bits.view(bool)), self._concept[number], packed, areas)

    def collate(self, items: Sequence[_Item]) -> BitBatch:
        """Make a batch of items."""
        k, h, w = self.shape
        sh, sw = self.mask_size
        lengths = np.array([len(item.concepts) for item in items], dtype=np.int64)
        none = np.empty(0, dtype=np.int64)
        places = [item.fired + i * (k * h * w) for i, item in enumerate(items)]
        masks = [item.masks for item in items]
        return BitBatch(
            row=torch.tensor([item.row for item in items], dtype=torch.int64),
            image=torch.from_numpy(owners(lengths)),
            concept=torch.from_numpy(np.concatenate([none, *(item.concepts for item in items)])),
            places=torch.from_numpy(np.concatenate([none, *places])),
            shape=self.shape,
            packed_masks=torch.from_numpy(
                np.concatenate([np.empty((0, -(-sh * sw // 8)), np.uint8), *masks])
            ),
            mask_size=self.mask_size,
            areas=Areas.join([item.areas for item in items]),
        )

    def _labels(self, part: int, name: str, slot: int) -> npt.NDArray[np.int64]:
        start, number = self._ragged[part][name]
        labels: npt.NDArray[np.int64] = number[start[slot] : start[slot + 1]]
        return labels

    def _opened(self) -> list[h5py.File]:
        if not self._files:  # in the process that reads: an open file does not survive a fork
            self._files = [h5py.File(path) for path in self._paths]
        return self._files

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": []}


class _UnknownPart:
    """Where the unknown areas of a part lie in its file."""

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        stored: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int64],
    ) -> None:
        self._order = np.argsort(rows, kind="stable")
        self._rows = rows[self._order]
        self._count = len(stored)
        place = {number: i for i, number in enumerate(stored.tolist())}
        self._columns = [place[number] for number in numbers.tolist()]

    @classmethod
    def read(cls, file: h5py.File, numbers: npt.NDArray[np.int64]) -> "_UnknownPart | None":
        """Read which images have areas; None if none has."""
        if "unknown" not in file:
            return None
        return cls(file["unknown/row"][:], file["unknown/number"][:], numbers)

    def areas(self, file: h5py.File, row: int) -> Areas | None:
        """Return the areas of one image that matter to the concepts of the cache."""
        first, last = np.searchsorted(self._rows, [row, row + 1])
        places = np.sort(self._order[first:last])
        if not len(places):
            return None
        bits = np.unpackbits(file["unknown/concepts"][places], axis=1, count=self._count)
        concepts = bits.view(np.bool_)[:, self._columns]
        wanted = concepts.any(1)
        if not wanted.any():
            return None
        return Areas(
            torch.zeros(int(wanted.sum()), dtype=torch.int64),
            torch.from_numpy(concepts[wanted]),
            torch.from_numpy(file["unknown/pixels"][places][wanted]),
        )
