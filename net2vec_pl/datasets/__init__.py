"""The datasets that can be read: each is a subclass of :class:`~net2vec_pl.data.ConceptReader`."""

from net2vec_pl.datasets.ade20k import Ade20kReader
from net2vec_pl.datasets.broden import BrodenReader
from net2vec_pl.datasets.coco import CocoReader
from net2vec_pl.datasets.from_torch import DatasetReader
from net2vec_pl.datasets.joint import JointReader
from net2vec_pl.datasets.shapes import ShapesReader

__all__ = [
    "Ade20kReader",
    "BrodenReader",
    "CocoReader",
    "DatasetReader",
    "JointReader",
    "ShapesReader",
]
