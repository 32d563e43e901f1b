"""Which images excite a concept's embedding, and which do so only somewhat.

The largest responses flatter every filter. So images are scored, shown at fixed percentiles of
their scores, and the scores compared with whether the concept is there (section 5.1 of Fong &
Vedaldi, *Net2Vec*, CVPR 2018, https://arxiv.org/abs/1801.03454).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import roc_auc_score
from torch import Tensor

from net2vec_pl.errors import ConfigError, unknown

DECILES = tuple(range(0, 101, 10))


def image_scores(
    activation: Float[Tensor, "N K h w"],
    directions: Float[Tensor, "D K"],
    reduce: str = "max",
) -> Float[Tensor, "N D"]:
    r"""Score images by how much each direction responds to them.

    .. math:: s(x) = \max_{ij} \sum_k \hat w_k A_{k,ij}(x), \quad \hat w = w / ||w||_2

    The length of w does not count, so concepts can be compared; a one-hot direction scores by a
    single filter.

    Args:
        activation: Raw activations, before any threshold; any number of images.
        directions: Embeddings or one-hot rows, on the same device.
        reduce: ``max`` over positions (the paper's), or their ``mean``.

    Returns:
        Scores; NaN for a direction that is zero or not finite.

    Raises:
        ConfigError: If ``reduce`` is neither.
    """
    unit = directions / directions.norm(dim=1, keepdim=True)
    if reduce not in ("max", "mean"):
        raise ConfigError(unknown("way to reduce a map to a score", reduce, ("max", "mean")))
    if reduce == "mean":
        means: Tensor = activation.mean((2, 3)) @ unit.T
        return means
    scores: Tensor = activation.new_empty(len(activation), len(directions))
    for row, image in zip(scores, activation, strict=True):  # all maps at once may not fit
        row.copy_((unit @ image.flatten(1)).amax(1))
    return scores


@dataclass(frozen=True)
class Choice:
    """Images at fixed percentiles of a score, from the lowest to the highest.

    Args:
        image: Position of each image among those scored; no image twice.
        percentile: The percentile each stands for, in [0, 100].
        score: Its score.
        silent: Images left out because their score is zero.
        unscored: Images left out because their score is not finite.
    """

    image: Int64[np.ndarray, " M"]
    percentile: Float64[np.ndarray, " M"]
    score: Float64[np.ndarray, " M"]
    silent: int
    unscored: int


def choose(scores: Float[np.ndarray, " N"], percentiles: Sequence[float | int] = DECILES) -> Choice:
    """Choose images at percentiles of the non-zero part of the distribution of scores.

    Percentile p belongs at rank p / 100 (n - 1) of the n scores in rising order, those of equal
    score in the order given. Ranks are handed out so that no image serves twice and the squared
    distances from where the percentiles belong are least.

    Args:
        scores: One per image, of any sign.
        percentiles: In [0, 100]; the deciles unless told.

    Returns:
        An image for every percentile; with fewer images than percentiles, a percentile for every
        image.

    Raises:
        ConfigError: If a percentile is out of range.

    Example:
        >>> choose(np.array([0.0, 3.0, 1.0, 2.0]), (0, 50, 100)).image
        array([2, 3, 1])
    """
    wanted = np.sort(np.asarray(percentiles, dtype=np.float64))
    if not ((wanted >= 0) & (wanted <= 100)).all():
        raise ConfigError(f"percentiles={list(percentiles)} must lie between 0 and 100.")
    finite = np.isfinite(scores)
    candidates = np.flatnonzero(finite & (scores != 0))
    ordered = candidates[np.argsort(scores[candidates], kind="stable")]
    belongs = wanted / 100 * (len(ordered) - 1)
    at, rank = linear_sum_assignment((belongs[:, None] - np.arange(len(ordered))) ** 2)
    image = ordered[np.sort(rank)]  # equal percentiles may have come crosswise
    return Choice(
        image=image,
        percentile=wanted[at],
        score=scores[image].astype(np.float64),
        silent=int((finite & (scores == 0)).sum()),
        unscored=int((~finite).sum()),
    )


@dataclass(frozen=True)
class ScoreHistogram:
    """How many images score how much, with the concept and without it.

    Args:
        edges: Edges of the bins, rising; a bin holds its lower edge, the last one both.
        present: Images that contain the concept, per bin.
        absent: Images that do not.
        unscored: Images in neither, because their score is not finite.
    """

    edges: Float64[np.ndarray, " edges"]
    present: Int64[np.ndarray, " bins"]
    absent: Int64[np.ndarray, " bins"]
    unscored: int


def score_histogram(
    scores: Float[np.ndarray, " N"], present: Bool[np.ndarray, " N"], bins: int = 40
) -> ScoreHistogram:
    """Count images by score and by presence of the concept, in equal bins from least to most.

    Args:
        scores: One per image, zeros included.
        present: Whether the image contains the concept.
        bins: Number of bins, at least 1; there are fewer where no numbers lie between two edges.

    Returns:
        The counts; bins around the score if all are equal, around 0 if there is none.
    """
    finite = np.isfinite(scores)
    values = scores.astype(np.float64)
    edges = _edges(values[finite], bins)
    return ScoreHistogram(
        edges=edges,
        present=np.histogram(values[finite & present], edges)[0].astype(np.int64),
        absent=np.histogram(values[finite & ~present], edges)[0].astype(np.int64),
        unscored=int((~finite).sum()),
    )


def _edges(values: Float64[np.ndarray, " n"], bins: int) -> Float64[np.ndarray, " edges"]:
    low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    margin = max(0.5, 1e-6 * abs(low)) if low == high else 0.0
    return np.unique(np.linspace(low - margin, high + margin, bins + 1))


@dataclass(frozen=True)
class Retrieval:
    """How well a score finds the images that contain a concept.

    Args:
        found: Images with the concept among the K that score most, for K = 1 to N.
        positives: Images with the concept.
        auc: Area under the ROC curve: the chance that an image with the concept scores above one
            without it.
        status: ``ok``, or why there is no ``auc``.
    """

    found: Float64[np.ndarray, " N"]
    positives: int
    auc: float
    status: str

    @property
    def recall(self) -> Float64[np.ndarray, " N"]:
        """Recall@K for K = 1 to N; NaN if no image has the concept."""
        return self.found / self.positives if self.positives else np.full_like(self.found, np.nan)


def retrieval(scores: Float[np.ndarray, " N"], present: Bool[np.ndarray, " N"]) -> Retrieval:
    """Rank images by score and see where those with the concept come.

    Images of equal score come in random order: ``found`` is its mean over all orders. So a filter
    that is silent on most images gains nothing from the order of the dataset.

    Args:
        scores: One per image.
        present: Whether the image contains the concept.

    Returns:
        Counts, and NaN for the area where it means nothing; NaN throughout if a score is missing.
    """
    status = _retrieval_fault(scores, present)
    return Retrieval(
        found=_found(scores, present),
        positives=int(present.sum()),
        auc=float(roc_auc_score(present, scores)) if status == "ok" else np.nan,
        status=status,
    )


def _retrieval_fault(scores: Float[np.ndarray, " N"], present: Bool[np.ndarray, " N"]) -> str:
    if missing := int((~np.isfinite(scores)).sum()):
        return f"{missing} of {len(scores)} images have no finite score"
    if not present.any():
        return "no image with the concept"
    if present.all():
        return "no image without the concept"
    if scores.min() == scores.max():
        return "all images score the same"
    return "ok"


def _found(
    scores: Float[np.ndarray, " N"], present: Bool[np.ndarray, " N"]
) -> Float64[np.ndarray, " N"]:
    if not np.isfinite(scores).all():
        return np.full(len(scores), np.nan)
    _, group = np.unique(-scores, return_inverse=True)  # the highest score first
    ends = np.bincount(group).cumsum()
    hits = np.bincount(group, weights=present).cumsum()
    # Within a group of equals the mean count rises evenly.
    k = np.arange(1, len(scores) + 1)
    return np.asarray(np.interp(k, np.append(0, ends), np.append(0, hits)))
