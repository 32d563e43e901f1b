"""Any torch Dataset of images with masks."""

from net2vec_pl.datasets.from_torch.reader import DatasetReader

__all__ = ["DatasetReader"]
