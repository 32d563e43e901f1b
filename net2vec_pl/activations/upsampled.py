"""Single filters the way of NetDissect: upsample the activation first, and threshold afterwards.

M_k(x) = [up(A_k(x)) > T_k] (Bau et al., CVPR 2017), at mask resolution and so at some ten times the
cost of thresholding first.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.extract import device_of, on_device, respond
from net2vec_pl.activations.pairs import BankCounts, count_pairs
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.functional.iou import overlap
from net2vec_pl.probes import SingleFilterCounts

Enlarge = Callable[[Float[Tensor, "P h w"]], Float[Tensor, "P sh sw"]]


def upsampled_above(
    enlarge: Enlarge, maps: Float[Tensor, "P h w"], thresholds: Float[Tensor, "P"]
) -> Bool[Tensor, "P sh sw"]:
    """Return where upsampled maps are above their thresholds.

    Not as up(A) > T: where A is T all around, rounding would decide, and constant filters fire.

    Args:
        enlarge: Upsamples maps to mask resolution.
        maps: Activations, each of one filter.
        thresholds: T of that filter.
    """
    return enlarge(maps - thresholds[:, None, None]) > 0


def count_upsampled_filters(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    batches: Iterable[ConceptBatch],
    num_concepts: int,
    enlarge: Enlarge,
) -> SingleFilterCounts:
    """Count the overlaps of all filters with all concepts, over all processes.

    Args:
        backbone: The frozen network at its layer.
        thresholds: T_k of each filter.
        batches: The images to count, each once.
        num_concepts: C.
        enlarge: Upsamples maps to mask resolution.
    """
    counts = SingleFilterCounts(num_concepts, backbone.shape[0], device_of(backbone))
    for batch in on_device(batches, backbone):
        activations = respond(backbone, batch)
        for pairs, activation in zip(batch.pairs_by_image(), activations, strict=True):
            on = upsampled_above(enlarge, activation, thresholds).flatten(1).float()
            masks = batch.masks(pairs).flatten(1).float()
            known = batch.known(pairs)
            # Whole numbers below 2^24 are exact in float32.
            inside = (masks @ on.T).long()
            area = on.sum(1) if known is None else known.flatten(1).float() @ on.T
            either = (masks.sum(1)[:, None] + area).long() - inside
            concept = batch.concept[pairs]
            counts.intersection.index_add_(0, concept, inside)
            counts.union.index_add_(0, concept, either)
    processes.sum_over(counts.intersection)
    processes.sum_over(counts.union)
    return counts


def count_chosen_upsampled(
    backbone: FrozenBackbone,
    thresholds: Float[Tensor, "K"],
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    chosen: Int64[Tensor, "C"],
    enlarge: Enlarge,
) -> BankCounts:
    """Count the overlap of every pair of some images with one filter of its concept.

    As :func:`~net2vec_pl.activations.extract.count_chosen_filters`.
    """
    device = device_of(backbone)
    chosen = chosen.to(device)

    def count(batch: ConceptBatch) -> Int64[Tensor, "p 2"]:
        activations, filter_ = respond(backbone, batch), chosen[batch.concept]
        counts = torch.empty(len(filter_), 2, dtype=torch.int64, device=device)
        for pairs, activation in zip(batch.pairs_by_image(), activations, strict=True):
            on = upsampled_above(enlarge, activation[filter_[pairs]], thresholds[filter_[pairs]])
            counts[pairs] = overlap(on, batch.masks(pairs), batch.known(pairs))
        return counts * (filter_ >= 0)[:, None]  # -1 has read the last filter

    return count_pairs(stream, rows, count, device)
