"""Pure tensor functions: the formulas of the method, one file each."""

from net2vec_pl.functional.average_precision import average_precision, logit_bins
from net2vec_pl.functional.bits import pack_bits, unpack_bits
from net2vec_pl.functional.iou import set_iou
from net2vec_pl.functional.losses import LOSSES, agreement, balanced_bce
from net2vec_pl.functional.quantile import upper_quantile
from net2vec_pl.functional.resize import bilinear_matrix, upsample

__all__ = [
    "LOSSES",
    "agreement",
    "average_precision",
    "balanced_bce",
    "bilinear_matrix",
    "logit_bins",
    "pack_bits",
    "set_iou",
    "unpack_bits",
    "upper_quantile",
    "upsample",
]
