"""Unknown pixels: which pixels of an image say nothing about which concepts.

The rule is that of :class:`~net2vec_pl.data.reader.Sample`. A concept has at most one unknown area
in an image, and all concepts of the same categories share theirs, so areas are few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int32, Int64, UInt8
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.reader import UNKNOWN, Sample, unknown_label
from net2vec_pl.functional.bits import pack_bits, unpack_bits


@dataclass(frozen=True)
class Area:
    """Pixels of one image and the concepts that are unknown there, unless a label says otherwise.

    Args:
        concepts: Rows of the vocabulary.
        pixels: Where.
    """

    concepts: npt.NDArray[np.int64]
    pixels: Bool[Tensor, "sh sw"]


class AreaFinder:
    """Finds the unknown areas of samples.

    Args:
        vocabulary: The concepts that matter.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._groups: dict[frozenset[str], list[int]] = {}
        self._row: dict[int, int] = {}
        self._categories: list[frozenset[str]] = []
        for row, concept in enumerate(vocabulary):
            categories = frozenset((concept.category, *concept.categories))
            self._groups.setdefault(categories, []).append(row)
            self._row[concept.number] = row
            self._categories.append(categories)

    def find(self, sample: Sample) -> list[Area]:
        """Return the areas of one sample that have a pixel; a concept is in one of them at most."""
        maps = sample.label_maps
        if not maps.numel() or int(maps.min()) >= 0:
            return []
        blank = {
            categories: (maps[_layers_of(sample, categories)] == UNKNOWN).any(0)
            for categories in self._groups
        }
        alone = self._alone(maps)
        areas = [
            Area(np.array([row]), pixels | blank[self._categories[row]])
            for row, pixels in alone.items()
        ]
        for categories, rows in self._groups.items():
            others = np.array([row for row in rows if row not in alone], dtype=np.int64)
            if len(others):
                areas.append(Area(others, blank[categories]))
        return [area for area in areas if bool(area.pixels.any())]

    def _alone(self, maps: Int32[Tensor, "M sh sw"]) -> dict[int, Bool[Tensor, "sh sw"]]:
        """Return where concepts are unknown by a label of their own."""
        found = {}
        for label in torch.unique(maps[maps < UNKNOWN]).tolist():
            row = self._row.get(unknown_label(label))  # the function is its own inverse
            if row is not None:
                found[row] = (maps == label).any(0)
        return found


def _layers_of(sample: Sample, categories: frozenset[str]) -> list[int]:
    return [m for m, category in enumerate(sample.map_categories) if category in categories]


@dataclass(frozen=True)
class Areas:
    """The unknown areas of some images.

    Args:
        image: Which of the images each area is of, rising.
        concepts: Which concepts of the vocabulary are unknown there.
        packed: Its pixels, eight to a byte.
    """

    image: Int64[Tensor, "A"]
    concepts: Bool[Tensor, "A C"]
    packed: UInt8[Tensor, "A bytes"]

    @classmethod
    def stack(cls, images: Sequence[Sequence[Area]], num_concepts: int) -> "Areas | None":
        """Put the areas of some images together; None if no image has one.

        Args:
            images: The areas of each image.
            num_concepts: C.
        """
        if not any(images):
            return None
        areas = [area for of_image in images for area in of_image]
        concepts = torch.zeros(len(areas), num_concepts, dtype=torch.bool)
        for row, area in zip(concepts, areas, strict=True):
            row[torch.from_numpy(area.concepts)] = True
        return cls(
            torch.tensor([i for i, of_image in enumerate(images) for _ in of_image]),
            concepts,
            pack_bits(torch.stack([area.pixels for area in areas]).flatten(1)),
        )

    @classmethod
    def join(cls, images: Sequence["Areas | None"]) -> "Areas | None":
        """Put the areas of some single images together; None if no image has one."""
        there = [(i, areas) for i, areas in enumerate(images) if areas is not None]
        if not there:
            return None
        return cls(
            torch.cat([areas.image + i for i, areas in there]),
            torch.cat([areas.concepts for _, areas in there]),
            torch.cat([areas.packed for _, areas in there]),
        )

    def of_image(self, image: int) -> "Areas | None":
        """Return the areas of one of the images by itself; None if it has none."""
        mine = self.image == image
        if not mine.any():
            return None
        return Areas(torch.zeros_like(self.image[mine]), self.concepts[mine], self.packed[mine])

    def only(self, concepts: Sequence[int]) -> "Areas":
        """Return the areas of some concepts, for these alone."""
        wanted = torch.zeros_like(self.concepts)
        wanted[:, list(concepts)] = True
        return self._of(self.concepts & wanted)

    def without(self, concepts: Sequence[int]) -> "Areas":
        """Return the areas of all other concepts, for those alone."""
        left = self.concepts.clone()
        left[:, list(concepts)] = False
        return self._of(left)

    def _of(self, concepts: Bool[Tensor, "A C"]) -> "Areas":
        some = concepts.any(1)
        return Areas(self.image[some], concepts[some], self.packed[some])

    def of_pairs(
        self, image: Int64[Tensor, "p"], concept: Int64[Tensor, "p"], num_pixels: int
    ) -> Bool[Tensor, "p pixels"] | None:
        """Return the unknown area of each pair of an image and a concept; None if none has one."""
        mine = (self.image == image[:, None]) & self.concepts[:, concept].T
        pair, area = mine.nonzero(as_tuple=True)
        if not len(pair):
            return None
        found = torch.zeros(len(image), num_pixels, dtype=torch.bool, device=image.device)
        found[pair] = unpack_bits(self.packed[area], num_pixels)
        return found

    @property
    def num_bytes(self) -> int:
        """What they take."""
        return sum(value.nbytes for value in vars(self).values())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Areas":
        """Move them to a device."""
        return Areas(*(v.to(device, non_blocking=non_blocking) for v in vars(self).values()))

    def pin_memory(self) -> "Areas":
        """Put them in pinned memory."""
        return Areas(*(v.pin_memory() for v in vars(self).values()))


