"""Which concepts are detected, by a single filter or by a combination: one bar for both."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

# Val set IoU, as in NetDissect. Net2Vec asks this of a filter, and 0.20 of a combination.
DETECTED = 0.04


def detector_scores(
    best_concept: Int64[np.ndarray, "K"],
    train: Float64[np.ndarray, "K"],
    val: Float64[np.ndarray, "K"],
    num_concepts: int,
) -> Float64[np.ndarray, "C"]:
    """Score concepts as NetDissect does: a filter speaks only for the concept it detects best.

    Net2Vec, supplement, figure 10. A filter may be some concept's best and yet detect another one
    better; then it is not that concept's detector. Of several filters of a concept the best on
    train speaks: the largest of many val scores would be high by chance.

    Args:
        best_concept: Each filter's concept of largest train set IoU; -1 if it overlaps none.
        train: Set IoU of each filter on its concept, on train.
        val: The same on val.
        num_concepts: C.

    Returns:
        Val set IoU of the detector of each concept, the first of equals; NaN for concepts that
        have none.

    Example:
        >>> train, val = np.array([0.3, 0.2]), np.array([0.1, 0.4])
        >>> detector_scores(np.array([0, 0]), train, val, 1).tolist()
        [0.1]
    """
    order = np.argsort(-train, kind="stable")
    order = order[best_concept[order] >= 0]
    concept, first = np.unique(best_concept[order], return_index=True)
    score = np.full(num_concepts, np.nan)
    score[concept] = val[order[first]]
    return score


def detected(
    score: Float64[np.ndarray, "C"], level: Float64[np.ndarray, "C"]
) -> Bool[np.ndarray, "C"]:
    """Say which concepts are detected: at least ``DETECTED``, and more than their reference level.

    The bar alone is passed by calling every pixel the concept, if that is large.

    Args:
        score: Val set IoU of :func:`detector_scores`, or of combinations; a NaN is not detected.
        level: Val set IoU of the best reference level of each concept; NaN where there is none.

    Example:
        >>> detected(np.array([0.04, 0.5, 0.03]), np.array([np.nan, 0.5, 0.01])).tolist()
        [True, False, False]
    """
    return (score >= DETECTED) & ~(score <= level)
