"""Passes over the images that need no gradient: thresholds, and the single-filter baseline."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptBatch
from net2vec_pl.errors import BackboneError
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import SingleFilterCounts


def find_thresholds(
    backbone: FrozenBackbone, batches: Iterable[ConceptBatch], num_images: int, tau: float
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
    for batch, activation in _activations(backbone, batches):
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
    for batch, activation in _activations(backbone, batches):
        fired = activation > thresholds[:, None, None]
        for i, pairs in enumerate(batch.pairs_by_image()):
            if pairs.start < pairs.stop:
                counts.add_image(fired[i], batch.masks(pairs), batch.concept[pairs], cells)
    return counts


def device_of(backbone: FrozenBackbone) -> torch.device:
    """Return where a backbone lives."""
    return next(backbone.buffers()).device


def _activations(
    backbone: FrozenBackbone, batches: Iterable[ConceptBatch]
) -> Iterator[tuple[ConceptBatch, Float[Tensor, "N K h w"]]]:
    device = device_of(backbone)
    for batch in batches:
        moved = batch.to(device, non_blocking=True)
        yield moved, backbone(moved.images)
