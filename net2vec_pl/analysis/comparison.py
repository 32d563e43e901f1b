"""Two embeddings of the same concepts: how alike are they, and is that more than chance?

The two may have different numbers of filters: only the cosines between concepts are compared.
Each measure puts a matrix (C, C) made from the cosines of one embedding beside one made from the
other, and is an inner product of the two. So one permutation test serves all: shuffle the concepts
of one embedding, rows and columns of its matrix together, and take the inner product again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.stats import rankdata

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.neighbourhood import (
    ALL_ALIKE,
    FEWEST,
    all_alike,
    among_nearest,
    neighbourhood_size,
)
from net2vec_pl.analysis.space import cosines, rows_by_name, unit_rows

Square: TypeAlias = Float64[np.ndarray, "V V"]


def common(
    names_a: Sequence[str], names_b: Sequence[str]
) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "N"]]:
    """Match concepts by name.

    Returns:
        Rows of the concepts that both know, in the order of the first, and the same concepts' rows
        in the second; empty where none is known to both.

    Raises:
        ConfigError: If a name occurs twice in one of them.

    Example:
        >>> common(["sky", "sea", "dog"], ["dog", "sky"])
        (array([0, 2]), array([1, 0]))
    """
    rows_a, rows_b = rows_by_name(names_a), rows_by_name(names_b)
    pairs = [(row, rows_b[name]) for name, row in rows_a.items() if name in rows_b]
    matched = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


@dataclass(frozen=True)
class Score:
    """A measure of two embeddings beside what chance gives.

    Args:
        value: The measure; NaN if it cannot be taken.
        chance: Its mean over permutations of the concepts of one embedding.
        p: (1 + number of permutations as alike or more) / (1 + number of permutations).
        permutations: How many were drawn.
        reason: Why it cannot be taken; empty if it can.
    """

    value: float
    chance: float
    p: float
    permutations: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Everything about two embeddings of C concepts.

    Args:
        distance: The paper's distance, the sum of ``per_concept``: 0 for the same geometry.
            It grows with the number of concepts; p counts distances as small.
        per_concept: A concept's part of it; NaN for a concept left out.
        per_pair: ``distance`` over the squared number of concepts compared: free of that number.
        correlation: Representational similarity, Spearman's in [-1, 1].
        cka: Linear CKA in [0, 1].
        overlap: Shared nearest neighbours in [0, 1].
        k: Neighbours looked at; see :func:`~net2vec_pl.analysis.neighbourhood.neighbourhood_size`.
        compared: Concepts with a direction in both.
        excluded: Concepts without.
    """

    distance: Score
    per_concept: Float64[np.ndarray, "C"]
    per_pair: float
    correlation: Score
    cka: Score
    overlap: Score
    k: int
    compared: int
    excluded: int


