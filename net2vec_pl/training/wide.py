"""Scores over all images annotated for a category: false alarms count, and concepts compete."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.data import ConceptBatch
from net2vec_pl.functional import PixelPass, set_iou


@dataclass(frozen=True)
class WideScores:
    """Scores of B banks over images that are annotated for a concept's category.

    Args:
        annotated: Set IoU over these images, whether or not they contain the concept.
        argmax: IoU of the concept where the concept of highest logit in its category is predicted,
            over the pixels with a label of the category; its mean over concepts is what papers on
            semantic segmentation call mIoU. Where a concept is unknown, it is not predicted; where
            no concept of the category is known to be absent but some are unknown, nothing counts.
    """

    annotated: Float64[Tensor, "B C"]
    argmax: Float64[Tensor, "B C"]


class WideCounts:
    """Counts the pixels behind :class:`WideScores`.

    Args:
        num_banks: B.
        categories: Category of each concept.
        device: Where the counts live.
    """

    def __init__(self, num_banks: int, categories: Sequence[str], device: torch.device) -> None:
        self._category = torch.from_numpy(np.unique(categories, return_inverse=True)[1]).to(device)
        shape = (4, num_banks, len(categories))
        self._counts = torch.zeros(shape, dtype=torch.int64, device=device)

    def add(self, pixels: PixelPass, maps: Float[Tensor, "B P h w"], batch: ConceptBatch) -> None:
        """Count the images of a batch.

        Args:
            pixels: Upsamples maps.
            maps: Logits on the grid of every pair of an image and a concept of a category that it
                was annotated for.
            batch: These pairs.
        """
        for pairs in batch.pairs_by_image():
            masks = batch.masks(pairs).flatten(1)
            counted = batch.known(pairs)
            known = torch.ones_like(masks) if counted is None else counted.flatten(1)
            category = self._category[batch.concept[pairs]]
            for bank, of_bank in enumerate(maps[:, pairs]):
                logits = pixels.enlarge(of_bank).flatten(1)
                self._alone(bank, batch.concept[pairs], logits, masks, known)
                for number in torch.unique(category):
                    mine = category == number
                    self._among(
                        bank, batch.concept[pairs][mine], logits[mine], masks[mine], known[mine]
                    )

    def scores(self) -> WideScores:
        """Return the scores over all processes; NaN where nothing was counted."""
        counts = processes.sum_over(self._counts).cpu()
        return WideScores(set_iou(*counts[:2]), set_iou(*counts[2:]))

    def _alone(
        self,
        bank: int,
        concept: Int64[Tensor, "p"],
        logits: Tensor,
        masks: Bool[Tensor, "p pixels"],
        known: Bool[Tensor, "p pixels"],
    ) -> None:
        called = (logits > 0) & known
        self._counts[0, bank, concept] += (called & masks).sum(1)
        self._counts[1, bank, concept] += (called | masks).sum(1)

    def _among(
        self,
        bank: int,
        concept: Int64[Tensor, "p"],
        logits: Tensor,
        masks: Bool[Tensor, "p pixels"],
        known: Bool[Tensor, "p pixels"],
    ) -> None:
        compared = masks.any(0) & (known.all(0) | (known & ~masks).any(0))
        logits = logits[:, compared].masked_fill(~known[:, compared], -torch.inf)
        masks = masks[:, compared]
        if not masks.shape[1]:
            return
        winner = logits.argmax(0)
        right = masks.gather(0, winner[None])[0]
        called, inside = (
            torch.bincount(of, minlength=len(concept)) for of in (winner, winner[right])
        )
        self._counts[2, bank, concept] += inside
        self._counts[3, bank, concept] += masks.sum(1) + called - inside
