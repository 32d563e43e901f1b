"""From COCO's categories to concepts, and from its supercategories to categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.datasets.coco.json_file import PAGE
from net2vec_pl.datasets.coco.parsed import CocoCategory, CocoFile
from net2vec_pl.errors import DataError


@dataclass(frozen=True)
class CocoNames:
    """What the ids of one or more files mean.

    Args:
        categories: The dataset's categories: the supercategories, or a category for every concept
            where each image says which concepts were looked for.
        vocabulary: The concepts, in the files' order.
        offset: Label number of a concept less its id: 1 where an id is 0, for a label 0 is none.
        federated: Whether each image says which concepts were looked for.
    """

    categories: tuple[Category, ...]
    vocabulary: Vocabulary
    offset: int
    federated: bool

    def concept(self, category_id: int) -> Concept:
        """Return the concept of an id."""
        return self._by_number[category_id + self.offset]

    @cached_property
    def _by_number(self) -> dict[int, Concept]:
        return {concept.number: concept for concept in self.vocabulary}


def merged_names(files: Sequence[CocoFile]) -> CocoNames:
    """Name the concepts of files that belong together.

    Args:
        files: The file, or those of train and val.

    Raises:
        DataError: If an id means one thing in one file and another in the other.
    """
    found: dict[int, CocoCategory] = {}
    names: dict[str, int] = {}
    for file in files:
        for number, category in file.categories.items():
            if number in found and found[number] != category:
                raise _apart(files, f"id {number} is {found[number].name!r} and {category.name!r}")
            if names.setdefault(category.name, number) != number:
                raise _apart(
                    files, f"{category.name!r} has the ids {names[category.name]} and {number}"
                )
            found[number] = category
    offset = 1 if 0 in found else 0
    federated = any(file.federated for file in files)
    pixels = _have_masks(files, found)
    concepts = [
        Concept(
            number + offset,
            category.name,
            category.name if federated else category.supercategories[0],
            (category.name,) if federated else category.supercategories,
            pixels=pixels[category.supercategories[0]],
        )
        for number, category in found.items()
    ]
    categories = tuple(
        [Category(concept.name, concept.pixels) for concept in concepts]
        if federated
        else [Category(name, has_masks) for name, has_masks in pixels.items()]
    )
    return CocoNames(categories, Vocabulary(concepts), offset, federated)


def _have_masks(files: Sequence[CocoFile], found: dict[int, CocoCategory]) -> dict[str, bool]:
    """Return the supercategories in order, and of each whether it has masks."""
    listed = {name: pixels for file in files for name, pixels in file.listed.items()}
    masked = {name for file in files for name in file.masked}
    labelled = {name for file in files for name in file.labelled}
    used = [name for category in found.values() for name in category.supercategories]
    return listed | {
        name: name in masked or name not in labelled for name in used if name not in listed
    }


def _apart(files: Sequence[CocoFile], what: str) -> DataError:
    paths = " and ".join(str(file.path) for file in files)
    return DataError(
        f"data.annotations: {paths} do not name the same categories: {what}. See {PAGE}."
    )
