"""Scores of classifiers: balanced accuracy, average precision and area under the ROC curve.

Accuracy is the paper's, on a balanced set. The other two are taken over all images of a split,
twice: with every image that lacks the concept as a negative, and with those alone whose annotation
covers the concept's category. Else "is this image of that source?" already answers for textures.
A class of a few images says little of a classifier: below ``LEAST_OF_A_CLASS`` there is no score.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from net2vec_pl.functional.balanced import LEAST_OF_A_CLASS, Examples, fewer_than, too_few

_ENTRIES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class ClassificationScores:
    """Scores of G classifiers of every concept, in [0, 1]; NaN where there is nothing to score.

    Args:
        accuracy: Share of the balanced examples on their side of 0.5; chance is 0.5.
        ap: Average precision over all images.
        auc: Area under the ROC curve over all images; chance is 0.5.
        ap_annotated: As ``ap``, negatives from images annotated for the concept's category.
        auc_annotated: As ``auc``, with the same negatives.
        n_with: Images that carry each concept.
        n_without: Images known to lack it.
        n_without_annotated: Those of them that are annotated for its category.
        reason: Why a concept's accuracy, ``ap`` and ``auc`` are NaN; empty if they are not.
        reason_annotated: The same of ``ap_annotated`` and ``auc_annotated``.
    """

    accuracy: Float64[Tensor, "G C"]
    ap: Float64[Tensor, "G C"]
    auc: Float64[Tensor, "G C"]
    ap_annotated: Float64[Tensor, "G C"]
    auc_annotated: Float64[Tensor, "G C"]
    n_with: Int64[np.ndarray, "C"]
    n_without: Int64[np.ndarray, "C"]
    n_without_annotated: Int64[np.ndarray, "C"]
    reason: list[str]
    reason_annotated: list[str]


def score_classifiers(
    logits: Iterable[Float[Tensor, "N C"]],
    present: Bool[np.ndarray, "N C"],
    annotated: Bool[np.ndarray, "N C"],
    balanced: Examples,
    absent: Bool[np.ndarray, "N C"] | None = None,
) -> ClassificationScores:
    """Score classifiers over the images of a split.

    Args:
        logits: Logits of each of G classifiers, one at a time; not finite where a concept has none.
        present: Which image carries which concept.
        annotated: Which image is annotated for the concept's category.
        balanced: The balanced examples, the same for all that is compared.
        absent: Which image is known to lack which concept; all that do not carry it if None.
    """
    lacking = ~present if absent is None else absent
    found = [_score(one, present, lacking, annotated, balanced) for one in logits]
    accuracy, ap, auc, ap_annotated, auc_annotated = map(torch.stack, zip(*found, strict=True))
    n_with, n_without, n_annotated = (
        flags.sum(0, dtype=np.int64) for flags in (present, lacking, annotated & lacking)
    )
    reason = too_few(present, "val images", lacking, LEAST_OF_A_CLASS)
    narrow = [
        why or fewer_than(LEAST_OF_A_CLASS, count, "annotated val images without it")
        for why, count in zip(reason, n_annotated.tolist(), strict=True)
    ]
    untrained = accuracy.isnan().all(0).tolist()
    none, none_annotated = (
        torch.tensor([why != "" for why in of]).bool() for of in (reason, narrow)
    )
    return ClassificationScores(
        accuracy=accuracy.masked_fill(none, torch.nan),
        ap=ap.masked_fill(none, torch.nan),
        auc=auc.masked_fill(none, torch.nan),
        ap_annotated=ap_annotated.masked_fill(none_annotated, torch.nan),
        auc_annotated=auc_annotated.masked_fill(none_annotated, torch.nan),
        n_with=n_with,
        n_without=n_without,
        n_without_annotated=n_annotated,
        reason=_or_untrained(reason, untrained),
        reason_annotated=_or_untrained(narrow, untrained),
    )


def _or_untrained(reasons: list[str], untrained: list[bool]) -> list[str]:
    pairs = zip(reasons, untrained, strict=True)
    return [why or ("no classifier" if none else "") for why, none in pairs]


def _score(
    logits: Float[Tensor, "N C"],
    present: Bool[np.ndarray, "N C"],
    absent: Bool[np.ndarray, "N C"],
    annotated: Bool[np.ndarray, "N C"],
    balanced: Examples,
) -> list[Float64[Tensor, "C"]]:
    """Return accuracy, then ap and auc with all negatives, then with the annotated ones."""
    none = ~logits.isfinite().all(0)
    chunk = max(1, _ENTRIES_AT_ONCE // max(1, len(logits)))
    ranked = []
    for start in range(0, max(1, logits.shape[1]), chunk):
        some = slice(start, start + chunk)
        true, lacking, covered = (
            torch.from_numpy(np.ascontiguousarray(flags[:, some].T)).to(logits.device)
            for flags in (present, absent, annotated)
        )
        ranked.append(ranking_scores(logits[:, some].T, true, [lacking, lacking & covered]))
    scores = [balanced_accuracy(logits, balanced), *torch.cat(ranked, 1)]
    return [score.masked_fill(none, torch.nan).cpu() for score in scores]


def balanced_accuracy(logits: Float[Tensor, "N C"], examples: Examples) -> Float64[Tensor, "C"]:
    """Return the share of examples that a classifier puts on their side of 0.5.

    The original averages the accuracies of batches, of which the last is short; this counts
    examples. One half exactly, a logit of 0, is wrong for either class.

    Args:
        logits: Logits of every image and concept.
        examples: Rows of ``logits`` for each concept; NaN comes of none.
    """
    concept = torch.from_numpy(examples.concept()).to(logits.device)
    hits = torch.bincount(concept[is_right(logits, examples)], minlength=logits.shape[1])
    return hits.double() / torch.from_numpy(examples.count).to(logits.device)


def is_right(logits: Float[Tensor, "N C"], examples: Examples) -> Bool[Tensor, "E"]:
    """Return whether a classifier puts each example on its side of 0.5.

    Args:
        logits: Logits of every image and concept.
        examples: Rows of ``logits`` for each concept.
    """
    concept, image, positive = (
        torch.from_numpy(values).to(logits.device)
        for values in (examples.concept(), examples.image, examples.positive)
    )
    chosen = logits[image, concept]
    return torch.where(positive, chosen > 0, chosen < 0)


def ranking_scores(
    logits: Float[Tensor, "C N"],
    positive: Bool[Tensor, "C N"],
    negatives: Iterable[Bool[Tensor, "C N"]],
) -> Float64[Tensor, "S C"]:
    r"""Return exact average precision and ROC area of every row, for several sets of negatives.

    With the images in falling order, of which equal ones enter together, and P_n, N_n positives and
    negatives among those entered:

    .. math::
        AP = \sum_n \frac{P_n - P_{n-1}}{P} \frac{P_n}{P_n + N_n} \qquad
        AUC = \sum_n \frac{N_n - N_{n-1}}{N} \frac{P_n + P_{n-1}}{2P}

    These are scikit-learn's numbers. torchmetrics has them too, but takes every column and every
    set of negatives by itself, and a sigmoid that makes large logits equal; here one sorting
    serves all, in a tenth of the time.

    Args:
        logits: A row per concept.
        positive: The positives.
        negatives: The negatives, a set at a time; images in neither are left out.

    Returns:
        Average precision and area with the first negatives, then with the next, in [0, 1]; NaN
        without a positive or a negative.
    """
    falling, order = logits.sort(1, descending=True)
    ends = torch.ones_like(falling, dtype=torch.bool)
    ends[:, :-1] = falling[:, :-1] != falling[:, 1:]
    hits, new_hits = _entered(positive.gather(1, order), ends)
    scores = []
    for negative in negatives:
        alarms, new_alarms = _entered(negative.gather(1, order), ends)
        all_hits, all_alarms = positive.sum(1), negative.sum(1)
        precision = hits / (hits + alarms).clamp(min=1)
        ap = (new_hits * precision).sum(1) / all_hits
        auc = (new_alarms * (hits - new_hits / 2)).sum(1) / (all_hits * all_alarms)
        both = (all_hits > 0) & (all_alarms > 0)
        scores += [torch.where(both, score, torch.nan) for score in (ap, auc)]
    return torch.stack(scores)


def _entered(
    flags: Bool[Tensor, "C N"], ends: Bool[Tensor, "C N"]
) -> tuple[Float64[Tensor, "C N"], Float64[Tensor, "C N"]]:
    """Count flags up to each place, and those since the last end; the latter at ends, else 0."""
    count = flags.cumsum(1)
    before = torch.zeros_like(count)
    before[:, 1:] = torch.where(ends, count, 0).cummax(1).values[:, :-1]
    return count.double(), torch.where(ends, count - before, 0).double()
