"""Set IoU on val with intervals: what if other images had been drawn?

All concepts of an image are left out with it, so means over concepts get honest intervals too.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64

from net2vec_pl.analysis.jackknife import (
    LEAST_IMAGES,
    NOTHING,
    Changes,
    Interval,
    jackknife,
    student,
)
from net2vec_pl.analysis.pair_counts import PairCounts, UnitCounts, set_ious

_MOST = int(np.iinfo(np.int64).max)  # units that nothing has


@dataclass(frozen=True)
class MeanScores:
    """Means over concepts, with intervals over images.

    Args:
        multi: Mean set IoU of the learned combination.
        single: Mean set IoU of the best single filter, over the same concepts.
        gain: Mean of multi - single.
        n_won: Concepts with a gain above 0.
        n_concepts: Concepts that both methods score.
    """

    multi: Interval
    single: Interval
    gain: Interval
    n_won: int
    n_concepts: int


@dataclass(frozen=True)
class MeanParts:
    """A mean over concepts, taken apart by what chance draws: images, or groups.

    Args:
        value: The mean.
        without: What it is without each unit; NaN for a unit without any of the concepts.
        weight: What each unit counts in it: its share of the unions, summed over concepts.
        least: Units that an interval needs; more than any where images are few.
    """

    value: float
    without: Float64[np.ndarray, "U"]
    weight: Float64[np.ndarray, "U"]
    least: int

    def interval(self, level: float = 0.95, share: bool = False) -> Interval:
        """Return the mean with its interval.

        Args:
            level: How often an interval should hold the truth.
            share: Whether the mean is one of set IoUs, and not of differences.
        """
        value = np.array(self.value)
        return jackknife(value, self.without, self.weight, level, share, self.least, skewed=share)


@dataclass(frozen=True)
class SetIouIntervals:
    """Set IoU of two methods, and their difference, with intervals over images or groups.

    Args:
        counts: Pixels of the pairs of val.
        level: How often an interval should hold the truth.
    """

    counts: PairCounts
    level: float = 0.95

    @property
    def _units(self) -> UnitCounts:
        return self.counts.by_unit

    @cached_property
    def _scores(self) -> Float64[np.ndarray, "3 C"]:
        """Set IoU of multi and of single, and the difference."""
        multi, single = set_ious(self.counts.totals)
        return np.stack([multi, single, multi - single])

    @cached_property
    def _without(self) -> Float64[np.ndarray, "3 Q"]:
        """The same of each entry's concept without its unit; NaN where nothing is left."""
        multi, single = set_ious(self.counts.totals[..., self._units.concept] - self._units.sums)
        return np.stack([multi, single, multi - single])

    @cached_property
    def n_images(self) -> Int64[np.ndarray, "C"]:
        """Images of every concept."""
        return self.counts.n_images

    @cached_property
    def multi(self) -> Interval:
        """Set IoU of the learned combination, per concept."""
        return self._per_concept(0)

    @cached_property
    def single(self) -> Interval:
        """Set IoU of the best single filter."""
        return self._per_concept(1)

    @cached_property
    def gain(self) -> Interval:
        """The difference, multi - single."""
        return self._per_concept(2)

    def _per_concept(self, which: int) -> Interval:
        concept, size = self._units.concept, self.counts.num_concepts
        value = self._scores[which]
        change = np.nan_to_num(self._without[which] - value[concept])
        changes = Changes.by(concept, size, change, self._weights[which])
        own = which < 2  # set IoU itself, and not a difference
        return student(value, changes, self.level, own, self._least(), skewed=own)

    @cached_property
    def _weights(self) -> Float64[np.ndarray, "3 Q"]:
        """What an entry counts in its concept's score: its share of the union."""
        union, total = self._units.sums[:, 1], self.counts.totals[:, 1][:, self._units.concept]
        share = np.zeros_like(union)
        np.divide(union, total, out=share, where=total > 0)
        return np.vstack([share, share.mean(0)[None]])

    def _least(self) -> Int64[np.ndarray, "C"]:
        """Units that the interval of each concept needs; more than any where images are few."""
        return np.where(self.n_images >= LEAST_IMAGES, self.counts.least_units, _MOST)

    def means(self, among: Bool[np.ndarray, "C"] | None = None) -> MeanScores:
        """Average over the concepts that both methods score.

        A concept with few images counts here, as it does in the tables of a run; without its only
        image it is left out of the mean.

        Args:
            among: Concepts to average over, those of a category say; all if absent.

        Returns:
            Means with their intervals; NaN if no concept is scored.
        """
        chosen = np.isfinite(self._scores[2])
        if among is not None:
            chosen &= among
        multi, single, gain = (self._mean(which, chosen) for which in range(3))
        won = int((self._scores[2][chosen] > 0).sum())
        return MeanScores(multi, single, gain, won, int(chosen.sum()))

    def _mean(self, which: int, chosen: Bool[np.ndarray, "C"]) -> Interval:
        if not chosen.any():
            return NOTHING
        return self.parts(which, chosen).interval(self.level, share=which < 2)

    def parts(self, which: int, chosen: Bool[np.ndarray, "C"]) -> MeanParts:
        """Take a mean over concepts apart by unit.

        Args:
            which: 0 for multi, 1 for single, 2 for the difference.
            chosen: Concepts to average over, all of them scored.
        """
        values, units = self._scores[which], self._units
        number, total, size = int(chosen.sum()), values[chosen].sum(), units.num_units
        kept = chosen[units.concept]
        unit, concept = units.unit[kept], units.concept[kept]
        without = self._without[which][kept]
        gone = np.isnan(without)  # the concept has no other unit
        change = np.where(gone, -values[concept], without - values[concept])
        left = number - np.bincount(unit, gone, size)
        there = (np.bincount(unit, minlength=size) > 0) & (left > 0)
        images = np.unique(self.counts.image[chosen[self.counts.concept]])
        return MeanParts(
            float(total / number),
            np.divide(
                total + np.bincount(unit, change, size),
                left,
                out=np.full(size, np.nan),
                where=there,
            ),
            np.bincount(unit, self._weights[which][kept], size),
            self.counts.least_units if len(images) >= LEAST_IMAGES else _MOST,
        )
