"""What a frozen layer answers to a dataset, on disk: HDF5, bits packed eight to a byte.

A cache is a folder named by the digest of its key (everything that its content depends on). It
holds ``part-i-of-n.h5``, one per process that built it, and ``complete.json``, written last: the
key, and size and digest of every part. The folder gets its name only when all of it is there.

A part holds, of its images in the order of ``row``:

======================  =====================  =========================================
``row``, ``is_train``   (n,)                   row of the dataset; split
``bits``                (n, K, bytes) uint8    whether each filter fired at each position
``label_maps``          (n, M, sh, sw) uint16  label numbers, 0 where unlabelled
``pairs/start, number`` (n + 1,), (p,)         the labels each image carries
``whole/start, number`` (n + 1,), (q,)         those that hold for the whole image
``threshold``           (K,) float32           T_k
======================  =====================  =========================================
"""

import itertools
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.survey import Sink
from net2vec_pl.data import BitBatch, ImageBatch, Scan
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.errors import CacheError
from net2vec_pl.functional.ragged import owners, starts

FORMAT_VERSION = 1
_log = logging.getLogger(__name__)
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": False}
_Item = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class CacheKey:
    """Everything that the content of a cache depends on.

    Args:
        parts: Plain JSON: model, weights, layer, input scaling, precision, data, thresholds.
    """

    parts: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of the key, hexadecimal."""
        text = json.dumps(self.parts | {"format_version": FORMAT_VERSION}, sort_keys=True)
        return blake2b(text.encode(), digest_size=10).hexdigest()


class CacheFolder:
    """The place of one cache among others.

    Args:
        root: The folder of all caches.
        key: Key of this one.
    """

    def __init__(self, root: Path, key: CacheKey) -> None:
        self.key = key
        self.path = root / key.digest
        self._building = root / f"{key.digest}.building"
        self._lock = FileLock(root / f"{key.digest}.lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other runs from building the same cache meanwhile; wait for one that does."""
        if not processes.is_first():
            yield
            return
        make_root(self.path.parent)
        if not _acquired_at_once(self._lock):
            _log.info("another run is building the cache %s; waiting for it", self.path)
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def is_complete(self) -> bool:
        """Return whether the cache is there, whole and undamaged; say so if it is damaged.

        Raises:
            CacheError: If what is there has another key.
        """
        if not self.path.exists():
            return False
        try:
            manifest = json.loads((self.path / "complete.json").read_text())
            key, parts = manifest["key"], manifest["parts"]
            fits = {p.name: _describe(p) for p in self.parts()} == parts and len(parts) > 0
            key = dict(key)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            fits, key = False, None
        if fits and key != self._key_parts:
            differing = sorted(
                k for k in {*key, *self._key_parts} if key.get(k) != self._key_parts.get(k)
            )
            raise CacheError(
                f"the cache {self.path} was made for something else ({', '.join(differing)} "
                "differ) and is not used; remove it, or name another cache.dir."
            )
        if not fits:
            _log.warning("the cache %s is damaged or incomplete; it is built anew", self.path)
        return fits

    @property
    def _key_parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = json.loads(json.dumps(self.key.parts))
        return parts | {"format_version": FORMAT_VERSION}

    def prepare(self) -> Path:
        """Make room for the parts and return where this process's one goes."""
        if processes.is_first():
            for folder in (self.path, self._building):
                shutil.rmtree(folder, ignore_errors=True)
            self._building.mkdir(parents=True)
        processes.wait()
        return self._building / f"part-{processes.rank()}-of-{processes.count()}.h5"

    def finish(self) -> None:
        """Give a cache whose parts are all written its name."""
        processes.wait()
        if processes.is_first():
            parts = {p.name: _describe(p) for p in sorted(self._building.glob("part-*.h5"))}
            manifest = {"key": self._key_parts, "parts": parts}
            (self._building / "complete.json").write_text(json.dumps(manifest, indent=1))
            os.replace(self._building, self.path)
        processes.wait()

    def parts(self) -> list[Path]:
        """Return the files of a complete cache."""
        return sorted(self.path.glob("part-*.h5"))


def make_root(root: Path) -> None:
    """Make the folder of all caches.

    Raises:
        CacheError: If it cannot be made or written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root):
            pass
    except OSError as error:
        message = f"cache.dir={root} cannot be written: {error.strerror}."
        raise CacheError(message) from error


def _acquired_at_once(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return False
    return True


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = file_digest(file, lambda: blake2b(digest_size=16))
    return {"bytes": path.stat().st_size, "blake2b": digest.hexdigest()}


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
        maps = batch.label_maps.cpu().numpy()
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
        self._file.close()


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


def forecast_bytes(
    num_images: int, shape: tuple[int, int, int], mask_size: tuple[int, int], map_layers: int
) -> int:
    """Return what a cache takes at most: bits not compressed at all, label maps to an eighth."""
    k, h, w = shape
    return num_images * (k * -(-h * w // 8) + map_layers * mask_size[0] * mask_size[1] * 2 // 8)


def check_room(root: Path, needed: int) -> None:
    """Refuse to begin what the disk will not hold.

    Raises:
        CacheError: If there is less room than needed.
    """
    at = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    free = shutil.disk_usage(at).free
    _log.info("the cache takes %.0f MiB at most; the disk has %.0f", needed / 2**20, free / 2**20)
    if free < needed:
        raise CacheError(
            f"the cache may take {needed / 2**30:.2f} GiB, but {at} has {free / 2**30:.2f} left: "
            "free some, name another cache.dir, or choose cache=memory or cache=none."
        )


def _write_ragged(file: h5py.File, name: str, lists: Sequence[npt.NDArray[np.int64]]) -> None:
    group = file.create_group(name)
    group["start"] = starts(np.array([*map(len, lists)], dtype=np.int64))
    group["number"] = np.concatenate([np.empty(0, dtype=np.int64), *lists])
