"""What an image's group alone says of the concepts in it: a score that never looks at the image.

Frames of a film are alike. Where a concept is in all frames of some films and in none of others,
whoever tells films apart tells images with the concept from images without it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.stats import rankdata


@dataclass(frozen=True)
class GroupAlone:
    """How well val images are told apart by their groups, in [0, 1]; chance is 0.5.

    Args:
        auc: Area under the ROC curve over all val images; NaN where a class is missing.
        accuracy: Balanced accuracy where the concept's share of train images is the threshold;
            likewise.
    """

    auc: Float64[np.ndarray, "C"]
    accuracy: Float64[np.ndarray, "C"]


def group_alone(
    present: Bool[np.ndarray, "N C"],
    absent: Bool[np.ndarray, "N C"],
    is_train: Bool[np.ndarray, "N"],
    group: Int64[np.ndarray, "N"],
) -> GroupAlone:
    r"""Score every val image by how often a concept is in other images of its group.

    The score of image i is the share that carries the concept, of the images in G_i known for it:

    .. math:: s_i = \frac{|\{j \in G_i: y_j = 1\}|}{|G_i|}, \qquad
        AUC = \frac{1}{PN} \sum_{i: y_i = 1} \sum_{j: y_j = 0}
        [s_i > s_j] + \tfrac12 [s_i = s_j \text{ or } g_i = g_j]

    G_i are the train images of its group g_i. A group that lies on val alone, as groups should,
    has none: then G_i are its other val images, and s is generous, for it knows what no classifier
    is told. Without these, G_i are all train images. A pair of one group counts one half, else
    leaving out an image's own label would rank it below the others. Accuracy is the mean over the
    same pairs too, of how many of the two are on their side of the threshold. So labels that have
    nothing to do with groups give 0.5 on average (leave-pair-out; Airola et al. 2011), and the
    ceiling of 1 is reached where every group of val has two images or more, and all of them carry
    the concept or none.

    Args:
        present: Which image carries which concept.
        absent: Which image is known to lack which concept; others are left out.
        is_train: Whether an image is of the train split.
        group: Of each image, any number.
    """
    number = np.unique(group, return_inverse=True)[1]
    found = [
        _of_concept(positive, positive | negative, is_train, number)
        for positive, negative in zip(present.T, absent.T, strict=True)
    ]
    auc, accuracy = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return GroupAlone(auc, accuracy)


def _of_concept(
    positive: Bool[np.ndarray, "N"],
    known: Bool[np.ndarray, "N"],
    is_train: Bool[np.ndarray, "N"],
    group: Int64[np.ndarray, "N"],
) -> tuple[float, float]:
    """Return area and accuracy of one concept; groups are numbered."""
    train, val = known & is_train, known & ~is_train
    size = int(group.max(initial=-1)) + 1
    (train_hits, train_size), (val_hits, val_size) = (
        (
            np.bincount(group[some & positive], minlength=size),
            np.bincount(group[some], minlength=size),
        )
        for some in (train, val)
    )
    own, mine = positive[val], group[val]
    ones, zeros = int(own.sum()), int((~own).sum())
    if not train.any() or not ones or not zeros:
        return np.nan, np.nan
    overall = train_hits.sum() / train_size.sum()
    learned = train_size > 0
    hits = np.where(learned[mine], train_hits[mine], val_hits[mine] - own)
    others = np.where(learned[mine], train_size[mine], val_size[mine] - 1)
    score = np.where(others > 0, hits / np.maximum(others, 1), overall)
    in_order = rankdata(score)[own].sum() - ones * (ones + 1) / 2  # pairs, ties as halves
    misses = val_size - val_hits
    pairs = val_hits * misses  # of one group; where its own images score it, in the wrong order
    auc = (in_order + pairs[~learned].sum() / 2) / (ones * zeros)
    above = (1 + np.sign(score - overall)) / 2
    apart = np.where(own, zeros - misses[mine], ones - val_hits[mine])  # pairs with other groups
    right = (np.where(own, above, 1 - above) * apart).sum()
    return float(auc), float((right + pairs.sum()) / (2 * ones * zeros))
