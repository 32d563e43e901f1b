"""Keep what a frozen layer answers in memory, on the host or on the accelerator.

It answers an image alike every epoch, and in bits, of which some 0.5 % are set. What is kept of an
image is where its bits are set, and the mask of each of its pairs, eight pixels to a byte; where a
probe's inputs are the activations themselves, these too, in half precision.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from net2vec_pl.activations.disk_cache import DiskCache
from net2vec_pl.activations.exchange import exchanged
from net2vec_pl.activations.ragged import Ragged
from net2vec_pl.activations.survey import Sink
from net2vec_pl.data import BitBatch, ImageBatch
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.data.unknown import Areas
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional.bits import pack_bits
from net2vec_pl.functional.ragged import owners

# Masks are made for so many pairs at a time.
_PAIRS_PER_CHUNK = {"cpu": 64, "cuda": 4096}


class MemoryCache(BatchSource):
    """Bits and pairs of images by row; a source of batches for a data module.

    Args:
        fired: By row, where bits are set: flat indices into (K, h, w), int32.
        pairs: By row, the concept and the packed mask of each pair.
        shape: (K, h, w) of the layer.
        mask_size: (sh, sw) of the masks.
        dense: By row, its activations, if they are kept.
        areas: By row, its unknown areas, of those that have some.
    """

    in_memory = True

    def __init__(
        self,
        fired: Ragged,
        pairs: Ragged,
        shape: tuple[int, int, int],
        mask_size: tuple[int, int],
        dense: Ragged | None = None,
        areas: Mapping[int, Areas] | None = None,
    ) -> None:
        self._fired, self._pairs, self._dense = fired, pairs, dense
        self._areas = areas or {}
        self._shape, self._mask_size = shape, mask_size

    @classmethod
    def read(
        cls, cache: DiskCache, rows: npt.NDArray[np.int64], device: torch.device
    ) -> "MemoryCache":
        """Read some rows of a cache on disk into memory.

        Args:
            cache: The cache on disk.
            rows: The rows wanted.
            device: Where they are kept.
        """
        batches = [cache.collate([cache[row]]) for row in rows.tolist()]
        bits = Ragged(
            rows,
            np.array([len(batch.places) for batch in batches], dtype=np.int64),
            [torch.cat([batch.places.int() for batch in batches])],
        )
        pairs = Ragged(
            rows,
            np.array([len(batch.concept) for batch in batches], dtype=np.int64),
            [
                torch.cat([batch.concept for batch in batches]),
                torch.cat([batch.packed_masks for batch in batches]),
            ],
        )
        areas = {
            row: batch.areas.to(device)
            for row, batch in zip(rows.tolist(), batches, strict=True)
            if batch.areas is not None
        }
        return cls(bits.to(device), pairs.to(device), cache.shape, cache.mask_size, areas=areas)

    @property
    def has_activations(self) -> bool:
        """Whether activations are kept besides bits."""
        return self._dense is not None

    def __getitem__(self, row: int) -> int:
        """Return the row; batches are cut out at once."""
        return row

    @property
    def num_bytes(self) -> int:
        """What the bits and the masks take; several layers share the masks."""
        kept = self._dense.num_bytes if self._dense else 0
        areas = sum(of_row.num_bytes for of_row in self._areas.values())
        return self._fired.num_bytes + self._pairs.num_bytes + kept + areas

    def shuffled(
        self,
        rows: npt.NDArray[np.int64],
        seed: int,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> "MemoryCache":
        """Return the same answers with masks of other images of the same concept.

        Args:
            rows: The images that exchange masks; the others keep theirs.
            seed: Seed of the exchange; see :func:`~net2vec_pl.activations.exchange.exchanged`.
            groups: The group of each row of the dataset, if rows are grouped.
        """
        pairs, areas = exchanged(self._pairs, self._areas, rows, seed, groups)
        return MemoryCache(self._fired, pairs, self._shape, self._mask_size, self._dense, areas)

    def collate(self, items: Sequence[int]) -> BitBatch:
        """Make a batch of some rows."""
        rows = np.array(items, dtype=np.int64)
        counts, (flat,) = self._fired[rows]
        sizes, (concept, masks) = self._pairs[rows]
        device = flat.device
        k, h, w = self._shape
        offset = torch.from_numpy(np.repeat(np.arange(len(rows)) * (k * h * w), counts))
        return BitBatch(
            row=torch.from_numpy(rows).to(device),
            image=torch.from_numpy(owners(sizes)).to(device),
            concept=concept,
            places=flat + offset.to(device),
            shape=self._shape,
            packed_masks=masks,
            mask_size=self._mask_size,
            activation=None if self._dense is None else self._dense[rows][1][0],
            areas=Areas.join([self._areas.get(row) for row in rows.tolist()]),
        )


class MemorySink(Sink):
    """Collect answers and pairs for a :class:`MemoryCache` per layer.

    Args:
        shapes: (K, h, w) of each layer.
        mask_size: (sh, sw) of the masks.
        device: Where they are kept in the end.
        dense_rows: The images whose activations are kept too, (n,); none if None.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]],
        mask_size: tuple[int, int],
        device: torch.device,
        *,
        dense_rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._shapes, self._mask_size, self._device = list(shapes), mask_size, device
        self._rows: list[Tensor] = []
        self._sizes: list[Tensor] = []
        self._concept: list[Tensor] = []
        self._masks: list[Tensor] = []
        self._areas: dict[int, Areas] = {}
        self._fired: list[list[tuple[Tensor, Tensor]]] = [[] for _ in shapes]
        self._dense: list[Ragged] = []
        if dense_rows is not None:
            ones = np.ones(len(dense_rows), dtype=np.int64)
            self._dense = [
                Ragged(
                    dense_rows,
                    ones,
                    [torch.empty(len(ones), *shape, dtype=torch.float16, device=device)],
                )
                for shape in shapes
            ]

    def add_pairs(self, batch: ImageBatch) -> None:
        """Keep rows, concepts, masks and unknown areas of a batch."""
        if batch.areas is not None:
            kept = batch.areas.to(self._device)
            for i, row in enumerate(batch.row.tolist()):
                if (areas := kept.of_image(i)) is not None:
                    self._areas[row] = areas
        self._rows.append(batch.row.cpu())
        self._sizes.append(torch.bincount(batch.image, minlength=len(batch.row)).cpu())
        self._concept.append(batch.concept.to(self._device))
        size = _PAIRS_PER_CHUNK.get(batch.concept.device.type, 64)
        for first in range(0, len(batch.concept), size):
            masks = batch.masks(slice(first, first + size))
            self._masks.append(pack_bits(masks.flatten(1)).to(self._device))

    def add_fired(self, layer: int, row: Int64[Tensor, "n"], index: Int64[Tensor, "n"]) -> None:
        """Keep where a layer fired."""
        self._fired[layer].append((row.to(self._device), index.int().to(self._device)))

    def see(
        self, layer: int, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]
    ) -> None:
        """Keep the activations of a batch, if they are wanted.

        Raises:
            BackboneError: If half precision cannot hold them.
        """
        if not self._dense:
            return
        half = activation.half().to(self._device)
        if not half.isfinite().all():
            raise BackboneError(
                "activations above 65504 do not fit in half precision: use cache=none."
            )
        kept, rows = self._dense[layer], row.cpu().numpy()
        wanted = np.isin(rows, kept.keys)
        kept.values[0][kept.places(rows[wanted])] = half[torch.from_numpy(wanted).to(half.device)]

    def caches(self) -> list[MemoryCache]:
        """Return a cache per layer; they share the masks."""
        rows = torch.cat(self._rows).numpy()
        sh, sw = self._mask_size
        none = torch.empty(0, -(-sh * sw // 8), dtype=torch.uint8, device=self._device)
        values = [torch.cat(self._concept), torch.cat([none, *self._masks])]
        pairs = Ragged(rows, torch.cat(self._sizes).numpy(), values)
        self._masks = []
        made = []
        for layer, (shape, parts) in enumerate(zip(self._shapes, self._fired, strict=True)):
            row = torch.cat([r for r, _ in parts])
            index = torch.cat([i for _, i in parts])
            parts.clear()
            fired = _by_row(rows, row, index)
            dense = self._dense[layer] if self._dense else None
            made.append(MemoryCache(fired, pairs, shape, self._mask_size, dense, self._areas))
        return made


def _by_row(
    rows: npt.NDArray[np.int64], row: Int64[Tensor, "n"], index: Int32[Tensor, "n"]
) -> Ragged:
    """Sort indices by the row they belong to, leaving out those of rows that are not wanted."""
    length = max(int(rows.max(initial=-1)), int(row.max()) if len(row) else -1) + 1
    slot = torch.full((length,), -1)
    slot[torch.from_numpy(rows)] = torch.arange(len(rows))
    slots = slot.to(row.device)[row]
    wanted = slots >= 0
    ordered, order = slots[wanted].sort(stable=True)
    lengths = torch.bincount(ordered, minlength=len(rows)).cpu().numpy()
    return Ragged(rows, lengths, [index[wanted][order]])
