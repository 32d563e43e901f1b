"""All pairs at once: scores of many settings concept by concept, and many embeddings.

What one pair would take ``comparison.compare`` or a test of its own is done here for thousands:
resamples and sign flips are one matrix product over all settings, and every embedding's cosines
are ranked, centred and searched once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy import stats

from net2vec_pl.analysis.comparison import centred, centred_ranks, near
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.analysis.neighbourhood import FEWEST, all_alike
from net2vec_pl.analysis.space import cosines, unit_rows

_ROUNDING = 1e-12  # equal sums may differ by this much
_CLOSE = 1e-9
_CHUNK = 500
MEASURES = ("distance", "correlation", "cka", "overlap")


def mean_intervals(
    scores: Float64[np.ndarray, "S C"], replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Average every setting over the same concepts, with percentile intervals over concepts.

    One resample of the concepts serves all settings.

    Args:
        scores: Scores of every setting and concept, all finite.
        replicates: Resamples of the concepts.
        level: Share of the resamples between the bounds, in (0, 1).
        seed: Seed of the draws.

    Returns:
        A mean for each setting; NaN without concepts.

    Example:
        >>> mean_intervals(np.array([[0.5, 0.5], [0.0, 1.0]])).array().tolist()
        [[0.5, 0.5], [0.5, 0.0], [0.5, 1.0]]
    """
    if not scores.shape[1]:
        nothing = np.full(len(scores), np.nan)
        return Interval(nothing, nothing, nothing)
    low, high = _bounds(_resampled(scores, replicates, seed), level)
    return Interval(scores.mean(axis=1), low, high)


@dataclass(frozen=True)
class PairedDifferences:
    """Every pair of settings, compared over the same concepts.

    Args:
        first: Row of one setting.
        second: Row of the other.
        difference: Mean score of the first less that of the second.
        low: Lower bound of its interval over concepts.
        high: Upper bound.
        p: Two-sided p-value of a sign-flip test over concepts.
        p_fdr: The same after Benjamini & Hochberg, over all pairs.
        won: Share of concepts on which the first scores higher; ties count half.
    """

    first: Int64[np.ndarray, "T"]
    second: Int64[np.ndarray, "T"]
    difference: Float64[np.ndarray, "T"]
    low: Float64[np.ndarray, "T"]
    high: Float64[np.ndarray, "T"]
    p: Float64[np.ndarray, "T"]
    p_fdr: Float64[np.ndarray, "T"]
    won: Float64[np.ndarray, "T"]


def paired_differences(
    scores: Float64[np.ndarray, "S C"],
    permutations: int = 10_000,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifferences:
    r"""Compare every two settings concept by concept.

    If two settings are equally good, which of them has which of a concept's two scores is a coin's
    toss. So the sign of every concept's difference is flipped at random, and
    :math:`p = (1 + \#\{|T_b| \ge |T|\}) / (1 + B)`, T being the mean difference (Fisher's
    randomisation test). A sum of flipped differences is a difference of flipped sums, so one
    product serves all pairs.

    Args:
        scores: Scores of every setting and concept, all finite.
        permutations: Random flips, B.
        replicates: Resamples of the concepts, for intervals.
        level: Share of the resamples between the bounds, in (0, 1).
        seed: Seed of the draws.

    Returns:
        Rows for the pairs in the order of an upper triangle; none without concepts.
    """
    count = len(scores) if scores.shape[1] else 0
    a, b = np.triu_indices(count, 1)
    means = scores.mean(axis=1) if count else np.zeros(0)
    difference = means[a] - means[b]
    low, high = np.empty(len(a)), np.empty(len(a))
    drawn = _resampled(scores, replicates, seed) if count else np.zeros((replicates, 0))
    for start in range(0, len(a), _CHUNK):
        some = slice(start, start + _CHUNK)
        low[some], high[some] = _bounds(drawn[:, a[some]] - drawn[:, b[some]], level)
    p = _sign_flips(scores, a, b, np.abs(difference), permutations, seed)
    won = np.array([_won(scores[i], scores[j]) for i, j in zip(a, b, strict=True)])
    p_fdr = stats.false_discovery_control(p, method="bh") if len(p) else p
    return PairedDifferences(a, b, difference, low, high, p, p_fdr, won.astype(np.float64))


def _won(mine: Float64[np.ndarray, "C"], other: Float64[np.ndarray, "C"]) -> float:
    return float(((mine > other) + 0.5 * (mine == other)).mean())


def _resampled(
    scores: Float64[np.ndarray, "S C"], replicates: int, seed: int
) -> Float64[np.ndarray, "B S"]:
    """Average over resamples of the concepts, the same for every setting."""
    n = scores.shape[1]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)
    drawn: Float64[np.ndarray, "B S"] = counts @ scores.T / n
    return drawn


