"""Set IoU as a metric: integer counts that sum over batches and processes."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torchmetrics import Metric

from net2vec_pl.functional.iou import set_iou


class SetIoU(Metric):
    """Sum intersections and unions per concept, then divide; see ``functional.set_iou``.

    Args:
        num_concepts: C.

    Example:
        >>> import torch
        >>> metric = SetIoU(num_concepts=2)
        >>> metric.update(torch.ones(1, 2, 2).bool(), torch.eye(2)[None].bool(), torch.tensor([1]))
        >>> metric.compute()
        tensor([   nan, 0.5000], dtype=torch.float64)
    """

    full_state_update = False
    intersection: Tensor
    union: Tensor

    def __init__(self, num_concepts: int) -> None:
        super().__init__()
        for name in ("intersection", "union"):
            zeros = torch.zeros(num_concepts, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(
        self,
        predicted: Bool[Tensor, "P sh sw"],
        mask: Bool[Tensor, "P sh sw"],
        concept: Int64[Tensor, "P"],
    ) -> None:
        """Count some pairs.

        Args:
            predicted: Predicted masks.
            mask: Ground truth.
            concept: The concept of each pair, in [0, C).
        """
        # Whole numbers below 2^24 are exact in float32, and summed ten times faster than bits.
        called, true = predicted.view(torch.uint8).float(), mask.view(torch.uint8).float()
        either = called.sum((1, 2)) + true.sum((1, 2))
        inside = called.mul_(true).sum((1, 2))
        self.intersection.index_add_(0, concept, inside.long())
        self.union.index_add_(0, concept, (either - inside).long())

    def compute(self) -> Float[Tensor, "C"]:
        """Return set IoU per concept, float64; NaN where nothing was counted."""
        return set_iou(self.intersection, self.union)
