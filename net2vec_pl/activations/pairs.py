"""Pixels of every pair of an image and a concept, counted over all processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.data.batch import PairPlaces
from net2vec_pl.functional.iou import set_iou


@dataclass(frozen=True)
class BankCounts:
    """Pixels of every pair of some images, in each of B banks; sums over pairs are set IoUs.

    Args:
        image: Row of the dataset of each pair, rising.
        concept: Row of the vocabulary.
        intersection: Pixels in both mask and prediction.
        union: Pixels in either.
    """

    image: Int64[Tensor, "P"]
    concept: Int64[Tensor, "P"]
    intersection: Int64[Tensor, "B P"]
    union: Int64[Tensor, "B P"]

    def set_iou(self, num_concepts: int) -> Float[Tensor, "B C"]:
        """Return set IoU per bank and concept; NaN where nothing was counted."""
        shape = (len(self.intersection), num_concepts)
        sums = (
            torch.zeros(shape, dtype=torch.int64).index_add_(1, self.concept, counts)
            for counts in (self.intersection, self.union)
        )
        return set_iou(*sums)


def count_pairs(
    stream: ConceptDataModule,
    rows: Int64[np.ndarray, "N"],
    count: Callable[[ConceptBatch], Int64[Tensor, "*B p 2"]],
    device: torch.device,
    *,
    num_banks: int = 1,
    track: Callable[[Iterable[ConceptBatch]], Iterable[ConceptBatch]] = iter,
) -> BankCounts:
    """Count every pair that some images are scored for.

    Args:
        stream: Where the images come from.
        rows: The images.
        count: Counts intersection and union of the pairs of a batch, in each bank.
        device: Where it does so.
        num_banks: B.
        track: Shows how far it is.
    """
    places = PairPlaces(stream.score_index, rows)
    counts = torch.zeros(num_banks, len(places.concept), 2, dtype=torch.int64, device=device)
    for batch in track(stream.scoring_dataloader(rows)):
        counts[:, places.of(batch.row)] = count(batch.to(device, non_blocking=True))
    intersection, union = processes.sum_over(counts).cpu().unbind(-1)
    pairs = torch.from_numpy(places.image), torch.from_numpy(places.concept)
    return BankCounts(*pairs, intersection, union)
