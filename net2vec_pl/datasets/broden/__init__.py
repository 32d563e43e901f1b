"""BRODEN's layout, and the way to BRODEN itself."""

from net2vec_pl.datasets.broden.reader import BrodenReader

__all__ = ["BrodenReader"]