class AreaExchange:
    """Gives images the unknown areas of others, concept by concept.

    Args:
        areas: The areas of each image that has some, by row.
    """

    def __init__(self, areas: Mapping[int, Areas]) -> None:
        self._areas = areas
        self._given: dict[int, list[tuple[int, int]]] = {}

    def give(self, concept: int, source: int, target: int) -> None:
        """Put what is unknown for a concept in one image in place of what is in another."""
        if source in self._areas or target in self._areas:
            self._given.setdefault(target, []).append((concept, source))

    def exchanged(self) -> dict[int, Areas]:
        """Return the areas after the exchange."""
        return {
            row: areas
            for row in {**self._areas, **self._given}
            if (areas := self._of(row)) is not None
        }

    def _of(self, row: int) -> Areas | None:
        given = self._given.get(row, [])
        parts = []
        for concept, source in given:
            if (there := self._areas.get(source)) is not None:
                parts.append(there.only([concept]))
        if (own := self._areas.get(row)) is not None:
            parts.append(own.without([concept for concept, _ in given]))
        found = Areas.join(parts)
        if found is None or not len(found.image):
            return None
        return Areas(torch.zeros_like(found.image), found.concepts, found.packed)


@dataclass(frozen=True)
class UnknownRows:
    """Which images of a dataset have unknown areas, and of which concepts.

    Args:
        row: Row of the dataset of each area, rising.
        whole: Whether the area is the whole image.
        packed: The concepts that are unknown there, eight to a byte.
        numbers: The label number of each bit of ``packed``.
    """

    row: Int64[np.ndarray, "U"]
    whole: Bool[np.ndarray, "U"]
    packed: UInt8[np.ndarray, "U bytes"]
    numbers: Int64[np.ndarray, "C"]

    @classmethod
    def of_areas(
        cls, row: int, areas: Sequence[Area], numbers: Int64[np.ndarray, "C"]
    ) -> "UnknownRows":
        """Describe the areas of one image.

        Args:
            row: The image.
            areas: Its areas, at least one.
            numbers: The label number of each concept.
        """
        concepts = np.zeros((len(areas), len(numbers)), dtype=np.bool_)
        for bits, area in zip(concepts, areas, strict=True):
            bits[area.concepts] = True
        whole = np.array([bool(area.pixels.all()) for area in areas])
        return cls(np.full(len(areas), row), whole, np.packbits(concepts, axis=1), numbers)

    @classmethod
    def join(cls, parts: Sequence["UnknownRows"]) -> "UnknownRows":
        """Put those of several images together, at least one."""
        row, whole, packed = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("row", "whole", "packed")
        )
        return cls(row, whole, packed, parts[0].numbers)

    def of(
        self, numbers: Int64[np.ndarray, "c"], rows: Int64[np.ndarray, "N"], *, whole: bool = False
    ) -> Bool[np.ndarray, "N c"]:
        """Return in which images which concepts have unknown pixels.

        Args:
            numbers: Label numbers of the concepts.
            rows: The images.
            whole: Whether only whole images count.
        """
        found = np.zeros(
            (int(max(rows.max(initial=-1), self.row.max(initial=-1))) + 1, len(numbers)),
            dtype=np.bool_,
        )
        place = {number: i for i, number in enumerate(self.numbers.tolist())}
        columns = [place[number] for number in numbers.tolist()]
        bits = np.unpackbits(self.packed, axis=1, count=len(self.numbers)).view(np.bool_)
        used = self.whole if whole else np.ones_like(self.whole)
        np.logical_or.at(found, self.row[used], bits[used][:, columns])
        of_rows: npt.NDArray[np.bool_] = found[rows]
        return of_rows
