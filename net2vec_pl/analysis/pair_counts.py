"""Pixels of two methods on the same pairs of images and concepts, to be drawn from at random.

The image is what chance draws, and its concepts come with it. A set IoU is a ratio of sums over
images, so both the bootstrap and the paired test are one sparse product: counts (rows by images)
times how often every image was drawn, or whether it was swapped. Where images are of groups, such
as films, a group is drawn or swapped as one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Num
from scipy import sparse

_BUDGET = 2**23  # numbers held at a time: 64 MB


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
        if len(np.unique(np.stack([self.image, self.concept]), axis=1).T) < len(self.image):
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
    def drawn_as(self) -> Int64[np.ndarray, "P"]:
        """What chance draws with each pair: its image, or the first image of its group."""
        if self.group is None:
            return self.image
        _, number = np.unique(self.group, return_inverse=True)
        first = np.full(number.max(initial=-1) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, number, self.image)
        return first[number]

    @property
    def n_drawn(self) -> Int64[np.ndarray, "C"]:
        """Groups of every concept, or images where there are none."""
        pairs = np.unique(np.stack([self.drawn_as, self.concept]), axis=1)
        return np.bincount(pairs[1], minlength=self.num_concepts)

    @property
    def totals(self) -> Float64[np.ndarray, "2 2 C"]:
        """Sums over images: method by (intersection, union) by concept."""
        values = [*self.multi, *self.single]
        sums = [np.bincount(self.concept, v, self.num_concepts) for v in values]
        return np.stack(sums).astype(np.float64).reshape(2, 2, -1)  # of no pairs they are integers

    def reasons(self) -> tuple[str, ...]:
        """Say of every concept why the two methods cannot be compared on it; empty if they can."""
        multi, single = set_ious(self.totals)
        reason = np.full(self.num_concepts, "", dtype=object)
        reason[self.n_drawn == 1] = "one group"
        reason[self.n_images == 1] = "one image"
        reason[np.isnan(single)] = "no single filter"
        reason[np.isnan(multi)] = "no embedding"
        reason[self.n_images == 0] = "no image"
        return tuple(reason)

    def random_sums(
        self,
        values: Num[np.ndarray, "V P"],
        draw: Callable[[int], Num[np.ndarray, "N"]],
        times: int,
    ) -> Iterator[Float64[np.ndarray, "V C _"]]:
        """Sum values over images that are weighted at random, for a few draws at a time.

        Args:
            values: Values of every pair.
            draw: Draws the weight of each of N images, or groups where there are any.
            times: How often.
        """
        images, column = np.unique(self.drawn_as, return_inverse=True)
        rows = np.arange(len(values))[:, None] * self.num_concepts + self.concept
        place = (rows.ravel(), np.tile(column, len(values)))
        shape = (len(values) * self.num_concepts, len(images))
        table = sparse.csr_array((values.ravel().astype(np.float64), place), shape=shape)
        width = max(1, _BUDGET // max(1, sum(shape)))
        for start in range(0, times, width):
            weights = np.stack([draw(len(images)) for _ in range(min(width, times - start))], 1)
            yield (table @ weights.astype(np.float64)).reshape(len(values), -1, weights.shape[1])


def set_ious(sums: Float64[np.ndarray, "M 2 *S"]) -> Float64[np.ndarray, "M *S"]:
    """Divide intersections by unions; NaN where the union is 0 or NaN."""
    score = np.full_like(sums[:, 0], np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=score, where=sums[:, 1] > 0)
    return score
