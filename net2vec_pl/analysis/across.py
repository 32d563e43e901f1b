"""All pairs of many embeddings at once.

What one pair would take ``comparison.compare`` is done here for thousands: every embedding's
cosines are ranked, centred and searched once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float64, Int64

from net2vec_pl.analysis.comparison import centred, centred_ranks, near
from net2vec_pl.analysis.neighbourhood import FEWEST, all_alike
from net2vec_pl.analysis.space import cosines, unit_rows

_CLOSE = 1e-9
MEASURES = ("distance", "correlation", "cka", "overlap")


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
        by_chance = _measure(name, expected[a, b], squared[a], squared[b])
        chance[name] = np.where(np.abs(by_chance) < _CLOSE, 0.0, by_chance)  # no rounding is left
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
