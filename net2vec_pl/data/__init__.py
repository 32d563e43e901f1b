"""Datasets of images with concept annotations, and the stream of batches made from them."""

from net2vec_pl.data.ade20k import Ade20kReader
from net2vec_pl.data.batch import BitBatch, ConceptBatch, ImageBatch, PairIndex, collate
from net2vec_pl.data.broden import BrodenReader
from net2vec_pl.data.checked import check_reader, checked_sample
from net2vec_pl.data.coco import CocoReader
from net2vec_pl.data.datamodule import ConceptDataModule, epoch_order
from net2vec_pl.data.joint import JointReader
from net2vec_pl.data.kept_scan import current_scan
from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.data.scan import Scan, scan_files
from net2vec_pl.data.selection import Considered, Selection, select_concepts
from net2vec_pl.data.shapes import ShapesReader
from net2vec_pl.data.torch_dataset import DatasetReader

__all__ = [
    "Ade20kReader",
    "BitBatch",
    "BrodenReader",
    "CocoReader",
    "ConceptBatch",
    "ConceptDataModule",
    "ConceptReader",
    "Considered",
    "DatasetReader",
    "ImageBatch",
    "JointReader",
    "PairIndex",
    "Sample",
    "Scan",
    "Selection",
    "ShapesReader",
    "UnreadableRowError",
    "check_reader",
    "checked_sample",
    "collate",
    "current_scan",
    "epoch_order",
    "scan_files",
    "select_concepts",
]
