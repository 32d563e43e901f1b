"""Concepts and vocabularies: what a label number means, and which row of a bank it is.

A concept keeps the number its dataset gives it (BRODEN's global ``number``); the row of a concept
in a bank is its position in the vocabulary the bank was trained on.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from net2vec_pl.errors import ConfigError, unknown


@dataclass(frozen=True)
class Category:
    """A kind of concepts.

    Args:
        name: ``object``, ``part``, ``scene`` ...
        pixels: Whether the dataset gives maps for it; otherwise its labels hold for whole images.
    """

    name: str
    pixels: bool


@dataclass(frozen=True)
class Concept:
    """A visual idea with masks or labels.

    Args:
        number: The dataset's label number, 1 or more; 0 means unlabelled everywhere.
        name: The dataset's own name, unique in it, such as ``sky`` or ``red-c``.
        category: Primary category: the one in which the concept covers most of the dataset.
        categories: Every category it occurs in, the most frequent first.
        pixels: Whether its primary category has maps; only such concepts are segmented.
    """

    number: int
    name: str
    category: str
    categories: tuple[str, ...]
    pixels: bool


class Vocabulary(Sequence[Concept]):
    """An ordered list of concepts; the position of a concept is its row.

    Args:
        concepts: The concepts; numbers and names must be unique.
    """

    def __init__(self, concepts: Iterable[Concept]) -> None:
        self._concepts = tuple(concepts)
        self._row = {c.name: row for row, c in enumerate(self._concepts)}
        assert len(self._row) == len(self._concepts), "concept names must be unique"
        assert len({c.number for c in self._concepts}) == len(self._concepts)

    def __len__(self) -> int:
        return len(self._concepts)

    def __getitem__(self, row: Any) -> Any:
        """Return the concept of a row."""
        return self._concepts[row]

    def __iter__(self) -> Iterator[Concept]:
        return iter(self._concepts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._concepts == other._concepts

    __hash__ = None  # type: ignore[assignment]  # compared by value, never a key

    def row(self, name: str) -> int:
        """Return the row of a concept.

        Raises:
            ConfigError: If no concept has this name; near names are listed.
        """
        if name not in self._row:
            raise ConfigError(unknown("concept", name, self._row))
        return self._row[name]

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Label numbers by row, shape (C,)."""
        return np.array([c.number for c in self._concepts], dtype=np.int64)

    @property
    def names(self) -> list[str]:
        """Names by row."""
        return [c.name for c in self._concepts]

    def matching(self, patterns: Sequence[str]) -> "Vocabulary":
        """Keep the concepts whose name fits any shell pattern (``*`` and ``?``), ignoring case.

        Raises:
            ConfigError: If a pattern fits no concept.
        """
        keep: set[str] = set()
        for pattern in patterns:
            low = pattern.lower()
            found = [n for n in self._row if n.lower() == low or fnmatch.fnmatch(n.lower(), low)]
            if not found:
                raise ConfigError(unknown("concept", pattern, self._row))
            keep.update(found)
        return Vocabulary(c for c in self._concepts if c.name in keep)

    def in_categories(self, categories: Sequence[str]) -> "Vocabulary":
        """Keep the concepts that occur in any of these categories.

        Raises:
            ConfigError: If a category is unknown.
        """
        known = list(dict.fromkeys(name for c in self._concepts for name in c.categories))
        for category in categories:
            if category not in known:
                raise ConfigError(unknown("category", category, known))
        return Vocabulary(c for c in self._concepts if set(c.categories) & set(categories))

    def asked_for(
        self, categories: Sequence[str] | None, names: Sequence[str] | None
    ) -> "Vocabulary":
        """Keep the concepts of some categories whose names fit some patterns; None asks for all.

        Raises:
            ConfigError: If a category or pattern fits nothing.
        """
        asked = self if categories is None else self.in_categories(categories)
        return asked if names is None else asked.matching(names)

    def segmentable(self) -> "Vocabulary":
        """Keep the concepts that have masks; scenes and textures wait for a classification bank."""
        return Vocabulary(c for c in self._concepts if c.pixels)

    def to_plain(self) -> list[dict[str, Any]]:
        """Return plain lists, dicts, strings and numbers, for JSON and checkpoints."""
        return [asdict(c) | {"categories": list(c.categories)} for c in self._concepts]

    @classmethod
    def from_plain(cls, rows: Iterable[dict[str, Any]]) -> "Vocabulary":
        """Undo :meth:`to_plain`."""
        return cls(Concept(**(row | {"categories": tuple(row["categories"])})) for row in rows)
