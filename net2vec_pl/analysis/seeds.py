"""How much does a concept depend on the seed of its training?"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True)
class SeedSpread:
    """The spread of a concept over the seeds of its training.

    Args:
        score_std: Standard deviation of its score over seeds (ddof 1).
        cosine: Mean cosine of its embeddings over all pairs of seeds.
        n_scores: Seeds with a score; fewer than two leave ``score_std`` NaN.
        n_embeddings: Seeds with an embedding, neither zero nor NaN; two are needed for ``cosine``.
    """

    score_std: Float64[np.ndarray, "C"]
    cosine: Float64[np.ndarray, "C"]
    n_scores: Int64[np.ndarray, "C"]
    n_embeddings: Int64[np.ndarray, "C"]


def spread_over_seeds(
    scores: Float64[np.ndarray, "S C"], embeddings: Float64[np.ndarray, "S C K"]
) -> SeedSpread:
    """Compare the same concepts as learned from several seeds.

    The mean over pairs needs no pair: for unit vectors u_s, ``|sum u_s|^2 = S + (sum of their
    cosines over ordered pairs)``.

    Args:
        scores: A score of every seed and concept, set IoU on val say.
        embeddings: The embedding learned from every seed.

    Returns:
        Spread per concept.
    """
    norm = np.linalg.norm(embeddings, axis=2, keepdims=True)
    there = np.isfinite(norm) & (norm > 0)
    unit = np.divide(embeddings, norm, out=np.zeros_like(embeddings), where=there)
    n = there[..., 0].sum(axis=0)
    squared = (unit.sum(axis=0) ** 2).sum(axis=1)
    n_scores = np.isfinite(scores).sum(axis=0)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        std = np.nanstd(scores, axis=0, ddof=1)
        cosine = (squared - n) / (n * (n - 1))
    return SeedSpread(
        np.where(n_scores > 1, std, np.nan), np.where(n > 1, cosine, np.nan), n_scores, n
    )
