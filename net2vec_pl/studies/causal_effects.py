"""What each intervention does to each concept, beside random directions and other concepts'."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from net2vec_pl.analysis.causal import image_means, per_dose, placed
from net2vec_pl.studies.causal_directions import DIFFERENCE, PATTERN
from net2vec_pl.studies.causal_measure import Measured

ABLATE, LEACE, STEER = "ablate", "ablate by LEACE", "steer"
PER_DOSE, SLOPE, FREE_SLOPE = "steer, per dose", "derivative", "derivative, without it"
Array = np.ndarray


@dataclass(frozen=True)
class Effect:
    """One intervention by one kind of vector, each concept's on itself.

    Args:
        intervention: What was done.
        direction: Which vector of each concept.
        parts: Change of what is related, of all else, and its size; the latter two are NaN of
            slopes. NaN where a concept is not read in an image.
        random: The same by random directions: the mean over images of what counts. Of what is taken
            out, for as large a change: effects are taken to grow with it.
        across: Likewise by the vectors of all concepts (rows) on each (columns).
        most: Mean change of every target; none where it was not noted.
        random_positive: Share of the images with a positive slope, by random direction.
    """

    intervention: str
    direction: str
    parts: Float64[Array, "n J 3"]
    random: Float64[Array, "R J"]
    across: Float64[Array, "J J"] | None = None
    most: Float64[Array, "J T"] | None = None
    random_positive: Float64[Array, "R J"] | None = None

    @property
    def sign(self) -> int:
        """-1 where a fall is what counts."""
        return -1 if self.intervention in (ABLATE, LEACE) else 1

    @property
    def counted(self) -> Float64[Array, "n J"]:
        """What counts: the change of what is related less that of all else, or the slope."""
        return _counted(self.parts)

    @property
    def on_free(self) -> bool:
        """Whether images are those whose middle is free of the concept, not those that have it."""
        return self.intervention in (STEER, PER_DOSE, FREE_SLOPE)

    @property
    def is_slope(self) -> bool:
        """Whether this is a derivative; those are tested to both sides, as TCAV's score is."""
        return self.intervention in (SLOPE, FREE_SLOPE)

    def p(self, concept: int) -> float:
        """Return how often a random direction does as much to a concept."""
        mean, random = image_means(self.counted.T)[concept], self.random[:, concept]
        if self.is_slope:
            return placed(abs(mean), np.abs(random))
        return placed(self.sign * mean, self.sign * random)

    def others_above(self, concept: int) -> float:
        """Return how many other concepts' vectors do as much to a concept; NaN if unknown."""
        if self.across is None:
            return float("nan")
        column = self.sign * self.across[:, concept]
        if not np.isfinite(column[concept]):
            return float("nan")
        return float((np.delete(column, concept) >= column[concept]).sum())

    def positive(self, concept: int) -> tuple[float, float]:
        """Return TCAV's score and its place among random directions; NaN if these are no slopes."""
        if self.random_positive is None:
            return float("nan"), float("nan")
        share = float(_positive(self.parts[None, :, concept, 0])[0])
        return share, placed(abs(share - 0.5), np.abs(self.random_positive[:, concept] - 0.5))


def effects_of(
    measured: Measured, kinds: Sequence[str], doses: Sequence[float]
) -> Iterator[Effect]:
    """Go through all interventions and kinds of vectors.

    Args:
        measured: What was measured.
        kinds: What the vectors of a concept are called.
        doses: Of steering.
    """
    v, j = len(kinds), measured.steered.shape[1]
    by_erasure, steered = measured.ablated, measured.steered
    random_out = _means(measured.ablated_random)
    random_in, middle = _means(measured.steered_random), len(doses) // 2
    here = np.isfinite(_diagonal(by_erasure[:j])[..., 0]).T
    first = kinds.index(PATTERN) * j
    patterns = measured.sizes[first : first + j]
    for i, kind in enumerate([*kinds, LEACE]):
        these = slice(i * j, (i + 1) * j)
        some = by_erasure[these]
        random = random_out * _larger(measured.sizes[these], patterns, here)
        if kind == LEACE:
            yield Effect(LEACE, DIFFERENCE, _diagonal(some), random, _means(some), measured.fell)
        else:
            yield Effect(ABLATE, kind, _diagonal(some), random, _means(some))
    nothing = np.zeros((0, j))
    for i, kind in enumerate(kinds):
        at_dose = steered[i, :, middle].transpose(1, 0, 2)
        yield Effect(STEER, kind, at_dose, random_in, most=measured.rose[i])
        lines = np.stack([per_dose(of, doses) for of in steered[i]], 1)
        yield Effect(PER_DOSE, kind, lines, nothing)
    for name, slopes in ((SLOPE, measured.slopes), (FREE_SLOPE, measured.free_slopes)):
        random, shares = _slopes(slopes[v * j :])
        for i, kind in enumerate(kinds):
            mine = slopes[i * j : (i + 1) * j]
            own = mine[np.arange(j), :, np.arange(j)].T
            parts = np.stack([own, np.full_like(own, np.nan), np.full_like(own, np.nan)], 2)
            across = _slopes(mine)[0]
            yield Effect(name, kind, parts, random, across, random_positive=shares)


def _larger(
    sizes: Float64[Array, "J n"], patterns: Float64[Array, "J n"], here: Bool[Array, "J n"]
) -> Float64[Array, "J"]:
    """Return how much further erasures go than those of patterns, as which random ones go as far.

    Args:
        sizes: How far each goes in each image.
        patterns: The same of patterns.
        here: In which images each is read.
    """
    own, other = (image_means(np.where(here, some, np.nan)) for some in (sizes, patterns))
    return np.asarray(np.divide(own, other, out=np.full(len(own), np.nan), where=other > 0))


def _counted(parts: Float64[Array, "*S 3"]) -> Float64[Array, "*S"]:
    slope = np.isnan(parts[..., 1])
    return np.where(slope, parts[..., 0], parts[..., 0] - np.where(slope, 0.0, parts[..., 1]))


def _means(parts: Float64[Array, "D n J 3"]) -> Float64[Array, "D J"]:
    counted = _counted(parts)
    return np.stack([image_means(of) for of in counted.transpose(2, 0, 1)], 1)


def _diagonal(parts: Float64[Array, "J n J 3"]) -> Float64[Array, "n J 3"]:
    some = np.arange(len(parts))
    return np.asarray(parts[some, :, some].transpose(1, 0, 2))


def _slopes(slopes: Float64[Array, "D n J"]) -> tuple[Float64[Array, "D J"], Float64[Array, "D J"]]:
    """Return mean slopes, and shares of the images whose slope is positive."""
    by_concept = slopes.transpose(2, 0, 1)
    means, shares = [image_means(of) for of in by_concept], [_positive(of) for of in by_concept]
    return np.stack(means, 1), np.stack(shares, 1)


def _positive(slopes: Float64[Array, "D n"]) -> Float64[Array, "D"]:
    return image_means(np.where(np.isnan(slopes), np.nan, (slopes > 0).astype(np.float64)))
