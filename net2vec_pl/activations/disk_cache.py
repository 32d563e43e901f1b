"""Read activations from disk, image by image, as ``disk_sink.py`` wrote them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

from net2vec_pl.data import BitBatch
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.functional.ragged import owners

_Item = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]


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
        for part, path in enumerate(self._paths):
            with h5py.File(path) as file:
                self._place |= {row: (part, i) for i, row in enumerate(file["row"][:].tolist())}
                self._ragged.append(
                    {n: (file[n]["start"][:], file[n]["number"][:]) for n in ("pairs", "whole")}
                )
                self.threshold = torch.from_numpy(file["threshold"][:])
                h, w = (int(n) for n in file["bits"].attrs["grid"])
                self.shape = (file["bits"].shape[1], h, w)
                self.mask_size: tuple[int, int] = file["label_maps"].shape[2:]

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, row: int) -> _Item:
        """Return a row, where its bits are set, the concepts it contains and their packed masks."""
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
        return row, np.flatnonzero(bits.view(bool)), self._concept[number], packed

    def collate(self, items: Sequence[_Item]) -> BitBatch:
        """Make a batch of items."""
        k, h, w = self.shape
        sh, sw = self.mask_size
        lengths = np.array([len(concepts) for _, _, concepts, _ in items], dtype=np.int64)
        none = np.empty(0, dtype=np.int64)
        places = [index + i * (k * h * w) for i, (_, index, _, _) in enumerate(items)]
        masks = [masks for *_, masks in items]
        return BitBatch(
            row=torch.tensor([row for row, *_ in items], dtype=torch.int64),
            image=torch.from_numpy(owners(lengths)),
            concept=torch.from_numpy(np.concatenate([none, *(c for _, _, c, _ in items)])),
            places=torch.from_numpy(np.concatenate([none, *places])),
            shape=self.shape,
            packed_masks=torch.from_numpy(
                np.concatenate([np.empty((0, -(-sh * sw // 8)), np.uint8), *masks])
            ),
            mask_size=self.mask_size,
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
