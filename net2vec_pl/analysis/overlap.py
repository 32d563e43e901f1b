"""Which concepts have filters in common, beyond what popular filters alone would give.

Some filters have large weights for many concepts. That makes all pairs of concepts share more than
independent choices would, and says nothing of any pair. So pairs are compared with random choices
in which every concept has as many filters as before, and every filter as many concepts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import sparse, stats

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.jackknife import jackknife

FDR = 0.05  # of the pairs that are said to share more than chance gives
_TRADES = 10  # of every concept, between two random choices


@dataclass(frozen=True)
class Overlap:
    """Filters that pairs of concepts have in common, of the F that each has chosen of K.

    Args:
        shared: Filters in common, among the D concepts that have chosen any; the diagonal holds F.
        concept: Which concepts those are.
        mean: Mean over pairs, and the bounds of an interval that takes concepts as drawn, NaN below
            ten of them. The popularity of filters fixes it: it is the mean of every random choice.
        uniform: F^2 / K, what two concepts would share if every filter were as likely.
        variance: Variance over pairs.
        random_variance: Its mean over B random choices.
        p_variance: Share of random choices whose variance is at least this, (1 + #) / (1 + B).
        p: Of each pair, chance of sharing at least so many; that of the diagonal means nothing.
        p_fdr: The same, corrected for all pairs (Benjamini & Hochberg).
        pairs: Share of the pairs that have 0 to F filters in common.
        chance: The same over all random choices.
    """

    shared: Int64[np.ndarray, "D D"]
    concept: Int64[np.ndarray, "D"]
    mean: Float64[np.ndarray, "3"]
    uniform: float
    variance: float
    random_variance: float
    p_variance: float
    p: Float64[np.ndarray, "D D"]
    p_fdr: Float64[np.ndarray, "D D"]
    pairs: Float64[np.ndarray, "G"]
    chance: Float64[np.ndarray, "G"]


def overlap(chosen: Bool[np.ndarray, "C K"], permutations: int = 1000, seed: int = 0) -> Overlap:
    """Compare the filters that concepts have in common with what their popularity would give.

    All concepts have F filters, so in random choices that keep the popularity of every filter all
    pairs have the same law. It is pooled over the pairs of all random choices.

    Args:
        chosen: The F filters of every concept; a concept without an embedding has chosen none.
        permutations: Random choices, B.
        seed: Seed of the random choices.

    Returns:
        Overlap of every pair, on average, and how much it differs between pairs.

    Raises:
        ValueError: If concepts have chosen different numbers of filters.
    """
    size = chosen.sum(axis=1)
    concept = np.flatnonzero(size)
    if len(set(size[concept].tolist())) > 1:
        raise ValueError(f"concepts chose from {size[concept].min()} to {size.max()} filters each")
    num, k, f = len(concept), chosen.shape[1], int(size.max(initial=0))
    sets = np.nonzero(chosen[concept])[1].reshape(num, f)
    member = chosen[concept].astype(np.int64)
    shared = member @ member.T
    if num < 2:
        nan, of_pairs, shares = np.nan, np.full((num, num), np.nan), np.full(f + 1, np.nan)
        mean, none = np.full(3, nan), [of_pairs, of_pairs, shares, shares]
        return Overlap(shared, concept, mean, f * f / k, nan, nan, nan, *none)
    above = np.triu_indices(num, 1)
    counts = np.bincount(shared[above], minlength=f + 1)
    drawn = random_choices(sets, permutations, np.random.default_rng(seed))
    random = np.stack([_count_pairs(some, k) for some in drawn])
    pooled = random.sum(axis=0)
    at_least = pooled[::-1].cumsum()[::-1]  # pairs that share so many or more, by chance
    p = ((1 + at_least) / (1 + pooled.sum()))[shared]
    variances = _variance(random)
    return Overlap(
        shared=shared,
        concept=concept,
        mean=_mean(shared, f),
        uniform=f * f / k,
        variance=float(_variance(counts[None])[0]),
        random_variance=float(variances.mean()),
        p_variance=p_value(float(_variance(counts[None])[0]), variances),
        p=p,
        p_fdr=_corrected(p),
        pairs=counts / counts.sum(),
        chance=pooled / pooled.sum(),
    )


def _corrected(p: Float64[np.ndarray, "D D"]) -> Float64[np.ndarray, "D D"]:
    """Correct the p of all pairs for their number (Benjamini & Hochberg 1995)."""
    above = np.triu_indices(len(p), 1)
    corrected = np.full_like(p, np.nan)
    corrected[above] = stats.false_discovery_control(p[above], method="bh")
    corrected.T[above] = corrected[above]
    return corrected


def random_choices(
    sets: Int64[np.ndarray, "D F"], times: int, rng: np.random.Generator
) -> Iterator[Int64[np.ndarray, "D F"]]:
    """Choose filters at random, as many for every concept and as often each filter as before.

    All such choices are equally likely. The curveball algorithm (Strona et al., *Nature
    Communications* 5:4114, 2014), with trades of all concepts at once (Carstens, Berger & Strona,
    *MethodsX* 5, 2018). The chain has the given choice at a random place (Besag & Clifford,
    *Biometrika* 76, 1989), so a rank among its states is exact however slowly it mixes.

    Args:
        sets: The filters of every concept, none twice.
        times: Random choices, B.
        rng: Where chance comes from.

    Yields:
        A choice, in no order.
    """
    before = int(rng.integers(times + 1))
    for steps in (before, times - before):
        state = sets
        for _ in range(steps):
            for _ in range(_TRADES):
                state = _traded(state, rng)
            yield state


def _traded(sets: Int64[np.ndarray, "D F"], rng: np.random.Generator) -> Int64[np.ndarray, "D F"]:
    """Let concepts meet in pairs, and share out anew what only one of the two has."""
    num, f = sets.shape
    order = rng.permutation(num)
    one, other = order[: num // 2], order[num // 2 : num // 2 * 2]
    held = np.sort(np.concatenate([sets[one], sets[other]], axis=1), axis=1)
    twice = held[:, 1:] == held[:, :-1]
    key = rng.random(held.shape)
    key[:, :-1][twice] = -1.0  # what both have goes to the one
    key[:, 1:][twice] = 2.0  # and to the other
    held = np.take_along_axis(held, key.argsort(axis=1), axis=1)
    traded = sets.copy()
    traded[one], traded[other] = held[:, :f], held[:, f:]
    return traded


def _count_pairs(sets: Int64[np.ndarray, "D F"], num_filters: int) -> Int64[np.ndarray, "G"]:
    """Count the pairs of concepts that have 0 to F filters in common."""
    num, f = sets.shape
    starts = np.arange(num + 1) * f
    ones = np.ones(sets.size, dtype=np.int32)
    member = sparse.csr_array((ones, sets.ravel(), starts), shape=(num, num_filters))
    both = np.bincount((member @ member.T).data, minlength=f + 1)  # every pair twice, and itself
    both[f] -= num
    counts = both // 2
    counts[0] += num * (num - 1) // 2 - counts.sum()
    return counts


def _variance(counts: Int64[np.ndarray, "B G"]) -> Float64[np.ndarray, "B"]:
    """Return the variance of overlaps over pairs, from how many pairs have each."""
    common, total = np.arange(counts.shape[1]), counts.sum(axis=1)
    mean = counts @ common / total
    return np.asarray(counts @ common**2 / total - mean**2)


def _mean(shared: Int64[np.ndarray, "D D"], f: int) -> Float64[np.ndarray, "3"]:
    """Average over pairs. A pair has two concepts, so concepts are left out, not pairs."""
    num = len(shared)
    of_concept = shared.sum(axis=1) - f
    total = of_concept.sum() / 2
    without = (
        (total - of_concept) / ((num - 1) * (num - 2) / 2) if num > 2 else np.full(num, np.nan)
    )
    value = np.array([total / (num * (num - 1) / 2)])
    return jackknife(value, without[:, None]).array()[:, 0]
