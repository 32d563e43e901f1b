"""What every dataset gives: images, maps of label numbers, labels, and what was annotated.

A reader is a map-style torch dataset of :class:`Sample`. ``broden.py`` reads folders, ``shapes/``
draws its own pictures; whatever else wants to be probed needs only to fill in this class.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import Int32, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from net2vec_pl.concepts import Category, Vocabulary
from net2vec_pl.errors import ConfigError, DataError

UNKNOWN = -1
"""In a label map: whether any concept of the map's category is here is unknown."""


class UnreadableRowError(DataError):
    """One image that cannot be used; its text says which file and why, not which row."""


def unknown_label(number: int) -> int:
    """Return what a label map holds where only one concept is unknown, as in a crowd of it.

    Args:
        number: The concept's label number, 1 or more.

    Example:
        >>> unknown_label(7)
        -8
    """
    return UNKNOWN - number


@dataclass(frozen=True)
class Sample:
    """One image and all that is known about it.

    A pixel is of a concept if any layer holds its number there. Otherwise it is unknown for the
    concept if a layer of one of the concept's categories holds :data:`UNKNOWN` there, or any layer
    holds :func:`unknown_label` of its number. All other pixels are not of the concept.

    Args:
        image: RGB, 0 to 255.
        label_maps: Global label numbers at mask resolution, 0 where unlabelled, negative where
            unknown. A pixel may carry a label in each of the M layers; M may be 0.
        map_categories: The category of each layer, length M.
        image_labels: (category, number) of the labels that hold for the whole image.
    """

    image: UInt8[Tensor, "3 H W"]
    label_maps: Int32[Tensor, "M sh sw"]
    map_categories: tuple[str, ...]
    image_labels: tuple[tuple[str, int], ...]


class ConceptReader(Dataset[Sample], ABC):
    """A dataset of images with concept annotations.

    Attributes:
        name: Short name for tables and run folders.
        vocabulary: Every concept of the dataset, whether or not it is probed.
        categories: The categories in the dataset's own order, which breaks ties.
        image_names: A name per row, unique.
        is_train: Whether a row belongs to the train split, shape (N,); all others are val.
        annotated: Whether a row was annotated for a category at all, shape (N, len(categories)).
            What was never annotated is unknown, which is not the same as absent.
        groups: A number per row, shape (N,): rows of one group, such as the frames of a film, are
            on one side of the split and count as one in tests. None: every row is its own group.
        image_size: (H, W) in pixels.
        mask_size: (sh, sw) in pixels.
    """

    name: str
    vocabulary: Vocabulary
    categories: tuple[Category, ...]
    image_names: list[str]
    is_train: npt.NDArray[np.bool_]
    annotated: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64] | None = None
    image_size: tuple[int, int]
    mask_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.image_names)

    @abstractmethod
    def __getitem__(self, row: int) -> Sample:
        """Read one row.

        Raises:
            UnreadableRowError: If a file of the row is absent, damaged, of another size or carries
                unknown labels.
        """

    def files(self, row: int) -> Sequence[str | Path] | None:
        """Return every file that reading a row opens, so that a scan can be kept on disk.

        The kept scan is used as long as these files have the same sizes and times of change, and
        the reader itself is the same: its class, its code and all its attributes. So a table that
        was read when the reader was made need not be listed. See
        :mod:`~net2vec_pl.data.kept_scan`.

        Returns:
            Paths of files that may be absent; None, the default, if rows come from elsewhere: such
            a dataset is scanned anew every time.
        """
        return None

    def at_mask_size(self, size: tuple[int, int] | None) -> "ConceptReader":
        """Return the same rows with masks of another size, to score at.

        Args:
            size: (sh, sw) in pixels; None for each row's own size, before it was resized. What the
                rule of :class:`~net2vec_pl.datasets.images.resizing.Resizing` crops or pads is
                cropped or padded there too, so masks always cover what the network sees.

        Raises:
            ConfigError: If the masks of this dataset exist at one size only.
        """
        if size == self.mask_size:
            return self
        raise ConfigError(
            f"the masks of {self.name} exist at {self.mask_size[0]}x{self.mask_size[1]} only; "
            "masks in files of their own (data=masks, coco, table) can be scored at other sizes."
        )

    def notes(self, row: int) -> tuple[str, ...]:
        """Return what a person who looks at the row should know, such as its own size.

        The page of samples (``task=doctor page=samples.html``) shows it. A row that cannot be read
        has no notes.

        Args:
            row: A row that can be read.
        """
        return ()

    @abstractmethod
    def fingerprint(self, row: int) -> bytes:
        """Return bytes that change when the content of the row changes; part of the data digest."""
