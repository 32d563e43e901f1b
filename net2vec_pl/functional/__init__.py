"""Pure tensor functions: the formulas of the method, one file each."""

from net2vec_pl.functional.average_precision import average_precision, logit_bins
from net2vec_pl.functional.bits import pack_bits, unpack_bits
from net2vec_pl.functional.dense import DensePairScores
from net2vec_pl.functional.fired import Fired, PairScores
from net2vec_pl.functional.iou import overlap, set_iou
from net2vec_pl.functional.losses import AGREEMENT, BALANCED_BCE, LOSSES
from net2vec_pl.functional.pixels import PixelPass
from net2vec_pl.functional.quantile import upper_quantile
from net2vec_pl.functional.resize import bilinear_matrix, upsample
from net2vec_pl.functional.sums import sum_rows, tally

__all__ = [
    "AGREEMENT",
    "BALANCED_BCE",
    "LOSSES",
    "DensePairScores",
    "Fired",
    "PairScores",
    "PixelPass",
    "average_precision",
    "bilinear_matrix",
    "logit_bins",
    "overlap",
    "pack_bits",
    "set_iou",
    "sum_rows",
    "tally",
    "unpack_bits",
    "upper_quantile",
    "upsample",
]
