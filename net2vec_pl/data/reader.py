"""What every dataset gives: images, maps of label numbers, labels, and what was annotated.

A reader is a map-style torch dataset of :class:`Sample`. ``broden.py`` reads folders, ``shapes/``
draws its own pictures; whatever else wants to be probed needs only to fill in this class.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Int32, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from net2vec_pl.concepts import Category, Vocabulary
from net2vec_pl.errors import DataError


class UnreadableRowError(DataError):
    """One image that cannot be used; its text says which file and why, not which row."""


@dataclass(frozen=True)
class Sample:
    """One image and all that is known about it.

    Args:
        image: RGB, 0 to 255.
        label_maps: Global label numbers at mask resolution, 0 where unlabelled. A pixel may carry a
            label in each of the M layers; M may be 0.
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
        image_size: (H, W) in pixels.
        mask_size: (sh, sw) in pixels.
    """

    name: str
    vocabulary: Vocabulary
    categories: tuple[Category, ...]
    image_names: list[str]
    is_train: npt.NDArray[np.bool_]
    annotated: npt.NDArray[np.bool_]
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

    @abstractmethod
    def fingerprint(self, row: int) -> bytes:
        """Return bytes that change when the content of the row changes; part of the data digest."""
