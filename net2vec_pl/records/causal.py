"""The tables of ``analysis=causal``, in ``analysis/``."""

from dataclasses import dataclass

from net2vec_pl.records.table import Estimate, Record


@dataclass(frozen=True)
class CausalRow(Record):
    """A row of ``causal.csv``: what follows where a direction of a concept is taken out or put in.

    Changes are in standard deviations of what is read: of a class over images, of the score at a
    later layer over train positions.

    Args:
        name: The concept.
        category: Its primary category.
        read: ``classes``, or the later layer at which concepts are read.
        intervention: ``ablate``, ``ablate by LEACE``, ``steer`` (at the middle dose),
            ``steer, per dose``, ``derivative`` (in images that have the concept) or ``derivative,
            without it``.
        direction: Which vector of the concept.
        n: Val images.
        change: Mean change of what has to do with the concept, with a 95 % interval over images, or
            groups of them; NaN bounds below 10 images or 3 groups.
        other: Mean change of all else that is read.
        apart: change - other.
        moved: Mean size of the change of all else.
        p: How often a random direction does as much (its ``apart`` is as far down by ablation, for
            as large a change of the layer, as far up by steering; its slope is as far from 0):
            (1 + #) / (1 + random).
        random: How many random directions there are.
        random_apart: Their mean ``apart``, by ablation for as large a change; or slope.
        others_above: How many directions of other concepts, of the same kind, do as much to this
            concept; NaN where this was not measured.
        positive: Share of the images with a positive slope: TCAV's score.
        positive_p: How often a random direction has a share as far from one half.
        most: The target that falls most by ablation, or rises most by steering.
        score: Val set IoU of the run's own probe: how well the concept can be read.
    """

    name: str
    category: str
    read: str
    intervention: str
    direction: str
    n: int
    change: Estimate
    other: Estimate
    apart: Estimate
    moved: float
    p: float
    random: int
    random_apart: float
    others_above: float
    positive: float
    positive_p: float
    most: str
    score: float


@dataclass(frozen=True)
class CausalDoseRow(Record):
    """A row of ``causal_doses.csv``: a direction put into the middle of images, by dose.

    Args:
        name: The concept.
        read: As in ``causal.csv``.
        direction: Which vector of the concept.
        dose: In standard deviations of one filter, along the direction.
        n: Val images whose middle is free of the concept.
        change: Mean change of what has to do with the concept, with a 95 % interval over images.
        other: Mean change of all else.
        moved: Mean size of the change of all else.
    """

    name: str
    read: str
    direction: str
    dose: float
    n: int
    change: Estimate
    other: Estimate
    moved: float


@dataclass(frozen=True)
class CausalMatrixRow(Record):
    """A row of ``causal_matrix.csv``: a concept is taken out, and another one is read.

    Args:
        read: As in ``causal.csv``.
        direction: Which vector is taken out.
        out: The concept that is taken out.
        target: The concept that is read, in the images that have it.
        n: These images.
        change: Mean change of what has to do with the target, with a 95 % interval over images.
    """

    read: str
    direction: str
    out: str
    target: str
    n: int
    change: Estimate


@dataclass(frozen=True)
class CausalClassRow(Record):
    """A row of ``causal_classes.csv``: the classes of a network that have to do with a concept.

    Args:
        name: The concept.
        how: What says so: ``asked for``, ``WordNet`` or ``its name``; ``none`` where there are
            none.
        classes: Their names, separated by semicolons.
    """

    name: str
    how: str
    classes: str
