"""What a run needs of any dataset: the interface, the scan, concepts, and the stream of batches."""

from net2vec_pl.data.batch import BitBatch, ConceptBatch, ImageBatch, PairIndex, collate
from net2vec_pl.data.datamodule import ConceptDataModule, epoch_order
from net2vec_pl.data.kept_scan import current_scan
from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.data.scan import Scan, scan_files
from net2vec_pl.data.selection import Considered, Selection, select_concepts

__all__ = [
    "BitBatch",
    "ConceptBatch",
    "ConceptDataModule",
    "ConceptReader",
    "Considered",
    "ImageBatch",
    "PairIndex",
    "Sample",
    "Scan",
    "Selection",
    "UnreadableRowError",
    "collate",
    "current_scan",
    "epoch_order",
    "scan_files",
    "select_concepts",
]
