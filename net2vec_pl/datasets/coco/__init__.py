"""Read COCO's JSON: instances, stuff, panoptic, and LVIS, PACO and others in its layout."""

from net2vec_pl.datasets.coco.reader import CocoReader

__all__ = ["CocoReader"]
