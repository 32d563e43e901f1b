"""What a layer answers to a batch, and what single filters overlap."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import BitBatch, ConceptBatch, ImageBatch
from net2vec_pl.data.batch import Batch
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.functional.fired import Fired
from net2vec_pl.probes import SingleFilterCounts

# A CPU does best with what fits its cache, a GPU with enough to do at once.
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
            )
    processes.sum_over(counts.intersection)
    processes.sum_over(counts.union)
    return counts


def fire(backbone: FrozenBackbone, thresholds: Float[Tensor, "K"], batch: ConceptBatch) -> Fired:
    """Return where A > T in a batch: as the batch says, or else by asking the network."""
    if isinstance(batch, BitBatch):
        return batch.fired
    assert isinstance(batch, ImageBatch)
    activation: Tensor = backbone(batch.images)
    return Fired.of(activation > thresholds[:, None, None])


def device_of(backbone: FrozenBackbone) -> torch.device:
    """Return where a backbone lives."""
    return next(backbone.buffers()).device


def on_device(batches: Iterable[Batch], backbone: FrozenBackbone) -> Iterator[Batch]:
    """Move batches to where a backbone lives, one after another."""
    device = device_of(backbone)
    for batch in batches:
        yield batch.to(device, non_blocking=True)
