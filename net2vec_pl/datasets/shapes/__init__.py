"""Pictures drawn from a seed, with every kind of BRODEN's annotations."""

from net2vec_pl.datasets.shapes.reader import ShapesReader

__all__ = ["ShapesReader"]
