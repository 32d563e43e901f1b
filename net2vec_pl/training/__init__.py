"""Lightning modules that train banks."""

from net2vec_pl.training.rowwise_sgd import RowwiseSGD
from net2vec_pl.training.segmentation import SegmentationProbe, score_bank

__all__ = ["RowwiseSGD", "SegmentationProbe", "score_bank"]
