"""Several datasets as one: rows one after another, concepts of the same name as one concept."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int32
from torch import Tensor

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample, unknown_label
from net2vec_pl.errors import ConfigError, shorten


class JointReader(ConceptReader):
    """The rows of several datasets, one dataset after another.

    Concepts of the same name are one concept, in all categories that any set has it in. What a set
    does not annotate is unknown in its rows, not absent. A concept keeps the number of the first
    set that has it, or gets a free one where another concept has taken it. Its primary category is
    the one it has in the sets with the most images annotated for it.

    Args:
        sets: The datasets, two or more, opened at the same sizes; by name, or as a list under
            their own names.

    Raises:
        ConfigError: If there are fewer than two, or their sizes or names do not go together.

    Example:
        >>> from net2vec_pl.datasets import ShapesReader
        >>> joint = JointReader([ShapesReader(3), ShapesReader(4, seed=1)])
        >>> len(joint), joint.image_names[-1]
        (7, 'shapes-2/scene/000003.png')
    """

    def __init__(self, sets: Sequence[ConceptReader] | Mapping[str, ConceptReader]) -> None:
        by_name = dict(sets) if isinstance(sets, Mapping) else _named(sets)
        if len(by_name) < 2:
            raise ConfigError(
                f"a joint dataset needs two sets or more, not {len(by_name)} (data.sets; see "
                "docs/datasets.md#joining-datasets)."
            )
        self._sets = list(by_name.values())
        self.name = "+".join(by_name)
        self.image_size, self.mask_size = _one_size(by_name)
        self.categories = _joined_categories(self._sets)
        self.vocabulary = _joined_vocabulary(self._sets)
        self._tables = [_table(reader.vocabulary, self.vocabulary) for reader in self._sets]
        self.is_train = np.concatenate([reader.is_train for reader in self._sets])
        self.annotated = np.concatenate([self._annotated(reader) for reader in self._sets])
        self.groups = _joined_groups(self._sets)
        self.image_names = _joined_names(by_name)
        self._first = np.cumsum([0, *(len(reader) for reader in self._sets)])

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        place, own = self._place(row)
        sample, table = self._sets[place][own], self._tables[place]
        labels = tuple((category, int(table[number])) for category, number in sample.image_labels)
        return replace(
            sample, label_maps=_renumbered(sample.label_maps, table), image_labels=labels
        )

    def at_mask_size(self, size: tuple[int, int] | None) -> "JointReader":
        """Return the same rows with masks of another size; see :class:`ConceptReader`."""
        other = copy(self)
        other._sets = [reader.at_mask_size(size) for reader in self._sets]
        other.mask_size = other._sets[0].mask_size
        return other

    def notes(self, row: int) -> tuple[str, ...]:
        """Return what the set says of the row; see :class:`ConceptReader`."""
        place, own = self._place(row)
        return self._sets[place].notes(own)

    def files(self, row: int) -> Sequence[str | Path] | None:
        """Return the files of the row, if all sets have such; see :class:`ConceptReader`."""
        if any(len(reader) and reader.files(0) is None for reader in self._sets):
            return None
        place, own = self._place(row)
        return self._sets[place].files(own)

    def fingerprint(self, row: int) -> bytes:
        """Digest one row, and the numbers that its labels become if these are others."""
        place, own = self._place(row)
        digest, table = self._sets[place].fingerprint(own), self._tables[place]
        numbers = self._sets[place].vocabulary.numbers
        if (table[torch.from_numpy(numbers)].numpy() == numbers).all():
            return digest
        return blake2b(digest + table.numpy().tobytes(), digest_size=16).digest()

    def _place(self, row: int) -> tuple[int, int]:
        """Return which set holds a row, and which row of it that is."""
        place = int(np.searchsorted(self._first, row, side="right")) - 1
        return place, row - int(self._first[place])

    def _annotated(self, reader: ConceptReader) -> npt.NDArray[np.bool_]:
        columns = {category.name: place for place, category in enumerate(reader.categories)}
        annotated = np.zeros((len(reader), len(self.categories)), dtype=np.bool_)
        for place, category in enumerate(self.categories):
            if category.name in columns:
                annotated[:, place] = reader.annotated[:, columns[category.name]]
        return annotated


def _named(readers: Sequence[ConceptReader]) -> dict[str, ConceptReader]:
    """Name the sets after themselves; of sets with one name the second is NAME-2."""
    named: dict[str, ConceptReader] = {}
    for reader in readers:
        name, count = reader.name, 1
        while name in named:
            count += 1
            name = f"{reader.name}-{count}"
        named[name] = reader
    return named


def _one_size(sets: Mapping[str, ConceptReader]) -> tuple[tuple[int, int], tuple[int, int]]:
    sizes = {name: (reader.image_size, reader.mask_size) for name, reader in sets.items()}
    if len({*sizes.values()}) > 1:
        told = shorten(
            f"{name} has images of {h}x{w} and masks of {sh}x{sw}"
            for name, ((h, w), (sh, sw)) in sizes.items()
        )
        raise ConfigError(
            f"datasets of different sizes cannot be joined: {told}. A folder in BRODEN's layout "
            "has one size; give the others the same, as in data.image_size=[224,224] "
            "data.mask_size=[112,112]. See docs/datasets.md#joining-datasets."
        )
    return next(iter(sizes.values()))


def _joined_categories(sets: Sequence[ConceptReader]) -> tuple[Category, ...]:
    pixels: dict[str, bool] = {}
    for category in (category for reader in sets for category in reader.categories):
        pixels[category.name] = pixels.get(category.name, False) or category.pixels
    return tuple(Category(name, has) for name, has in pixels.items())


def _joined_vocabulary(sets: Sequence[ConceptReader]) -> Vocabulary:
    pixels = {category.name: category.pixels for category in _joined_categories(sets)}
    same: dict[str, list[tuple[Concept, int]]] = {}  # name -> itself in each set, with its weight
    for reader in sets:
        images = dict(
            zip((c.name for c in reader.categories), reader.annotated.sum(0).tolist(), strict=True)
        )
        for concept in reader.vocabulary:
            same.setdefault(concept.name, []).append((concept, images[concept.category]))
    free = 1 + max((int(reader.vocabulary.numbers.max(initial=0)) for reader in sets), default=0)
    taken: set[int] = set()
    joined = []
    for name, found in same.items():
        number = found[0][0].number
        if number in taken:
            number, free = free, free + 1
        taken.add(number)
        weights: dict[str, int] = {}
        for concept, weight in found:
            weights[concept.category] = weights.get(concept.category, 0) + weight
        primary = max(weights, key=lambda category: weights[category])  # of equals the first
        members = tuple(dict.fromkeys(c for concept, _ in found for c in concept.categories))
        joined.append(Concept(number, name, primary, members, pixels[primary]))
    return Vocabulary(joined)


def _table(own: Vocabulary, joined: Vocabulary) -> Int32[Tensor, "numbers"]:
    """Return the joint number of every number of a set."""
    table = torch.zeros(int(own.numbers.max(initial=0)) + 1, dtype=torch.int32)
    for concept in own:
        table[concept.number] = joined[joined.row(concept.name)].number
    return table


def _renumbered(
    labels: Int32[Tensor, "M sh sw"], table: Int32[Tensor, "numbers"]
) -> Int32[Tensor, "M sh sw"]:
    known = table[labels.clamp(min=0)]
    if not (labels < 0).any():
        return known
    of_one = unknown_label(0) - table[(UNKNOWN - labels).clamp(min=0)]  # -1 stays -1
    return torch.where(labels < 0, of_one, known)


def _joined_groups(sets: Sequence[ConceptReader]) -> npt.NDArray[np.int64] | None:
    if all(reader.groups is None for reader in sets):
        return None
    joined, first = [], 0
    for reader in sets:
        own = np.arange(len(reader)) if reader.groups is None else reader.groups
        names, groups = np.unique(own, return_inverse=True)
        joined.append(groups.astype(np.int64) + first)
        first += len(names)
    return np.concatenate(joined)


def _joined_names(sets: Mapping[str, ConceptReader]) -> list[str]:
    """Return the names of all rows, below the name of their set if any two are the same."""
    names = [name for reader in sets.values() for name in reader.image_names]
    if len({*names}) == len(names):
        return names
    return [f"{place}/{name}" for place, reader in sets.items() for name in reader.image_names]
