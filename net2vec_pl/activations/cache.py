"""Keep what a frozen layer answers: it answers an image alike every epoch, and in bits.

Once thresholds are known, images are decoded and the network runs one more time; the baseline, the
fit and the scores then read packed bits and label maps from memory.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int32, Int64, UInt8, UInt16
from torch import Tensor
from torch.nn.functional import pad

from net2vec_pl.activations.extract import fire, on_device
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import BitBatch, ImageBatch
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.functional.bits import pack_bits

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kept:
    """One image: its bits, label maps and pairs; fields as in :class:`BitBatch`."""

    bits: UInt8[Tensor, "K bytes"]
    label_maps: UInt16[Tensor, "M sh sw"]
    concept: Int64[Tensor, "P"]
    number: Int32[Tensor, "P"]
    whole: Bool[Tensor, "P"]


class MemoryCache(BatchSource):
    """Bits, label maps and pairs of images by row; a source of batches for a data module.

    Attributes:
        num_bytes: What the tensors take.
    """

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, row: int) -> tuple[int, _Kept]:
        """Return a row and what is kept of it."""
        return row, self._kept[row]

    def add(self, batch: ImageBatch, fired: Bool[Tensor, "N K h w"]) -> None:
        """Keep a batch, its pixels aside.

        Args:
            batch: The images.
            fired: What the layer answered.
        """
        bits = pack_bits(fired.flatten(2))
        batch = batch.to("cpu")
        labelled = batch.label_maps.flatten(2).any(2)
        for i, pairs in enumerate(batch.pairs_by_image()):
            kept = _Kept(  # clones, or every image would hold on to its whole batch
                bits=bits[i].clone(),
                label_maps=batch.label_maps[i, labelled[i]].to(torch.uint16),
                concept=batch.concept[pairs].clone(),
                number=batch.number[pairs].clone(),
                whole=batch.whole[pairs].clone(),
            )
            self._kept[int(batch.row[i])] = kept
            self.num_bytes += sum(value.nbytes for value in vars(kept).values())

    def collate(self, items: Sequence[tuple[int, _Kept]]) -> BitBatch:
        """Make a batch of some rows."""
        rows, kept = zip(*items, strict=True)
        layers = max(k.label_maps.shape[0] for k in kept)
        maps = [
            pad(k.label_maps.int(), (0, 0, 0, 0, 0, layers - k.label_maps.shape[0])) for k in kept
        ]
        sizes = torch.tensor([len(k.concept) for k in kept])
        return BitBatch(
            row=torch.tensor(rows),
            label_maps=torch.stack(maps),
            image=torch.arange(len(kept)).repeat_interleave(sizes),
            concept=torch.cat([k.concept for k in kept]),
            number=torch.cat([k.number for k in kept]),
            whole=torch.cat([k.whole for k in kept]),
            bits=torch.stack([k.bits for k in kept]),
        )


def fill_cache(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    batches: Iterable[ImageBatch],
    num_images: int,
    max_bytes: int,
) -> MemoryCache | None:
    """Ask the network about every image once and keep the answers.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        batches: The images, each once.
        num_images: How many they are.
        max_bytes: The most the cache may take.

    Returns:
        The cache, or None if the first batch shows that it would not fit.
    """
    cache = MemoryCache()
    for batch in on_device(batches, backbone):
        cache.add(batch, fire(backbone, thresholds, batch))
        forecast = cache.num_bytes * num_images // len(cache)
        if forecast > max_bytes:
            _log.info(
                "bits and label maps would take some %.1f GiB, more than cache.max_gib: "
                "the network runs anew in every epoch",
                forecast / 2**30,
            )
            return None
    return cache
