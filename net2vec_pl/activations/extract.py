"""What a layer answers to a batch, and what single filters overlap."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.pairs import BankCounts, count_pairs
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import BitBatch, ConceptBatch, ConceptDataModule, ImageBatch
from net2vec_pl.data.batch import Batch
from net2vec_pl.functional.cells import BilinearCells, cell_patterns, count_overlaps
from net2vec_pl.functional.fired import Fired
from net2vec_pl.probes import SingleFilterCounts

# A CPU does best with what fits its cache, a GPU with enough to do at once.
_PAIRS_PER_CHUNK = 64
_IMAGES_PER_CHUNK = {"cpu": 1, "cuda": 128}


def count_single_filters(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    batches: Iterable[ConceptBatch],
    num_concepts: int,
    cells: BilinearCells,
) -> SingleFilterCounts:
    """Count the overlaps of all filters with all concepts, over images that contain them.

    Counts are those of all processes.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        batches: The images to count, each once.
        num_concepts: C.
        cells: Cells of the layer's grid on the masks.
    """
    device = device_of(backbone)
    counts = SingleFilterCounts(num_concepts, backbone.shape[0], device)
    cells.to(device)
    for batch in on_device(batches, backbone):
        fired = fire(backbone, thresholds, batch).dense()
        ends = [pairs.stop for pairs in batch.pairs_by_image()]
        size = _IMAGES_PER_CHUNK.get(device.type, 1)
        for first in range(0, len(fired), size):
            pairs = slice(ends[first - 1] if first else 0, ends[min(first + size, len(ends)) - 1])
            counts.add(
                fired[first : first + size],
                batch.masks(pairs),
                batch.image[pairs] - first,
                batch.concept[pairs],
                cells,
                batch.known(pairs),
            )
    processes.sum_over(counts.intersection)
    processes.sum_over(counts.union)
    return counts


def count_chosen_filters(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    chosen: Int64[Tensor, "C"],
    cells: BilinearCells,
) -> BankCounts:
    """Count the overlap of every pair of some images with one filter of its concept.

    Counts are those of all processes, and sum to those of :func:`count_single_filters`.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        stream: Where the images come from.
        rows: The images.
        chosen: A filter per concept; where it is -1, nothing is counted.
        cells: Cells of the layer's grid on the masks.

    Returns:
        Counts of every pair, as of one bank.
    """
    device = device_of(backbone)
    cells.to(device)
    chosen = chosen.to(device)

    def count(batch: ConceptBatch) -> Int64[Tensor, "p 2"]:
        fired, filter_ = fire(backbone, thresholds, batch).dense(), chosen[batch.concept]
        counts = torch.empty(len(filter_), 2, dtype=torch.int64, device=device)
        for first in range(0, len(filter_), _PAIRS_PER_CHUNK):
            pairs = slice(first, first + _PAIRS_PER_CHUNK)
            bits = fired[batch.image[pairs], filter_[pairs]]
            masks, known = batch.masks(pairs), batch.known(pairs)
            both = torch.stack([masks, torch.ones_like(masks) if known is None else known], 1)
            overlaps = count_overlaps(cell_patterns(bits[:, None]), cells.count_patterns(both))
            inside, area = overlaps[:, 0].unbind(1)
            true = masks.flatten(1).view(torch.uint8).sum(1, dtype=torch.int64)
            counts[pairs] = torch.stack([inside, true + area - inside], 1)
        return counts * (filter_ >= 0)[:, None]  # -1 has read the last filter

    return count_pairs(stream, rows, count, device)


def fire(backbone: FrozenBackbone, thresholds: Float[Tensor, "K"], batch: ConceptBatch) -> Fired:
    """Return where A > T in a batch: as the batch says, or else by asking the network."""
    if isinstance(batch, BitBatch):
        return batch.fired
    return Fired.of(respond(backbone, batch) > thresholds[:, None, None])


def respond(backbone: FrozenBackbone, batch: ConceptBatch) -> Float[Tensor, "N K h w"]:
    """Return the activations of a batch: as the batch says, or else by asking the network."""
    if isinstance(batch, BitBatch):
        assert batch.activation is not None, "only bits were kept"
        return batch.activation.float()
    assert isinstance(batch, ImageBatch)
    activation: Tensor = backbone(batch.images)
    return activation


def as_kept(activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
    """Round activations as a cache does, to half precision, so that no result depends on one.

    What half precision cannot hold stays as it is.
    """
    half = activation.half()
    return torch.where(half.isfinite(), half.float(), activation)


def device_of(backbone: FrozenBackbone) -> torch.device:
    """Return where a backbone lives."""
    return next(backbone.buffers()).device


def on_device(batches: Iterable[Batch], backbone: FrozenBackbone) -> Iterator[Batch]:
    """Move batches to where a backbone lives, one after another."""
    device = device_of(backbone)
    for batch in batches:
        yield batch.to(device, non_blocking=True)