def _bounds(
    drawn: Float64[np.ndarray, "B T"], level: float
) -> tuple[Float64[np.ndarray, "T"], Float64[np.ndarray, "T"]]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _sign_flips(
    scores: Float64[np.ndarray, "S C"],
    a: Int64[np.ndarray, "T"],
    b: Int64[np.ndarray, "T"],
    observed: Float64[np.ndarray, "T"],
    permutations: int,
    seed: int,
) -> Float64[np.ndarray, "T"]:
    rng, reached = np.random.default_rng(seed), np.zeros(len(a))
    for start in range(0, permutations if len(a) else 0, _CHUNK):
        times = min(_CHUNK, permutations - start)
        signs = rng.integers(2, size=(times, scores.shape[1])) * 2.0 - 1.0
        flipped = signs @ scores.T / scores.shape[1]
        reached += (np.abs(flipped[:, a] - flipped[:, b]) >= observed - _ROUNDING).sum(axis=0)
    return np.asarray((1 + reached) / (1 + permutations))


# -------------------- embeddings


@dataclass(frozen=True)
class EmbeddingPairs:
    """Every pair of embeddings of the same concepts, by every measure of ``comparison``.

    Args:
        first: One embedding.
        second: The other.
        value: By measure: the paper's distance, Spearman's correlation of cosines, linear CKA,
            overlap of nearest neighbours.
        chance: By measure, its mean over all permutations of one's concepts; exact.
        p: By measure, the share of permutations that make the two as alike or more.
        compared: Concepts that have a direction in every embedding.
        tested: Concepts that the tests looked at: all, or a random choice.
        permutations: Permutations of the tests.
    """

    first: Int64[np.ndarray, "T"]
    second: Int64[np.ndarray, "T"]
    value: dict[str, Float64[np.ndarray, "T"]]
    chance: dict[str, Float64[np.ndarray, "T"]]
    p: dict[str, Float64[np.ndarray, "T"]]
    compared: Int64[np.ndarray, "V"]
    tested: int
    permutations: int

    def square(self, measure: str) -> Float64[np.ndarray, "E E"]:
        """Return a measure as a symmetric matrix; what an embedding has with itself is NaN."""
        side = 1 + int(self.second.max(initial=0))
        full = np.full((side, side), np.nan)
        full[self.first, self.second] = full[self.second, self.first] = self.value[measure]
        return full


Square: TypeAlias = Float64[np.ndarray, "V V"]


