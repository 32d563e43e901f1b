"""Images with masks of label numbers: one mask an image, in which each pixel has one label."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from net2vec_pl.datasets.files.mask_labels import MaskLabels
from net2vec_pl.datasets.files.reader import Annotation, FilesReader, sized
from net2vec_pl.datasets.from_torch.labels import CATEGORY
from net2vec_pl.datasets.images.mask_files import INDEXED, MaskCoding, read_labels


class IndexMasksReader(FilesReader):
    """Image files with a mask file each, whose pixels are label numbers.

    Args:
        name: Short name for tables.
        pairs: (image, mask) by the name of the image.
        labels: What the numbers are called.
        is_train: Whether a row belongs to the train split.
        coding: How the files of masks are read.
        resize: Rule of :class:`~net2vec_pl.datasets.images.resizing.Resizing`.
        image_size: (H, W) of images.
        mask_size: (sh, sw) of masks; None leaves it to
            :func:`~net2vec_pl.datasets.files.reader.sized`.
    """

    def __init__(
        self,
        name: str,
        pairs: dict[str, tuple[Path, Path]],
        labels: MaskLabels,
        is_train: npt.NDArray[np.bool_],
        coding: MaskCoding = INDEXED,
        *,
        resize: str = "squash",
        image_size: tuple[int, int],
        mask_size: tuple[int, int] | None = None,
    ) -> None:
        self._masks = [mask for _, mask in pairs.values()]
        images = [image for image, _ in pairs.values()]
        super().__init__(name, images, sized(resize, image_size, mask_size, self._masks))
        self._labels, self._coding = labels, coding
        self.vocabulary = labels.vocabulary
        self.categories = (CATEGORY,)
        self.image_names = [*pairs]
        self.is_train = is_train
        self.annotated = np.ones((len(pairs), 1), dtype=np.bool_)

    def annotation(self, row: int) -> Annotation:
        """Read the mask of a row."""
        mask = self._masks[row]
        labels = self._labels.named(read_labels(mask, self._coding), f"mask {mask}")
        if not labels.any():
            self.tell_empty(mask)
        return Annotation(labels[None], (CATEGORY.name,))

    def mask_files(self, row: int) -> Sequence[Path]:
        """Return the mask of a row."""
        return [self._masks[row]]