def compare(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    k: int = 5,
    permutations: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Take every measure of two embeddings of the same concepts.

    Args:
        a: One bank.
        b: Another, row for row the same concepts (see ``common``).
        k: Neighbours for the overlap.
        permutations: Permutations to draw; the same for every measure.
        seed: Seed of the draw.

    Returns:
        Scores that are NaN, with a reason, where fewer than 3 concepts have a direction in both,
        and all but the distance where one embedding has the same cosine for all pairs.
    """
    per_concept = concept_distances(a, b)
    compared = int(np.isfinite(per_concept).sum())
    distance = frobenius_distance(a, b, permutations, seed)
    return Comparison(
        distance,
        per_concept,
        distance.value / compared**2 if compared else np.nan,
        representational_similarity(a, b, permutations, seed),
        linear_cka(a, b, permutations, seed),
        neighbour_overlap(a, b, k, permutations, seed),
        neighbourhood_size(k, compared),
        compared,
        len(a) - compared,
    )


def concept_distances(
    a: Float[np.ndarray, "C K"], b: Float[np.ndarray, "C L"]
) -> Float64[np.ndarray, "C"]:
    """Compute each concept's part of the paper's distance: how far its cosines moved.

    Returns:
        Squared length of the difference of rows c of D_a and D_b; NaN for a concept that has no
        direction in both. They sum to ``frobenius_distance``.
    """
    kept, of_a, of_b = _paired(a, b)
    parts = np.full(len(a), np.nan)
    parts[kept] = ((of_a - of_b) ** 2).sum(axis=1)
    return parts


def frobenius_distance(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    permutations: int = 1000,
    seed: int = 0,
) -> Score:
    r"""Compute the paper's distance of two embeddings (supplement, section 3.2.1).

    .. math:: ||D_a - D_b||_F^2, \quad D = V V^T, \text{ rows of } V \text{ of unit length}

    Returns:
        The distance, over ordered pairs of concepts; p counts permuted distances as small.
    """
    _, of_a, of_b = _paired(a, b)
    if len(of_a) < FEWEST:
        return _nothing(_too_few(len(of_a)))
    drawn = _inner(of_a, of_b, permutations, seed)
    permuted = (of_a**2).sum() + (of_b**2).sum() - 2 * drawn[1:]
    value = float(((of_a - of_b) ** 2).sum())
    return Score(value, _mean(permuted), p_value(-value, -permuted), permutations)


def representational_similarity(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    permutations: int = 1000,
    seed: int = 0,
) -> Score:
    """Correlate the cosines of all pairs of concepts by rank (Kriegeskorte et al., 2008).

    Returns:
        Spearman's correlation of the upper triangles of D_a and D_b.
    """
    return _alike(a, b, centred_ranks, permutations, seed)


def linear_cka(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    permutations: int = 1000,
    seed: int = 0,
) -> Score:
    r"""Compute linear centred kernel alignment of unit rows (Kornblith et al., 2019).

    .. math:: \frac{tr(D_a H D_b H)}{||H D_a H||_F\,||H D_b H||_F}, \quad H = I - 1/C

    With more filters than concepts it is far above 0 for unrelated embeddings: read it beside
    ``chance``.
    """
    return _alike(a, b, centred, permutations, seed)


def neighbour_overlap(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    k: int = 5,
    permutations: int = 1000,
    seed: int = 0,
) -> Score:
    """Compute which share of a concept's k nearest are the same in both, averaged over concepts.

    It is a share of k, not Jaccard's. Where concepts are equally near, it is the share to expect if
    ties are broken at random, in each embedding by itself: below 1 even for two that are the same,
    so read it beside ``chance``. At most a third of the other concepts are looked at.

    Raises:
        ConfigError: If k is below 1.
    """
    return _alike(a, b, lambda cosine: near(cosine, k), permutations, seed)


def _paired(
    a: Float[np.ndarray, "C K"], b: Float[np.ndarray, "C L"]
) -> tuple[Int64[np.ndarray, "V"], Square, Square]:
    """Return the concepts with a direction in both, and their cosines in either."""
    kept = np.flatnonzero(unit_rows(a).valid & unit_rows(b).valid)
    return kept, cosines(unit_rows(a[kept]).rows), cosines(unit_rows(b[kept]).rows)


def _alike(
    a: Float[np.ndarray, "C K"],
    b: Float[np.ndarray, "C L"],
    form: Callable[[Square], Square],
    permutations: int,
    seed: int,
) -> Score:
    """Take the inner product of two matrices that ``form`` makes, against permuted concepts."""
    _, of_a, of_b = _paired(a, b)
    if len(of_a) < FEWEST:
        return _nothing(_too_few(len(of_a)))
    if all_alike(of_a) or all_alike(of_b):
        return _nothing(ALL_ALIKE)
    drawn = _inner(form(of_a), form(of_b), permutations, seed)
    p = p_value(float(drawn[0]), drawn[1:])
    return Score(float(drawn[0]), _mean(drawn[1:]), p, permutations)


def near(cosine: Square, k: int) -> Square:
    """Compute who is near whom; of two such squares the inner product is the overlap."""
    k = neighbourhood_size(k, len(cosine))
    square: Square = among_nearest(cosine, k) / np.sqrt(k * len(cosine))
    return square


def centred_ranks(cosine: Square) -> Square:
    """Replace cosines by ranks, the mean taken away, and the diagonal, which is 1 always, by 0.

    Returns:
        A matrix of length 1.
    """
    upper = np.triu_indices(len(cosine), 1)
    values = cosine[upper]
    order = np.argsort(values)
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    if (np.diff(values[order]) == 0).any():  # ties share their mean rank, which takes twice as long
        ranks = rankdata(values)
    square = np.zeros_like(cosine)
    square[upper] = square.T[upper] = ranks - ranks.mean()
    return _of_length_one(square)


def centred(cosine: Square) -> Square:
    """Compute H D H, and divide it by its length."""
    square: Square = cosine - cosine.mean(axis=0)
    square -= square.mean(axis=1, keepdims=True)
    return _of_length_one(square)


def _of_length_one(square: Square) -> Square:
    length = float(np.linalg.norm(square))
    return square / length if length > 1e-9 else square


def _inner(a: Square, b: Square, permutations: int, seed: int) -> Float64[np.ndarray, "B"]:
    """Take the inner product as it stands, then with the concepts of b permuted."""
    draw = np.random.default_rng(seed)
    rows, both = np.empty_like(b), np.empty_like(b)
    products = [np.vdot(a, b)]
    for _ in range(permutations):
        order = draw.permutation(len(b))
        # Buffers, without the bounds check of "raise": three times as fast as b[order][:, order].
        np.take(b, order, axis=0, out=rows, mode="clip")
        np.take(rows, order, axis=1, out=both, mode="clip")
        products.append(np.vdot(a, both))
    return np.array(products)


def _mean(permuted: Float64[np.ndarray, "B"]) -> float:
    return float(permuted.mean()) if len(permuted) else np.nan


def _nothing(reason: str) -> Score:
    return Score(np.nan, np.nan, np.nan, reason=reason)


def _too_few(concepts: int) -> str:
    if not concepts:
        return "no concept has a direction in both embeddings"
    return f"{concepts} concepts have a direction in both embeddings, {FEWEST} are needed"
