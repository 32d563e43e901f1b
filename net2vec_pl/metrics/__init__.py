"""Stateful shells around ``functional/``: integer states that sum over batches and processes."""

from net2vec_pl.metrics.concept_ap import ConceptAP
from net2vec_pl.metrics.set_iou import SetIoU

__all__ = ["ConceptAP", "SetIoU"]
