"""How much better one classifier does than another on the same examples, with an interval."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from net2vec_pl.analysis.jackknife import LEAST_IMAGES, NOTHING, Interval, jackknife


def accuracy_gain(
    difference: Float64[np.ndarray, "E"],
    concept: Int64[np.ndarray, "E"],
    positive: Bool[np.ndarray, "E"],
    unit: Int64[np.ndarray, "E"],
    level: float = 0.95,
    least: int = LEAST_IMAGES,
) -> Interval:
    r"""Return the mean gain in balanced accuracy over concepts, with its interval over images.

    .. math:: \frac{1}{C} \sum_c \frac12 \sum_{y \in \{0, 1\}} \mathrm{mean}_{e: c_e = c, y_e = y}
        \, d_e

    Each unit is left out with all its examples, of whatever concept; see
    :func:`~net2vec_pl.analysis.jackknife.jackknife`. A class that is left without an example is
    left out of the mean.

    Args:
        difference: 1 where only the first classifier is right, -1 where only the second is, else 0.
        concept: Of each example, any number.
        positive: Whether its image carries the concept.
        unit: What chance draws: its image, or the group of its image; any number.
        level: How often an interval should hold the truth, in (0, 1).
        least: Units that an interval needs.
    """
    if not len(difference):
        return NOTHING
    class_ = np.unique(2 * concept + positive, return_inverse=True)[1]
    number, num_classes = np.unique(unit, return_inverse=True)[1], int(class_.max()) + 1
    key, entry = np.unique(number * num_classes + class_, return_inverse=True)
    of_unit, of_class = np.divmod(key, num_classes)
    size, total = np.bincount(class_), np.bincount(class_, difference)
    mine, gain = np.bincount(entry), np.bincount(entry, difference)
    mean, left = total / size, size[of_class] - mine
    without = (total[of_class] - gain) / np.maximum(left, 1)
    change = np.bincount(of_unit, np.where(left > 0, without, 0.0) - mean[of_class])
    remain = num_classes - np.bincount(of_unit, left == 0)
    value = np.array([mean.mean()])
    moved = np.full(len(remain), np.nan)
    np.divide(mean.sum() + change, remain, out=moved, where=remain > 0)
    weight = np.bincount(of_unit, mine / size[of_class])
    found = jackknife(value, moved[:, None], weight[:, None], level, least=least)
    return Interval(*map(np.array, found.array()[:, 0]))
