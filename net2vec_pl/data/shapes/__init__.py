"""Pictures drawn from a seed, with every kind of BRODEN's annotations."""

from net2vec_pl.data.shapes.reader import ShapesReader

__all__ = ["ShapesReader"]
