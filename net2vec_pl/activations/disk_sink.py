"""Write activations to disk: HDF5, bits packed eight to a byte.

A part holds, of its images in the order of ``row``:

======================  =====================  =========================================
``row``, ``is_train``   (n,)                   row of the dataset; split
``bits``                (n, K, bytes) uint8    whether each filter fired at each position
``label_maps``          (n, M, sh, sw) uint16  label numbers, 0 where unlabelled or unknown
``pairs/start, number`` (n + 1,), (p,)         the labels each image carries
``whole/start, number`` (n + 1,), (q,)         those that hold for the whole image
``threshold``           (K,) float32           T_k
======================  =====================  =========================================

and, if some of these images have unknown pixels, a group ``unknown`` with their A unknown areas:

======================  =====================  =========================================
``number``              (C,)                   label numbers of the dataset's concepts
``row``                 (A,)                   row of the dataset
``concepts``            (A, bytes) uint8       which of the concepts are unknown there
``pixels``              (A, bytes) uint8       where, unless a label map has the concept
======================  =====================  =========================================
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.activations.survey import Sink
from net2vec_pl.data import ImageBatch, Scan
from net2vec_pl.data.unknown import Areas
from net2vec_pl.functional.bits import pack_bits
from net2vec_pl.functional.ragged import starts

_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": False}


class CacheSink(Sink):
    """Write what layers answer into their parts of caches, image by image.

    Args:
        paths: The file of each layer.
        shapes: (K, h, w) of each layer.
        rows: The images that will come, in any order.
        is_train: Split of every row of the dataset.
        scan: The labels of every row.
        mask_size: (sh, sw) of the label maps.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        shapes: Sequence[tuple[int, int, int]],
        *,
        rows: npt.NDArray[np.int64],
        is_train: npt.NDArray[np.bool_],
        scan: Scan,
        mask_size: tuple[int, int],
    ) -> None:
        self._parts = [
            _Part(path, rows, is_train, scan, shape, mask_size)
            for path, shape in zip(paths, shapes, strict=True)
        ]

    def add_pairs(self, batch: ImageBatch) -> None:
        """Write the label maps of a batch whose pairs are all the labels of its images."""
        for part in self._parts:
            part.add_labels(batch)

    def see(
        self, layer: int, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]
    ) -> None:
        """Keep nothing: bits are all that goes to disk."""

    def add_fired(self, layer: int, row: Int64[Tensor, "n"], index: Int64[Tensor, "n"]) -> None:
        """Write where a layer fired."""
        self._parts[layer].add_fired(row.cpu().numpy(), index.cpu().numpy())

    def close(self, thresholds: Sequence[Float[Tensor, "_"]]) -> None:
        """Write what is known at the end, and close the files."""
        for part, threshold in zip(self._parts, thresholds, strict=True):
            part.close(threshold.cpu().numpy())


class _Part:
    """One layer's file, as the module's head describes it."""

    def __init__(
        self,
        path: Path,
        rows: npt.NDArray[np.int64],
        is_train: npt.NDArray[np.bool_],
        scan: Scan,
        shape: tuple[int, int, int],
        mask_size: tuple[int, int],
    ) -> None:
        k, h, w = shape
        self._shape = shape
        self._slot = np.full(int(rows.max(initial=-1)) + 1, -1)
        self._slot[rows] = np.arange(len(rows))
        self._whole: dict[int, npt.NDArray[np.int64]] = {}
        self._rows = rows
        self._numbers = None if scan.unknown is None else scan.unknown.numbers
        self._unknown_row: list[npt.NDArray[np.int64]] = []
        self._file = file = h5py.File(path, "w", libver="latest")
        file["row"], file["is_train"] = rows, is_train[rows]
        first, last = np.searchsorted(scan.row, rows), np.searchsorted(scan.row, rows, "right")
        _write_ragged(file, "pairs", [scan.number[a:b] for a, b in zip(first, last, strict=True)])
        size = -(-h * w // 8)
        self._bits = file.create_dataset(
            "bits",
            (len(rows), k, size),
            np.uint8,
            maxshape=(None, k, size),  # else HDF5 takes no chunks of an empty share
            chunks=(1, k, size),
            **_COMPRESSION,
        )
        self._bits.attrs["grid"] = (h, w)
        self._label_maps = file.create_dataset(
            "label_maps",
            (len(rows), 0, *mask_size),
            np.uint16 if scan.number.max(initial=0) < 1 << 16 else np.uint32,
            maxshape=(None, None, *mask_size),
            chunks=(1, 1, *mask_size),
            **_COMPRESSION,
        )

    def add_labels(self, batch: ImageBatch) -> None:
        maps = batch.label_maps.clamp(min=0).cpu().numpy()
        if batch.areas is not None:
            self._add_areas(batch.areas, batch.row)
        if maps.shape[1] > self._label_maps.shape[1]:
            self._label_maps.resize(maps.shape[1], axis=1)
        for row, layers in zip(batch.row.tolist(), maps, strict=True):
            for m, layer in enumerate(layers):
                if layer.any():
                    self._label_maps[self._slot[row], m] = layer
        image, whole = batch.image.cpu().numpy(), batch.whole.cpu().numpy()
        number = batch.number.cpu().numpy()
        for i, row in enumerate(batch.row.tolist()):
            self._whole[row] = number[whole & (image == i)].astype(np.int64)

    def _add_areas(self, areas: Areas, rows: Int64[Tensor, "N"]) -> None:
        values = {"concepts": pack_bits(areas.concepts.cpu()), "pixels": areas.packed.cpu()}
        for name, value in values.items():
            path, size = f"unknown/{name}", value.shape[1]
            if path not in self._file:
                self._file.create_dataset(
                    path, (0, size), np.uint8, maxshape=(None, size), chunks=(64, size),
                    **_COMPRESSION,
                )  # fmt: skip
            there = self._file[path]
            there.resize(len(there) + len(value), axis=0)
            there[-len(value) :] = value.numpy()
        self._unknown_row.append(rows[areas.image].cpu().numpy())

    def add_fired(self, rows: npt.NDArray[np.int64], flat: npt.NDArray[np.int64]) -> None:
        k, h, w = self._shape
        starts = np.flatnonzero(np.diff(rows, prepend=-1, append=-1))
        for start, stop in itertools.pairwise(starts):
            bits = np.zeros(k * h * w, dtype=bool)
            bits[flat[start:stop]] = True
            self._bits[self._slot[rows[start]]] = np.packbits(bits.reshape(k, -1), axis=1)

    def close(self, threshold: npt.NDArray[np.float32]) -> None:
        _write_ragged(self._file, "whole", [self._whole[row] for row in self._rows.tolist()])
        self._file["threshold"] = threshold
        if self._unknown_row:
            self._file["unknown/row"] = np.concatenate(self._unknown_row)
            self._file["unknown/number"] = self._numbers
        self._file.close()


def _write_ragged(file: h5py.File, name: str, lists: Sequence[npt.NDArray[np.int64]]) -> None:
    group = file.create_group(name)
    group["start"] = starts(np.array([*map(len, lists)], dtype=np.int64))
    group["number"] = np.concatenate([np.empty(0, dtype=np.int64), *lists])
