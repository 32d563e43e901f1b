"""Datasets held in memory, with any vocabulary: maps, unknown pixels, labels of whole images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample
from net2vec_pl.data.reader import UnreadableRowError

SIZE = (2, 3)


@dataclass(frozen=True)
class HeldRow:
    """One row: a (category, labels) for each layer, and (category, number) of the whole image."""

    layers: Sequence[tuple[str, npt.NDArray[np.int64]]] = ()
    labels: Sequence[tuple[str, int]] = ()
    train: bool = True
    fault: str = ""
    notes: tuple[str, ...] = field(default=())


class HeldReader(ConceptReader):
    """A dataset of given rows; a category is annotated where a row has a layer or label of it."""

    def __init__(
        self,
        name: str,
        concepts: Sequence[tuple[int, str, tuple[str, ...]]],
        rows: Sequence[HeldRow],
        *,
        pixels: Mapping[str, bool],
        groups: Sequence[int] | None = None,
        size: tuple[int, int] = SIZE,
        prefix: str = "",
    ) -> None:
        self.name, self.rows = name, rows
        self.categories = tuple(Category(name, has) for name, has in pixels.items())
        self.vocabulary = Vocabulary(
            Concept(number, called, members[0], members, pixels[members[0]])
            for number, called, members in concepts
        )
        self.image_names = [f"{prefix}{row}.png" for row in range(len(rows))]
        self.is_train = np.array([row.train for row in rows], dtype=np.bool_)
        seen = [{c for c, _ in (*row.layers, *row.labels)} for row in rows]
        self.annotated = np.array([[c in has for c in pixels] for has in seen], dtype=np.bool_)
        self.annotated = self.annotated.reshape(len(rows), len(pixels))
        self.groups = None if groups is None else np.array(groups, dtype=np.int64)
        self.image_size, self.mask_size = (4, 6), size

    def __getitem__(self, row: int) -> Sample:
        held = self.rows[row]
        if held.fault:
            raise UnreadableRowError(held.fault)
        generator = torch.Generator().manual_seed(row)
        maps = [torch.from_numpy(labels).int() for _, labels in held.layers]
        return Sample(
            torch.randint(0, 256, (3, *self.image_size), generator=generator).byte(),
            torch.stack(maps) if maps else torch.zeros(0, *self.mask_size).int(),
            tuple(category for category, _ in held.layers),
            tuple(held.labels),
        )

    def notes(self, row: int) -> tuple[str, ...]:
        return self.rows[row].notes

    def fingerprint(self, row: int) -> bytes:
        return repr(self.rows[row]).encode()


@st.composite
def held_sets(draw: st.DrawFn, name: str = "held") -> HeldReader:
    """Draw a dataset of some of seven names in up to three categories, some pixels unknown."""
    categories = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
    names = draw(st.lists(st.sampled_from("pqrstuv"), min_size=1, unique=True))
    numbers = draw(
        st.lists(st.integers(1, 9), min_size=len(names), max_size=len(names), unique=True)
    )
    members = st.lists(st.sampled_from(categories), min_size=1, unique=True).map(tuple)
    concepts = [
        (number, called, draw(members)) for number, called in zip(numbers, names, strict=True)
    ]
    values = [0, -1, *numbers, *(-1 - number for number in numbers)]
    cells = st.lists(st.sampled_from(values), min_size=6, max_size=6)
    layer = st.tuples(
        st.sampled_from(categories), cells.map(lambda held: np.array(held).reshape(SIZE))
    )
    label = st.tuples(st.sampled_from(categories), st.sampled_from(numbers))
    row = st.builds(
        HeldRow, st.lists(layer, max_size=3), st.lists(label, max_size=2), st.booleans()
    )
    rows = draw(st.lists(row, min_size=1, max_size=4))
    return HeldReader(name, concepts, rows, pixels=dict.fromkeys(categories, True))
