"""ADE20K, with parts of parts."""

from net2vec_pl.datasets.ade20k.reader import Ade20kReader

__all__ = ["Ade20kReader"]