def embedding_pairs(
    banks: Sequence[Float[np.ndarray, "C _"]],
    k: int = 5,
    permutations: int | None = None,
    most_tested: int = 100,
    seed: int = 0,
) -> EmbeddingPairs:
    """Take every measure of every two embeddings, as ``comparison.compare`` does of one pair.

    Args:
        banks: Row for row the same concepts; numbers of filters may differ.
        k: Neighbours for the overlap.
        permutations: Permutations of each test; by default up to 999, fewer for more than 10
            embeddings, but 99 at least.
        most_tested: Tests look at so many concepts at most: permuting all of a thousand would take
            hours, and a choice of 100 tells as well that two embeddings are not unrelated.
        seed: Seed of the permutations and of the choice.

    Returns:
        Pairs in the order of an upper triangle; NaN where fewer than 3 concepts have a direction
        in every embedding, and by all measures but the distance where one embedding has the same
        cosine for all pairs of concepts.
    """
    a, b = np.triu_indices(len(banks), 1)
    directed = np.array([unit_rows(bank).valid for bank in banks])
    compared = np.flatnonzero(directed.all(axis=0)) if len(banks) else np.zeros(0, np.int64)
    if permutations is None:
        permutations = int(np.clip(100_000 // max(len(banks), 1) ** 2, 99, 999))
    if len(compared) < FEWEST or not len(a):
        nothing = {name: np.full(len(a), np.nan) for name in MEASURES}
        return EmbeddingPairs(a, b, nothing, nothing, nothing, compared, 0, 0)
    cosine = np.stack([cosines(unit_rows(bank[compared]).rows) for bank in banks])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(compared))[:most_tested])
    few = cosine[:, chosen][:, :, chosen]
    flat, flat_few = (np.array([all_alike(of) for of in some]) for some in (cosine, few))
    value, chance, p = {}, {}, {}
    squares = np.empty_like(cosine)  # one for all measures: fresh memory costs as much as the work
    for name, form in _forms(k).items():
        for square, of in zip(squares, cosine, strict=True):
            square[:] = form(of)
        inner, expected = _inner(squares), _expected(squares)
        squared = np.diag(inner)
        value[name] = _measure(name, inner[a, b], squared[a], squared[b])
        chance[name] = _measure(name, expected[a, b], squared[a], squared[b])
        p[name] = _tested(np.stack([form(square) for square in few]), permutations, seed)[a, b]
        if name != "distance":
            value[name][flat[a] | flat[b]] = chance[name][flat[a] | flat[b]] = np.nan
            p[name][flat_few[a] | flat_few[b]] = np.nan
    return EmbeddingPairs(a, b, value, chance, p, compared, len(chosen), permutations)


def _forms(k: int) -> dict[str, Callable[[Square], Square]]:
    """Return what each measure makes of the cosines before it takes inner products."""
    return {
        "distance": np.asarray,
        "correlation": centred_ranks,
        "cka": centred,
        "overlap": lambda cosine: near(cosine, k),
    }


def _inner(squares: Float64[np.ndarray, "E V V"]) -> Float64[np.ndarray, "E E"]:
    rows = squares.reshape(len(squares), -1)
    product: Float64[np.ndarray, "E E"] = rows @ rows.T
    return product


def _expected(squares: Float64[np.ndarray, "E V V"]) -> Float64[np.ndarray, "E E"]:
    """Average the inner products over all permutations of the concepts of one of the two.

    A permutation moves the diagonal in itself, and so all the rest.
    """
    n = squares.shape[1]
    diagonal = np.trace(squares, axis1=1, axis2=2)
    rest = squares.sum(axis=(1, 2)) - diagonal
    moved = np.outer(diagonal, diagonal) / n + np.outer(rest, rest) / (n * (n - 1))
    return np.asarray(moved)


def _measure(
    name: str,
    inner: Float64[np.ndarray, "T"],
    squared_a: Float64[np.ndarray, "T"],
    squared_b: Float64[np.ndarray, "T"],
) -> Float64[np.ndarray, "T"]:
    """Turn inner products into a squared distance; by the other measures they are the value."""
    if name == "distance":
        return np.asarray(np.maximum(squared_a + squared_b - 2 * inner, 0.0))
    return inner


def _tested(
    squares: Float64[np.ndarray, "E V V"], permutations: int, seed: int
) -> Float64[np.ndarray, "E E"]:
    """Return the share of permutations that give inner products as large or larger."""
    rng, n, observed = np.random.default_rng(seed), squares.shape[1], _inner(squares)
    scale = np.sqrt(np.outer(np.diag(observed), np.diag(observed)))
    rows, reached = squares.reshape(len(squares), -1), np.zeros_like(observed)
    for _ in range(permutations):
        order = rng.permutation(n)
        permuted = np.take(rows, (order[:, None] * n + order).ravel(), axis=1)
        reached += rows @ permuted.T >= observed - _CLOSE * scale
    share = (1 + reached) / (1 + permutations)
    return np.asarray(share)
