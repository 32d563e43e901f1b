"""The tables of ``analysis=closed_form``, from sums alone, in ``analysis/``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from net2vec_pl.records.table import Column, Estimate, Record


@dataclass(frozen=True)
class SelectivityRow(Record):
    """A row of ``selectivity.csv``: LDA from a concept's own masks and from those of other images.

    Args:
        name: The concept.
        category: Its primary category.
        n: Val images that contain it.
        real: Set IoU of LDA on val, with its 95 % interval over images, or groups.
        shuffled: The same of LDA from masks of other train images of the concept, its threshold
            included, on the true masks of val.
        selectivity: real - shuffled.
        p_fdr: Two-sided p-value of a paired test, corrected by Benjamini and Hochberg.
        selective: ``yes`` where it is above 0 by that test, ``no`` where below, ``undecided``, or
            why there is no test.
    """

    name: str
    category: str
    n: int
    real: Estimate
    shuffled: Estimate
    selectivity: Estimate
    p_fdr: float
    selective: str


@dataclass(frozen=True)
class ClosedFormCurveRow(Record):
    """A row of ``closed_form_curves.csv``: LDA of a concept over only some of its filters.

    Args:
        name: The concept.
        category: Its primary category.
        filters: F.
        largest: Val set IoU over the F filters of largest weight times spread.
        forward: The same over the first F filters of forward selection.
    """

    name: str
    category: str
    filters: int
    largest: float
    forward: float


@dataclass(frozen=True)
class ClosedFormNeededRow(Record):
    """A row of ``closed_form_needed.csv``: how many filters LDA of a concept needs.

    Args:
        name: The concept.
        category: Its primary category.
        level: Val set IoU of its best reference level.
        full: Val set IoU of LDA over all filters.
        largest: Share of full - level, such as ``80%`` -> the fewest filters of largest weight that
            gain as much.
        forward: The same by forward selection.
        status: ``ok``, or why there is no number.
    """

    name: str
    category: str
    level: float
    full: float
    largest: Annotated[Mapping[str, float], Column("largest_for_{}")]
    forward: Annotated[Mapping[str, float], Column("forward_for_{}")]
    status: str


@dataclass(frozen=True)
class LearningRow(Record):
    """A row of ``learning_curve.csv``: LDA of a concept from some of the train images.

    Args:
        name: The concept.
        category: Its primary category.
        folds: How many folds of the train images.
        share: Their share of all train images, the mean over the choices.
        images: About how many of them contain the concept, likewise.
        choices: How many random choices of as many folds there are.
        val: Set IoU on val, the mean over the choices.
        spread: Its standard deviation over the choices; NaN where there is one.
    """

    name: str
    category: str
    folds: int
    share: float
    images: float
    choices: int
    val: float
    spread: float


@dataclass(frozen=True)
class DirectionSpreadRow(Record):
    """A row of ``direction_spread.csv``: how far an embedding depends on the train images.

    Args:
        name: The concept.
        category: Its primary category.
        cosine: Between LDA from these train images and LDA from as many others, as estimated by the
            jackknife over folds; NaN for a concept that is in one fold only.
        neighbour: The nearest concept; empty if there is none.
        neighbour_cosine: Cosine with it, with a 95 % interval over training sets of this size; NaN
            bounds below 3 folds.
        following: The next nearest; empty if there is none.
        lead: By how much the cosine with the nearest is larger, likewise.
        folds: How many folds of train images have the concept.
        status: ``ok``, or why there is no number.
    """

    name: str
    category: str
    cosine: float
    neighbour: str
    neighbour_cosine: Estimate
    following: str
    lead: Estimate
    folds: int
    status: str


@dataclass(frozen=True)
class PartialRow(Record):
    """A row of ``partial.csv``: LDA of a concept, with the scores of other concepts taken out.

    Args:
        name: The concept.
        category: Its primary category.
        n: Val images that contain it.
        full: Set IoU of LDA on val, with its 95 % interval over images, or groups.
        partial: The same with the scores of others taken out: those that take most of the squared
            distance one at a time, at most a quarter as many as there are filters.
        loss: full - partial.
        taken: How many others these are.
        distance_left: Share of the squared distance of inside and outside that is left, on train.
        left: Share of the gain over the best reference level that is left on val; NaN where LDA is
            not above it, no bounds where that is not sure.
        other: The concept that takes most alone; empty if there is none.
        correlation: Of its scores with those of the concept, over all train positions; its square
            is the share of the squared distance that it takes.
        without_other: Set IoU with its score alone taken out.
        left_without_other: Share of the gain that is left then.
        other_there: Share of the concept's train images that contain the other one.
        status: ``ok``, or why there is no number.
    """

    name: str
    category: str
    n: int
    full: Estimate
    partial: Estimate
    loss: Estimate
    taken: int
    distance_left: float
    left: Estimate
    other: str
    correlation: float
    without_other: Estimate
    left_without_other: Estimate
    other_there: float
    status: str


@dataclass(frozen=True)
class RandomDirectionRow(Record):
    """A row of ``random_directions.csv``: a concept's best filter among other single directions.

    The best ones are chosen on train images, where their thresholds are set too, and either sign of
    a direction may be taken.

    Args:
        name: The concept.
        category: Its primary category.
        filter: Number of the best filter; -1 if there is none.
        single: Its set IoU on val.
        rotated: That of the best direction of a random rotation of the filters, the mean over
            rotations.
        spread: Its standard deviation over rotations.
        p: How often a rotation does as well as the filters: (1 + #) / (1 + rotations).
        apart: Difference of the mean response inside and outside of the concept along the best
            filter, in standard deviations of the response.
        rotated_apart: The same along the best rotated direction, the mean over rotations.
        random_above: Share of random directions along which it is larger than along the filter.
        status: ``ok``, or why there is no number.
    """

    name: str
    category: str
    filter: int
    single: float
    rotated: float
    spread: float
    p: float
    apart: float
    rotated_apart: float
    random_above: float
    status: str
