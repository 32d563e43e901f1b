"""``probes.csv``: probes and reference levels beside the run's own probe, and what that knows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import MULTI, SINGLE, paired_test
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.records import Estimate
from net2vec_pl.records.run import ProbeRow

KNOWN, NOT_KNOWN, UNDECIDED = "yes", "no", "undecided"
_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Contender:
    """Something that segments the concepts, and how well it does.

    Args:
        name: For tables.
        role: ``probe``, or ``reference``: a level that needs no concept, or no network.
        counts: Pixels of every val pair.
        train: Set IoU on train.
        ap: Average precision over the pixels of val images that contain the concept; NaN where it
            gives no ranking.
        annotated: Set IoU over val images annotated for the concept's category, 2,000 at most.
        argmax: IoU of the highest logit of the category, over the same images.
        cosine: Of its embedding with the run's own; NaN where it has none.
    """

    name: str
    role: Literal["probe", "reference"]
    counts: BankCounts
    train: Float64[Tensor, "C"]
    ap: Float64[Tensor, "C"]
    annotated: Float64[Tensor, "C"]
    argmax: Float64[Tensor, "C"]
    cosine: Float64[Tensor, "C"]

    def val(self) -> Float64[Tensor, "C"]:
        """Return set IoU on val."""
        score: Tensor = self.counts.set_iou(len(self.ap))[0]
        return score


@dataclass(frozen=True)
class Knowledge:
    """Whether a layer knows a concept: whether its probe beats every reference level.

    Args:
        reference: The level with the highest set IoU on val; empty if there is none.
        level: Its set IoU.
        gain: The probe's set IoU less the level, with its 95 % interval over val images, or groups.
        known: ``yes`` where the lower bound is above 0 and a paired test, corrected for the number
            of concepts, says so too; ``no`` where the level is better by the same test;
            ``undecided`` otherwise, or why it could not be tested.
    """

    reference: str
    level: float
    gain: Estimate
    known: str


def knowledge(
    own: Contender,
    references: Sequence[Contender],
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> list[Knowledge]:
    """Compare a probe with the best reference level of every concept.

    Args:
        own: The probe.
        references: The levels.
        seed: Seed of the swaps.
        groups: The group of each row of the dataset, if rows are grouped.
    """
    level_counts, best = best_level(references), _best(references)
    levels = level_counts.set_iou(len(own.ap))[0].nan_to_num(-1.0)
    counts = beside(own.counts, level_counts, len(own.ap), groups)
    test = paired_test(counts, _PERMUTATIONS, seed=seed)
    found = []
    for c, gain in enumerate(_estimates(SetIouIntervals(counts).gain)):
        level = float(levels[c])
        verdict = test.verdict[c]
        if verdict == MULTI:
            verdict = KNOWN if gain.low > 0 else UNDECIDED
        verdict = NOT_KNOWN if verdict == SINGLE else verdict
        name = references[int(best[c])].name if level >= 0 else ""
        found.append(Knowledge(name, level if level >= 0 else math.nan, gain, verdict))
    return found


def mean_over_levels(
    own: Contender,
    references: Sequence[Contender],
    groups: npt.NDArray[np.int64] | None = None,
) -> Interval:
    """Average a probe's gain over the best reference level of every concept.

    Args:
        own: The probe.
        references: The levels.
        groups: The group of each row of the dataset, if rows are grouped.

    Returns:
        The mean over concepts, with its interval over images, or groups.
    """
    counts = beside(own.counts, best_level(references), len(own.ap), groups)
    return SetIouIntervals(counts).means().gain


def best_level(references: Sequence[Contender]) -> BankCounts:
    """Return the pixels of the level with the highest set IoU on val, concept by concept.

    Args:
        references: The levels, at least one.
    """
    first = references[0].counts
    of_pair = _best(references)[first.concept], torch.arange(len(first.concept))
    chosen = (
        torch.stack([getattr(c.counts, name)[0] for c in references])[of_pair][None]
        for name in ("intersection", "union")
    )
    return BankCounts(first.image, first.concept, *chosen)


def _best(references: Sequence[Contender]) -> Int64[Tensor, "C"]:
    """Return which level is the best of each concept."""
    return torch.stack([c.val() for c in references]).nan_to_num(-1.0).argmax(0)


def probe_table(
    vocabulary: Vocabulary,
    contenders: Sequence[Contender],
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> list[ProbeRow]:
    """Tabulate every concept and contender.

    Args:
        vocabulary: The probed concepts.
        contenders: The run's own probe, and all that stands beside it.
        seed: Seed of the swaps.
        groups: The group of each row of the dataset, if rows are grouped.
    """
    own, rows = contenders[0], []
    references = [c for c in contenders if c.role == "reference"]
    for contender in contenders:
        is_probe = contender.role == "probe"
        known = knowledge(contender, references, seed, groups) if is_probe else []
        counts = beside(contender.counts, own.counts, len(vocabulary), groups)
        found = SetIouIntervals(counts)
        scores, gains = _estimates(found.multi), _estimates(found.gain)
        for c, concept in enumerate(vocabulary):
            rows.append(
                ProbeRow(
                    concept.number,
                    concept.name,
                    concept.category,
                    contender.name,
                    contender.role,
                    n_val=int(found.n_images[c]),
                    train=float(contender.train[c]),
                    val=scores[c],
                    gain=gains[c],
                    ap=float(contender.ap[c]),
                    annotated=float(contender.annotated[c]),
                    argmax=float(contender.argmax[c]),
                    cosine=float(contender.cosine[c]),
                    over_reference=known[c].gain if known else Estimate(math.nan),
                    known=known[c].known if known else "",
                )
            )
    return rows


@dataclass(frozen=True)
class ProbeMeans:
    """Means of one contender over concepts, on val.

    Args:
        name: Name of the probe or reference level.
        role: ``probe`` or ``reference``.
        val: Mean set IoU over images that contain the concept.
        ap: Mean average precision.
        annotated: Mean set IoU over annotated images.
        argmax: Mean IoU of the highest logit of a category.
        over_reference: Mean gain over each concept's best level; NaN for levels.
        known: Concepts that it knows.
        tested: Concepts with a score.
    """

    name: str
    role: str
    val: float
    ap: float
    annotated: float
    argmax: float
    over_reference: float
    known: int
    tested: int


def probe_means(rows: Sequence[ProbeRow]) -> list[ProbeMeans]:
    """Average the rows of every contender, in their order."""
    found = []
    for name in dict.fromkeys(row.probe for row in rows):
        mine = [row for row in rows if row.probe == name]
        found.append(
            ProbeMeans(
                name,
                mine[0].role,
                val=nan_mean(row.val.value for row in mine),
                ap=nan_mean(row.ap for row in mine),
                annotated=nan_mean(row.annotated for row in mine),
                argmax=nan_mean(row.argmax for row in mine),
                over_reference=nan_mean(row.over_reference.value for row in mine),
                known=sum(row.known == KNOWN for row in mine),
                tested=sum(math.isfinite(row.val.value) for row in mine),
            )
        )
    return found


def nan_mean(values: Iterable[float]) -> float:
    """Average what can be averaged; NaN if nothing can.

    Example:
        >>> nan_mean([1.0, float("nan"), 2.0])
        1.5
    """
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def beside(
    multi: BankCounts,
    single: BankCounts,
    num_concepts: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> PairCounts:
    """Put the first banks of two counts side by side, pair for pair.

    Args:
        multi: Counts of the first method.
        single: Counts of the second.
        num_concepts: C.
        groups: The group of each row of the dataset, if rows are grouped.
    """
    first, second = (
        torch.stack([counts.intersection[0], counts.union[0]]).numpy() for counts in (multi, single)
    )
    image = multi.image.numpy()
    group = None if groups is None else groups[image]
    return PairCounts(image, multi.concept.numpy(), first, second, num_concepts, group)


def _estimates(found: Interval) -> list[Estimate]:
    return [Estimate(*of_concept) for of_concept in found.array().T.tolist()]
