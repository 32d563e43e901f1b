"""What datasets of image files with annotations of any size have in common."""

import copy
import logging
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32
from PIL import Image

from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.datasets.digests import files_digest
from net2vec_pl.datasets.images.mask_files import DOCS as MASK_DOCS
from net2vec_pl.datasets.images.photographs import DOCS, TURNED, alike, note_of, read_photograph
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.datasets.told import ToldOnce

_LOOKED_AT = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotation:
    """All that is known of one image, at the masks' own size.

    Args:
        maps: Label numbers, as in :class:`Sample`; (M, 0, 0) for M maps that are empty, of any
            size.
        map_categories: The category of each map.
        image_labels: (category, number) of the labels that hold for the whole image.
    """

    maps: Int32[np.ndarray, "M h w"]
    map_categories: tuple[str, ...]
    image_labels: tuple[tuple[str, int], ...] = ()


class FilesReader(ConceptReader):
    """Rows that are image files; subclasses say what is known of each.

    Args:
        name: Short name for tables.
        images: The image file of each row.
        resizing: Brings images and masks to the sizes of a run.
    """

    def __init__(self, name: str, images: Sequence[Path], resizing: Resizing) -> None:
        assert resizing.mask_size is not None
        self.name = name
        self._images, self._resizing = tuple(images), resizing
        self.image_size, self.mask_size = resizing.image_size, resizing.mask_size
        self._tell_turned, self._tell_empty = ToldOnce(_log), ToldOnce(_log)

    @abstractmethod
    def annotation(self, row: int) -> Annotation:
        """Return what is known of a row.

        Raises:
            UnreadableRowError: If a file of it cannot be used.
        """

    @abstractmethod
    def mask_files(self, row: int) -> Sequence[Path]:
        """Return the files of masks of a row."""

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        known, path = self.annotation(row), self._images[row]
        maps = torch.from_numpy(known.maps)
        if maps.numel():
            h, w = maps.shape[1:]
            photograph = read_photograph(
                path,
                lambda size: alike(size, (h, w)),
                f"its mask is {h}x{w}, of other proportions; crop and resize both alike, and if "
                f"one was turned, turn both: {DOCS}",
            )
        else:  # nothing of it has a size of its own
            photograph = read_photograph(path, None)
            maps = torch.zeros((len(maps), *photograph.pixels.shape[1:]), dtype=torch.int32)
        if photograph.unsure:
            self._tell_turned(TURNED, self.name, path)
        return Sample(
            image=self._resizing.image(photograph.pixels),
            label_maps=self._resizing.masks(maps),
            map_categories=known.map_categories,
            image_labels=known.image_labels,
        )

    def tell_empty(self, mask: Path) -> None:
        """Warn once of a mask in which nothing is."""
        self._tell_empty(
            "%s: mask %s is empty, so nothing is there. Other empty masks are not told: %s",
            *(self.name, mask, MASK_DOCS),
        )

    def files(self, row: int) -> list[Path]:
        """Return image and masks of a row; see :class:`ConceptReader`."""
        return [self._images[row], *self.mask_files(row)]

    def notes(self, row: int) -> tuple[str, ...]:
        """Return the image's own size and how it was resized; see :class:`ConceptReader`."""
        return (note_of(self._images[row], self._resizing.rule),)

    def fingerprint(self, row: int) -> bytes:
        """Digest the bytes of the row's files, and how they are read."""
        facts = (self.image_names[row], bool(self.is_train[row]), self._resizing)
        return files_digest(repr(facts), self.files(row))

    def at_mask_size(self, size: tuple[int, int] | None) -> "FilesReader":
        """Return the same rows with masks of another size; see :class:`ConceptReader`."""
        other = copy.copy(self)
        other._resizing = self._resizing.at_mask_size(size)
        other.mask_size = size or self.mask_size
        return other


def sized(
    resize: str,
    image_size: tuple[int, int],
    mask_size: tuple[int, int] | None,
    masks: Iterable[Path] = (),
) -> Resizing:
    """Return how images and masks are resized, where the size of masks may be left open.

    Args:
        resize: The rule of :class:`Resizing`.
        image_size: (H, W) of images.
        mask_size: (sh, sw) of masks; None for half of the images', or the masks' own size if the
            first all agree on one that is no larger and needs no crop or border.
        masks: Files of masks, of which the first are looked at.
    """
    half = max(image_size[0] // 2, 1), max(image_size[1] // 2, 1)
    if mask_size is None:
        own = {_size_of(path) for path, _ in zip(masks, range(_LOOKED_AT), strict=False)}
        size = own.pop() if len(own) == 1 else None
        fits = size is not None and size[0] <= half[0] and size[1] <= half[1]
        mask_size = size if fits and (resize == "squash" or alike(size or half, half)) else half
    return Resizing(resize, image_size, mask_size)


def _size_of(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception:  # the scan tells
        return None


def same_size(shapes: Iterable[tuple[int, ...]]) -> tuple[int, int]:
    """Return the size that all masks of an image have.

    Raises:
        UnreadableRowError: If they differ.
    """
    sizes = {*shapes}
    if len(sizes) > 1:
        told = ", ".join(f"{h}x{w}" for h, w in sorted(sizes))
        raise UnreadableRowError(f"its masks differ in size: {told}")
    (size,) = sizes
    return size[0], size[1]
