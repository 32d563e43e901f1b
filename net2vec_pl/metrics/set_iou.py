"""Set IoU as a metric: integer counts that sum over batches and processes."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric

from net2vec_pl import processes
from net2vec_pl.functional.iou import set_iou


class SetIoU(Metric):
    """Sum intersections and unions per concept, then divide; see ``functional.set_iou``.

    Args:
        num_concepts: C.

    Example:
        >>> import torch
        >>> metric = SetIoU(num_concepts=2)
        >>> metric.update(torch.tensor([[2, 4]]), torch.tensor([1]))
        >>> metric.compute()
        tensor([   nan, 0.5000], dtype=torch.float64)
    """

    full_state_update = False
    intersection: Tensor
    union: Tensor

    def __init__(self, num_concepts: int) -> None:
        super().__init__(distributed_available_fn=processes.are_several)
        for name in ("intersection", "union"):
            zeros = torch.zeros(num_concepts, dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, counts: Int64[Tensor, "P 2"], concept: Int64[Tensor, "P"]) -> None:
        """Count some pairs.

        Args:
            counts: Intersection and union of each, from :func:`~net2vec_pl.functional.iou.overlap`.
            concept: The concept of each pair, in [0, C).
        """
        self.intersection.index_add_(0, concept, counts[:, 0])
        self.union.index_add_(0, concept, counts[:, 1])

    def compute(self) -> Float[Tensor, "C"]:
        """Return set IoU per concept, float64; NaN where nothing was counted."""
        return set_iou(self.intersection, self.union)
