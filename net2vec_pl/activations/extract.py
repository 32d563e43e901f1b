"""Passes over the images that need no gradient: thresholds, and the single-filter baseline."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import BitBatch, ConceptBatch, ImageBatch
from net2vec_pl.data.batch import Batch
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional.bits import unpack_bits
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import SingleFilterCounts


def find_thresholds(
    backbone: FrozenBackbone, batches: Iterable[ImageBatch], num_images: int, tau: float
) -> Float[Tensor, "K"]:
    """Return T_k with P(A_k > T_k) = tau over all positions of all images.

    Args:
        backbone: The frozen network at its layer.
        batches: The images that set the thresholds, each once.
        num_images: How many they are.
        tau: Share of values above the threshold, in (0, 1).

    Raises:
        BackboneError: If the layer answers with NaN or infinity.
    """
    num_filters, h, w = backbone.shape
    tails = UpperTails(num_filters, num_images, h * w, tau, device=device_of(backbone))
    for batch in on_device(batches, backbone):
        activation = backbone(batch.images)
        if not activation.isfinite().all():
            raise BackboneError(
                f"layer {backbone.layer!r} of {backbone.model} answers with NaN or infinity: "
                "are these the right weights, and the right input scaling?"
            )
        tails.update(activation, batch.row)
    return tails.thresholds()


def count_single_filters(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    batches: Iterable[ConceptBatch],
    num_concepts: int,
    cells: BilinearCells,
) -> SingleFilterCounts:
    """Count the overlaps of all filters with all concepts, over images that contain them.

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
        fired = fire(backbone, thresholds, batch)
        for i, pairs in enumerate(batch.pairs_by_image()):
            if pairs.start < pairs.stop:
                counts.add_image(fired[i], batch.masks(pairs), batch.concept[pairs], cells)
    return counts


def fire(
    backbone: FrozenBackbone, thresholds: Float[Tensor, "K"], batch: ConceptBatch
) -> Bool[Tensor, "N K h w"]:
    """Return the bits A > T of a batch: unpacked if it carries them, else by asking the network."""
    if isinstance(batch, BitBatch):
        _, h, w = backbone.shape
        return unpack_bits(batch.bits, h * w).view(*batch.bits.shape[:2], h, w)
    assert isinstance(batch, ImageBatch)
    activation: Tensor = backbone(batch.images)
    return activation > thresholds[:, None, None]


def device_of(backbone: FrozenBackbone) -> torch.device:
    """Return where a backbone lives."""
    return next(backbone.buffers()).device


def on_device(batches: Iterable[Batch], backbone: FrozenBackbone) -> Iterator[Batch]:
    """Move batches to where a backbone lives, one after another."""
    device = device_of(backbone)
    for batch in batches:
        yield batch.to(device, non_blocking=True)
