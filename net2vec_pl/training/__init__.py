"""Lightning modules that train banks."""

from net2vec_pl.training.classification import ClassificationBank, ClassificationProbe
from net2vec_pl.training.rowwise import RowwiseAdam, RowwiseSGD
from net2vec_pl.training.segmentation import (
    SegmentationProbe,
    calibrate,
    mean_slopes,
    score_bank,
)

__all__ = [
    "ClassificationBank",
    "ClassificationProbe",
    "RowwiseAdam",
    "RowwiseSGD",
    "SegmentationProbe",
    "calibrate",
    "mean_slopes",
    "score_bank",
]
