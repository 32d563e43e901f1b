"""Pixel average precision as a metric, from histograms with integer counts."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchmetrics import Metric

from net2vec_pl import processes
from net2vec_pl.functional.average_precision import NUM_BINS, average_precision, logit_bins


class ConceptAP(Metric):
    """Average precision of each concept over the pixels of its pairs.

    Logits are counted in bins 3 % wide, so memory is fixed and processes merge exactly; the result
    is that of logits rounded to 3 %.

    Args:
        num_concepts: C.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_concepts: int) -> None:
        super().__init__(distributed_available_fn=processes.are_several)
        zeros = torch.zeros(num_concepts, 2, NUM_BINS, dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(
        self,
        logits: Float[Tensor, "P sh sw"],
        mask: Bool[Tensor, "P sh sw"],
        concept: Int64[Tensor, "P"],
        known: Bool[Tensor, "P sh sw"] | None = None,
    ) -> None:
        """Count the pixels of some pairs.

        Args:
            logits: Upsampled logits.
            mask: Ground truth.
            concept: The concept of each pair, in [0, C).
            known: The pixels that count; all if None.
        """
        # Only the concepts at hand, or a chunk of pairs would cost as much as all concepts.
        present, which = torch.unique(concept, return_inverse=True)
        cell = logit_bins(logits).add_(mask.view(torch.uint8), alpha=NUM_BINS)
        cell.add_((2 * NUM_BINS * which.int())[:, None, None])
        counted = cell.flatten() if known is None else cell[known]
        found = torch.bincount(counted, minlength=len(present) * 2 * NUM_BINS)
        self.counts.index_add_(0, present, found.view(-1, 2, NUM_BINS))

    def summed(self) -> Int64[Tensor, "C 2 bins"]:
        """Return the counts of all processes: outside and inside of masks, by bin."""
        return processes.sum_over(self.counts.clone())

    def compute(self) -> Float[Tensor, "C"]:
        """Return average precision per concept, float64; NaN without a positive pixel."""
        return average_precision(self.counts[:, 1], self.counts[:, 0])
