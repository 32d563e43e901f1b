"""Pixels of two methods on the same pairs of images and concepts.

The image is what chance draws, and its concepts come with it. Where images are of groups, such as
films, the group is what chance draws.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64, Num

from net2vec_pl.analysis.jackknife import LEAST_GROUPS, LEAST_IMAGES


@dataclass(frozen=True)
class UnitCounts:
    """Sums over what chance draws, images or groups, by concept.

    Args:
        unit: Number of the unit of each entry, in [0, N).
        concept: Its concept.
        sums: Method by (intersection, union), over the images of the unit that contain it.
        num_units: N.
    """

    unit: Int64[np.ndarray, "Q"]
    concept: Int64[np.ndarray, "Q"]
    sums: Float64[np.ndarray, "2 2 Q"]
    num_units: int


@dataclass(frozen=True)
class PairCounts:
    """Pixels of every pair of an image and a concept it contains, for two methods.

    Args:
        image: The image of each pair, any number.
        concept: The concept of each pair, in [0, C); a pair comes once.
        multi: Intersection and union of mask and prediction, of the learned combination; the
            union is 0 or NaN where the concept has no embedding.
        single: The same for the best single filter; 0 or NaN where the concept has none.
        num_concepts: C.
        group: The group of the image of each pair, any number; None if each image is its own.

    Raises:
        ValueError: If a concept is out of range, a pair comes twice, an intersection exceeds its
            union, or an image is of two groups.
    """

    image: Int64[np.ndarray, "P"]
    concept: Int64[np.ndarray, "P"]
    multi: Num[np.ndarray, "2 P"]
    single: Num[np.ndarray, "2 P"]
    num_concepts: int
    group: Int64[np.ndarray, "P"] | None = None

    def __post_init__(self) -> None:
        if ((self.concept < 0) | (self.concept >= self.num_concepts)).any():
            raise ValueError(f"a pair's concept is outside [0, {self.num_concepts})")
        if len(np.unique(self.image * self.num_concepts + self.concept)) < len(self.image):
            raise ValueError("a pair of image and concept comes twice: were images counted twice?")
        if any((method[0] > method[1]).any() for method in (self.multi, self.single)):
            raise ValueError("an intersection exceeds its union: are they of the same pairs?")
        if self.group is not None:
            of_image = np.unique(np.stack([self.image, self.group]), axis=1)[0]
            if len(np.unique(of_image)) < len(of_image):
                raise ValueError("an image is of two groups")

    @property
    def n_images(self) -> Int64[np.ndarray, "C"]:
        """Images of every concept."""
        return np.bincount(self.concept, minlength=self.num_concepts)

    @property
    def n_units(self) -> Int64[np.ndarray, "C"]:
        """Groups of every concept, or images where there are none."""
        return np.bincount(self.by_unit.concept, minlength=self.num_concepts)

    @property
    def least_units(self) -> int:
        """Units that an interval needs."""
        return LEAST_IMAGES if self.group is None else LEAST_GROUPS

    @cached_property
    def totals(self) -> Float64[np.ndarray, "2 2 C"]:
        """Sums over images: method by (intersection, union) by concept."""
        values = [*self.multi, *self.single]
        sums = [np.bincount(self.concept, v, self.num_concepts) for v in values]
        return np.stack(sums).astype(np.float64).reshape(2, 2, -1)  # of no pairs they are integers

    @cached_property
    def by_unit(self) -> UnitCounts:
        """Sums over the images of every group; without groups each image is a unit."""
        drawn = self.image if self.group is None else self._first_images(self.group)
        units, number = np.unique(drawn, return_inverse=True)
        key, entry = np.unique(number * self.num_concepts + self.concept, return_inverse=True)
        values = [*self.multi, *self.single]
        sums = np.stack([np.bincount(entry, v, len(key)) for v in values]).astype(np.float64)
        unit, concept = np.divmod(key, max(self.num_concepts, 1))
        return UnitCounts(unit, concept, sums.reshape(2, 2, -1), len(units))

    def _first_images(self, group: Int64[np.ndarray, "P"]) -> Int64[np.ndarray, "P"]:
        """Return the first image of every pair's group, so that units follow the images."""
        _, number = np.unique(group, return_inverse=True)
        first = np.full(number.max(initial=-1) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, number, self.image)
        return first[number]

    def reasons(self) -> tuple[str, ...]:
        """Say of every concept why the two methods cannot be compared on it; empty if they can."""
        multi, single = set_ious(self.totals)
        n, units = self.n_images, self.n_units
        reason = np.full(self.num_concepts, "", dtype=object)
        if self.group is not None:
            reason[units < LEAST_GROUPS] = f"fewer than {LEAST_GROUPS} groups"
        reason[n < LEAST_IMAGES] = f"fewer than {LEAST_IMAGES} images"
        reason[np.isnan(single)] = "no single filter"
        reason[np.isnan(multi)] = "no embedding"
        reason[n == 0] = "no image"
        return tuple(reason)


def set_ious(sums: Float64[np.ndarray, "M 2 *S"]) -> Float64[np.ndarray, "M *S"]:
    """Divide intersections by unions; NaN where the union is 0 or NaN."""
    score = np.full_like(sums[:, 0], np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=score, where=sums[:, 1] > 0)
    return score
