"""Balanced sets of images for classification: as many that carry a concept as do not.

Whatever a concept draws follows from seed, concept number and epoch alone, so it does not change
with the concepts or filters trained beside it. Source: Net2Vec, section 3.3, whose code draws from
an unseeded generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

LEAST_OF_A_CLASS = 10
"""Val images with a concept, and as many without it, that scores of its classifiers need."""


@dataclass(frozen=True)
class Examples:
    """Some images of every concept, one concept after the other.

    Args:
        image: Rows of the images, those of the first concept first.
        positive: Whether the image carries the concept.
        count: Examples of each concept; 0 where one of the classes is missing.
    """

    image: Int64[np.ndarray, "E"]
    positive: Bool[np.ndarray, "E"]
    count: Int64[np.ndarray, "C"]

    def of(self, concept: int) -> slice:
        """Return where the examples of a concept stand."""
        end = int(self.count[: concept + 1].sum())
        return slice(end - int(self.count[concept]), end)

    def concept(self) -> Int64[np.ndarray, "E"]:
        """Return the concept of each example."""
        return np.repeat(np.arange(len(self.count)), self.count)


class BalancedSampler:
    """Draw balanced sets: the smaller class whole, as many of the larger, in random order.

    Args:
        present: Which image of one split carries which concept.
        numbers: Label number of each concept.
        seed: Seed of all draws, at least 0.
        absent: Which image is known to lack which concept; all that do not carry it if None.

    Attributes:
        count: Examples a draw has of each concept, twice the size of its smaller class.
    """

    def __init__(
        self,
        present: Bool[np.ndarray, "N C"],
        numbers: Sequence[int],
        seed: int,
        absent: Bool[np.ndarray, "N C"] | None = None,
    ) -> None:
        self._present = np.ascontiguousarray(present.T)
        self._absent = ~self._present if absent is None else np.ascontiguousarray(absent.T)
        self._numbers = numbers
        self._seed = seed
        positives, negatives = (
            flags.sum(1, dtype=np.int64) for flags in (self._present, self._absent)
        )
        self.count = 2 * np.minimum(positives, negatives)

    def draw(self, epoch: int = 0) -> Examples:
        """Draw the examples of an epoch, anew for each."""
        images = [self._draw_one(c, epoch) for c in range(len(self._numbers))]
        flags = [row[some] for row, some in zip(self._present, images, strict=True)]
        # The empty heads give the arrays their types when there is no concept at all.
        return Examples(
            image=np.concatenate([np.zeros(0, np.int64), *images]),
            positive=np.concatenate([np.zeros(0, np.bool_), *flags]),
            count=self.count,
        )

    def _draw_one(self, concept: int, epoch: int) -> Int64[np.ndarray, "E"]:
        size = int(self.count[concept]) // 2
        if not size:
            return np.zeros(0, np.int64)
        # NumPy takes [seed, number] for [seed, number, 0], and the former draws initial weights.
        random = np.random.default_rng([self._seed, self._numbers[concept], epoch + 1])
        chosen = [
            some if len(some) == size else random.choice(some, size, replace=False, shuffle=False)
            for some in (
                np.flatnonzero(self._present[concept]),
                np.flatnonzero(self._absent[concept]),
            )
        ]
        return random.permutation(np.concatenate(chosen))


def too_few(
    present: Bool[np.ndarray, "N C"],
    images: str,
    absent: Bool[np.ndarray, "N C"] | None = None,
    least: int = 1,
) -> list[str]:
    """Say of each concept why these images cannot teach or test it; nothing if they can.

    Args:
        present: Which image carries which concept.
        images: What the images are called, as in ``"val images"``.
        absent: Which image is known to lack which concept; all that do not carry it if None.
        least: Images that each of the two classes needs.

    Example:
        >>> too_few(np.array([[True, False, True], [True, False, False]]), "val images")
        ['no val images without it', 'no val images with it', '']
    """
    lacking = ~present if absent is None else absent
    pairs = zip(present.sum(0).tolist(), lacking.sum(0).tolist(), strict=True)
    return [
        fewer_than(least, some, f"{images} with it")
        or fewer_than(least, others, f"{images} without it")
        for some, others in pairs
    ]


def fewer_than(least: int, count: int, images: str) -> str:
    """Say that there are too few images; nothing if there are enough.

    Example:
        >>> fewer_than(10, 2, "val images without it"), fewer_than(10, 12, "val images with it")
        ('2 val images without it, 10 are needed', '')
    """
    if count >= least:
        return ""
    return f"{count or 'no'} {images}" + (f", {least} are needed" if least > 1 else "")
