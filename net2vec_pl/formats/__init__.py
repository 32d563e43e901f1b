"""Write any dataset in a format that other tools read."""

from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.formats.checked import check_reader, checked_sample
from net2vec_pl.formats.coco_writer import write_coco
from net2vec_pl.formats.conversion import FORMATS, convert_dataset

__all__ = [
    "FORMATS",
    "check_reader",
    "checked_sample",
    "convert_dataset",
    "write_broden",
    "write_coco",
]
