"""Images with a mask file for each concept, or with labels of the whole image."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.datasets.files.reader import Annotation, FilesReader, same_size, sized
from net2vec_pl.datasets.from_torch.labels import packed
from net2vec_pl.datasets.images.mask_files import read_binary
from net2vec_pl.errors import DataError, shorten

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """That an image shows a concept, or that it was looked at for a category.

    Args:
        category: The concept's category.
        concept: Its name; empty where nothing of the category is there.
        mask: The file that says where; None if the label holds for the whole image.
    """

    category: str
    concept: str
    mask: Path | None


@dataclass(frozen=True)
class Row:
    """An image and what it shows.

    Args:
        name: The image's name, unique.
        image: Its file.
        shown: What was annotated; nothing else is in the image, as far as its categories go.
    """

    name: str
    image: Path
    shown: tuple[Shown, ...]


class ConceptMasksReader(FilesReader):
    """Image files with a binary mask a concept, which may overlap, or with labels.

    A concept has masks or is a label of whole images, and so has all its category. Images are
    annotated for the categories that they are listed with.

    Args:
        name: Short name for tables.
        rows: The images.
        is_train: Whether a row belongs to the train split.
        groups: A number per row: rows of one group stay together.
        names: Which concepts there are, by number; by default all, numbered as they first occur.
        resize: Rule of :class:`~net2vec_pl.datasets.images.resizing.Resizing`.
        image_size: (H, W) of images.
        mask_size: (sh, sw) of masks; None leaves it to
            :func:`~net2vec_pl.datasets.files.reader.sized`.

    Raises:
        DataError: If a concept or a category has masks here and labels there, or a concept is in
            two categories, or none of the names is that of any.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Row],
        is_train: npt.NDArray[np.bool_],
        groups: npt.NDArray[np.int64] | None = None,
        names: Mapping[int, str] | None = None,
        *,
        resize: str = "squash",
        image_size: tuple[int, int],
        mask_size: tuple[int, int] | None = None,
    ) -> None:
        masks = [one.mask for row in rows for one in row.shown if one.mask]
        images = [row.image for row in rows]
        super().__init__(name, images, sized(resize, image_size, mask_size, masks))
        self._rows = tuple(rows)
        self.image_names = [row.name for row in rows]
        self.is_train, self.groups = is_train, groups
        shown = [one for row in rows for one in row.shown]
        self.categories = _categories(shown)
        self.vocabulary = _vocabulary(shown, self.categories, names)
        self._number = {concept.name: concept.number for concept in self.vocabulary}
        self.annotated = np.array(
            [[any(s.category == c.name for s in r.shown) for c in self.categories] for r in rows],
            dtype=np.bool_,
        )

    def annotation(self, row: int) -> Annotation:
        """Read the masks of a row."""
        shown = [one for one in self._rows[row].shown if one.concept in self._number]
        read = [(one, one.mask, read_binary(one.mask)) for one in shown if one.mask]
        for _, path, mask in read:
            if not mask.any():
                self.tell_empty(path)
        size = same_size(mask.shape for _, _, mask in read) if read else (0, 0)
        maps, categories = [np.zeros((0, *size), dtype=np.int32)], []
        for category, known in zip(self.categories, self.annotated[row], strict=True):
            if known and category.pixels:
                drawn: dict[int, np.ndarray] = {}
                for one, _, mask in read:
                    if one.category == category.name:
                        number = self._number[one.concept]
                        drawn[number] = drawn.get(number, False) | mask
                maps.append(packed(drawn, size))
                categories += [category.name] * len(maps[-1])
        labels = [(one.category, self._number[one.concept]) for one in shown if not one.mask]
        return Annotation(np.concatenate(maps), tuple(categories), tuple(dict.fromkeys(labels)))

    def mask_files(self, row: int) -> Sequence[Path]:
        """Return the masks of a row."""
        return [one.mask for one in self._rows[row].shown if one.mask]

    def fingerprint(self, row: int) -> bytes:
        """Digest the row's files and what is said of them."""
        said = [(one.category, one.concept, bool(one.mask)) for one in self._rows[row].shown]
        return super().fingerprint(row) + repr(said).encode()


def _categories(shown: Sequence[Shown]) -> tuple[Category, ...]:
    kinds: dict[str, set[bool]] = {}
    for one in shown:
        kinds.setdefault(one.category, set()).update([bool(one.mask)] if one.concept else [])
    mixed = [name for name, kind in kinds.items() if len(kind) > 1]
    if mixed:
        raise DataError(
            f"category {shorten(mixed)} has masks for some images and none for others; a category "
            "has masks, or labels of whole images: give these a category of their own. "
            "docs/datasets.md#table"
        )
    return tuple(Category(name, pixels=True in kind) for name, kind in kinds.items())


def _vocabulary(
    shown: Sequence[Shown], categories: Sequence[Category], names: Mapping[int, str] | None
) -> Vocabulary:
    pixels = {category.name: category.pixels for category in categories}
    category_of: dict[str, str] = {}
    for one in shown:
        if one.concept and category_of.setdefault(one.concept, one.category) != one.category:
            raise DataError(
                f"concept {one.concept!r} is in the categories {category_of[one.concept]!r} and "
                f"{one.category!r}; name them apart. docs/datasets.md#table"
            )
    numbered = dict(enumerate(category_of, 1)) if names is None else names
    absent = [name for name in numbered.values() if name not in category_of]
    if len(absent) == len(numbered):
        raise DataError(
            f"none of the concepts of data.labels has a mask: {shorten(absent) or 'it is empty'}; "
            f"there are masks of {shorten(category_of) or 'nothing'}."
        )
    if absent:
        _log.warning("there is no mask of %s", shorten(absent))
    first = categories[0].name
    of = {name: category_of.get(name, first) for name in numbered.values()}
    return Vocabulary(
        Concept(number, name, of[name], (of[name],), pixels[of[name]])
        for number, name in numbered.items()
    )
