"""Score maps of concepts against their masks, and cut them where set IoU on train is largest."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from net2vec_pl.activations import BankCounts, count_pairs
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.functional import PixelPass, overlap
from net2vec_pl.functional.thresholds import best_threshold
from net2vec_pl.metrics import ConceptAP

Track = Callable[[Iterable[ConceptBatch]], Iterable[ConceptBatch]]
Maps = Callable[[ConceptBatch], Float[Tensor, "B P h w"]]


def rows_of(num_banks: int, num_concepts: int, concept: Int64[Tensor, "P"]) -> Int64[Tensor, "B P"]:
    """Return the row of each pair in each of some banks that lie one after another."""
    first = torch.arange(num_banks, device=concept.device) * num_concepts
    return first[:, None] + concept


def score_maps(
    pixels: PixelPass,
    maps: Float[Tensor, "B P h w"],
    batch: ConceptBatch,
    num_concepts: int,
    ap: ConceptAP | None = None,
) -> Int64[Tensor, "B P 2"]:
    """Return intersection and union of every pair of a batch, for B maps of each.

    Args:
        pixels: Upsamples maps.
        maps: Logits on the grid; what is above 0 after upsampling is the concept.
        batch: The pairs and their masks.
        num_concepts: C.
        ap: Counts the pixels of each of B times C rows too, if given.
    """
    rows = rows_of(len(maps), num_concepts, batch.concept)
    counts = torch.empty(*rows.shape, 2, dtype=torch.int64, device=maps.device)
    for one in pixels.against(maps, batch.masks, batch.known):
        counts[one.bank, one.pairs] = overlap(one.logits > 0, one.mask, one.known)
        if ap is not None:
            ap.update(one.logits, one.mask, rows[one.bank, one.pairs], one.known)
    return counts


def score_all(
    pixels: PixelPass,
    maps: Maps,
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    *,
    num_banks: int,
    num_concepts: int,
    device: torch.device,
    ap: bool = True,
    track: Track = iter,
) -> tuple[BankCounts, Float[Tensor, "B C"]]:
    """Score maps of some images, over all processes.

    Args:
        pixels: Upsamples maps.
        maps: Returns the logits of the pairs of a batch on the grid, in each bank.
        stream: Where the images come from.
        rows: The images.
        num_banks: B.
        num_concepts: C.
        device: Where batches are scored.
        ap: Whether average precision is wanted; NaN without it.
        track: Shows how far it is.

    Returns:
        The counts of every pair, and average precision.
    """
    metric = ConceptAP(num_banks * num_concepts).to(device) if ap else None
    counts = count_pairs(
        stream,
        rows,
        lambda batch: score_maps(pixels, maps(batch), batch, num_concepts, metric),
        device,
        num_banks=num_banks,
        track=track,
    )
    wide = (num_banks, num_concepts)
    # torchmetrics makes a scalar of the vector of a single concept.
    precision = metric.compute().view(wide).cpu() if metric else torch.full(wide, torch.nan)
    return counts, precision


def thresholds_on(
    pixels: PixelPass,
    maps: Maps,
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    *,
    num_banks: int,
    num_concepts: int,
    device: torch.device,
    counted: Bool[Tensor, "B rows"] | None = None,
    track: Track = iter,
) -> tuple[Float64[Tensor, "B C"], Float64[Tensor, "B C"]]:
    """Return the threshold of each row at which its set IoU on some images is largest.

    Args:
        pixels: Upsamples maps.
        maps: Returns the logits of the pairs of a batch on the grid, in each bank.
        stream: Where the images come from.
        rows: The images, train images; those that are scored.
        num_banks: B.
        num_concepts: C.
        device: Where batches are scored.
        counted: Rows of the dataset that count for each bank; all of ``rows`` if None.
        track: Shows how far it is.

    Returns:
        Thresholds, and set IoU at them; see
        :func:`~net2vec_pl.functional.thresholds.best_threshold`. Logits count in bins 3 % wide.
    """
    metric = ConceptAP(num_banks * num_concepts).to(device)
    counted = None if counted is None else counted.to(device)
    for batch in track(stream.scoring_dataloader(rows)):
        batch = batch.to(device, non_blocking=True)
        logits = maps(batch)
        of_pairs = rows_of(num_banks, num_concepts, batch.concept)
        for one in pixels.against(logits, batch.masks, batch.known):
            upsampled, mask, known = one.logits, one.mask, one.known
            concept = of_pairs[one.bank, one.pairs]
            if counted is not None:
                mine = counted[one.bank, batch.row[batch.image[one.pairs]]]
                if not mine.any():
                    continue
                upsampled, mask, concept = upsampled[mine], mask[mine], concept[mine]
                known = None if known is None else known[mine]
            metric.update(upsampled, mask, concept, known)
    counts = metric.summed()
    found = best_threshold(counts[:, 1], counts[:, 0])
    return found[0].view(num_banks, -1).cpu(), found[1].view(num_banks, -1).cpu()
