"""Write any dataset in a format that other tools read."""

from net2vec_pl.formats.coco_writer import write_coco
from net2vec_pl.formats.conversion import FORMATS, convert_dataset

__all__ = ["FORMATS", "convert_dataset", "write_coco"]
