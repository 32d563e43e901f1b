"""The space of embeddings: nearest concepts and concept arithmetic.

Everything here looks at directions: rows of a bank are brought to unit length first. A row that is
all zero or not finite has no direction; it is left out before anything is computed, and named.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from net2vec_pl.errors import ConfigError, shorten, unknown

# What is equal in exact arithmetic must tie, whatever the order in which a product was summed.
_DECIMALS = 12
_CLOSE = 1e-9
# A term and the sign behind it. The script of the report has the same pattern.
_TERM = re.compile(r"""(?:"((?:[^"]|"")*)"|'((?:[^']|'')*)'|(.+?))(?:\s+([+−-])\s+|$)""", re.DOTALL)


@dataclass(frozen=True)
class UnitRows:
    """Embeddings of unit length, and which concepts have one.

    Args:
        rows: Unit vectors of the V concepts that have a direction.
        valid: Whether a concept has one.
        reason: Why a concept is left out; empty for the others.
    """

    rows: Float64[np.ndarray, "V K"]
    valid: Bool[np.ndarray, "C"]
    reason: tuple[str, ...]

    @property
    def index(self) -> Int64[np.ndarray, "V"]:
        """The concepts that ``rows`` belong to."""
        return np.flatnonzero(self.valid)

    @property
    def excluded(self) -> int:
        """How many concepts are left out."""
        return int((~self.valid).sum())


def unit_rows(weight: Float[np.ndarray, "C K"]) -> UnitRows:
    """Divide every embedding by its length, after leaving out those that have none.

    Args:
        weight: A bank; zero and non-finite rows may occur.

    Example:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0]]))
        UnitRows(rows=array([[0.6, 0.8]]), valid=array([ True, False, False]), reason=('', 'zero', 'not finite'))
    """  # noqa: E501 (a doctest's answer)
    weight = np.asarray(weight, dtype=np.float64)
    finite = np.isfinite(weight).all(axis=1)
    largest = np.abs(weight).max(axis=1, initial=0.0)
    valid = finite & (largest > 0)
    reason = np.where(finite, np.where(largest > 0, "", "zero"), "not finite")
    # Dividing by the largest entry first keeps the squares of tiny and huge rows in range.
    rows = weight[valid] / largest[valid, None]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return UnitRows(rows, valid, tuple(reason.tolist()))


def cosines(rows: Float64[np.ndarray, "V K"]) -> Float64[np.ndarray, "V V"]:
    """Compute the cosine of every pair of unit rows: the paper's D = V V^T.

    Returns:
        In [-1, 1], rounded to 12 decimals: what is equal but for the order of summation ties.
    """
    cosine: Float64[np.ndarray, "V V"] = np.round(rows @ rows.T, _DECIMALS)
    return cosine.clip(-1.0, 1.0)


def nearest_rows(cosine: Float64[np.ndarray, "V V"], k: int) -> Int64[np.ndarray, "V _"]:
    """Find for every row the k others of highest cosine, the best first.

    The row itself is dropped by its index, not as "the first": a twin has the same cosine. Ties go
    to the lower index.

    Returns:
        Indices of rows; fewer than k columns where there are fewer than k others.

    Raises:
        ConfigError: If k is below 1.
    """
    if k < 1:
        raise ConfigError(f"k={k}: at least 1 neighbour must be asked for.")
    others = cosine.copy()
    np.fill_diagonal(others, -np.inf)
    order = np.argsort(-others, axis=1, kind="stable")
    return order[:, : min(k, max(len(cosine) - 1, 0))]


@dataclass(frozen=True)
class Neighbours:
    """The J nearest concepts of each of C; J is k, or as many as there are.

    Args:
        index: Concepts, the nearest first; -1 in the row of a concept that has no direction.
        cosine: Their cosines in [-1, 1]; NaN likewise.
        beyond: How many more concepts are as near as the last of them: ties that its place in the
            bank decided.
        left_out: Why a concept has no neighbours and is nobody's; empty for the others.
        reason: Why J is below what was asked for; empty if it is not.
    """

    index: Int64[np.ndarray, "C J"]
    cosine: Float64[np.ndarray, "C J"]
    beyond: Int64[np.ndarray, "C"]
    left_out: tuple[str, ...]
    reason: str


def nearest(weight: Float[np.ndarray, "C K"], k: int = 5) -> Neighbours:
    """Find the nearest concepts of every concept by cosine (section 5.2 of the paper).

    Args:
        weight: A bank; its order decides which of those that are equally near are named.
        k: Neighbours to find.

    Raises:
        ConfigError: If k is below 1.

    Example:
        >>> nearest(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), k=1).index
        array([[1],
               [0],
               [1]])
    """
    units = unit_rows(weight)
    cosine = cosines(units.rows)
    found = nearest_rows(cosine, k)
    index = np.full((len(weight), found.shape[1]), -1, dtype=np.int64)
    values = np.full(index.shape, np.nan)
    index[units.index] = units.index[found]
    values[units.index] = np.take_along_axis(cosine, found, axis=1)
    beyond = np.zeros(len(weight), dtype=np.int64)
    if found.shape[1]:  # itself is as near too
        as_near = (cosine >= values[units.index, -1:]).sum(axis=1) - 1
        beyond[units.index] = as_near - found.shape[1]
    cut = _cut(k, found.shape[1], "neighbours")
    return Neighbours(index, values, beyond, units.reason, cut)


def _cut(asked: int, found: int, what: str) -> str:
    return "" if found == asked else f"{asked} {what} asked for, {found} there"


def rows_by_name(names: Sequence[str]) -> dict[str, int]:
    """Map every name to its row.

    Raises:
        ConfigError: If a name occurs twice, for then it does not say which concept is meant.
    """
    rows = {name: row for row, name in enumerate(names)}
    if len(rows) < len(names):
        twice = dict.fromkeys(name for row, name in enumerate(names) if rows[name] != row)
        raise ConfigError(f"concept names must differ; these occur twice: {shorten(twice)}.")
    return rows


def parse_expression(expression: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Split concept arithmetic into terms and signs; a sign is one only between spaces.

    Names hold hyphens, spaces and slashes, so the spaces around a sign are not optional. A name
    that holds such a sign itself, or begins or ends with a space, stands in single or double
    quotes; a quote of the same kind within it is written twice.

    Returns:
        The terms, and +1 or -1 for each.

    Example:
        >>> parse_expression("grass + blue-green - mountain pass")
        (('grass', 'blue-green', 'mountain pass'), (1, 1, -1))
        >>> parse_expression("'black + white' - cat")
        (('black + white', 'cat'), (1, -1))
    """
    found = _TERM.findall(expression.strip()) or [("", "", "", "")]
    terms = (
        double.replace('""', '"') or single.replace("''", "'") or plain
        for double, single, plain, _ in found
    )
    signs = (1, *(1 if sign == "+" else -1 for *_, sign in found[:-1]))
    return tuple(terms), signs


@dataclass(frozen=True)
class Analogy:
    """The J concepts nearest to a sum of concepts; J is k, or as many as there are.

    Args:
        terms: Names of the concepts added and subtracted.
        signs: +1 or -1 for each.
        index: Answers, the best first, never a term.
        score: The paper's score of each: its dot product with the mean of the signed unit vectors.
        cosine: Its cosine with that mean, which ranks alike.
        reason: Why there are fewer answers than asked for, or none; empty if there are not.
    """

    terms: tuple[str, ...]
    signs: tuple[int, ...]
    index: Int64[np.ndarray, "J"]
    score: Float64[np.ndarray, "J"]
    cosine: Float64[np.ndarray, "J"]
    reason: str


def analogy(
    expression: str, names: Sequence[str], weight: Float[np.ndarray, "C K"], k: int = 5
) -> Analogy:
    r"""Answer concept arithmetic such as ``"grass + blue-green"`` (Table 2 of the paper).

    .. math:: score(c) = \hat w_c \cdot \frac{1}{n} \sum_{t=1}^{n} s_t \hat w_t

    The mean is not brought to unit length: a + b - c is divided by 3 and no more. Scores of the
    paper can only be compared under this definition.

    Args:
        expression: Concept names with ``+`` or ``-`` between them, and spaces around these; see
            :func:`parse_expression` for names that need quotes.
        names: C names, all different.
        weight: A bank.
        k: Answers to give.

    Raises:
        ConfigError: If a term is no concept, names repeat, or k is below 1.

    Example:
        >>> bank = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
        >>> analogy("sky + sea", ["sky", "sea", "horizon"], bank, k=1).score.round(3)
        array([0.707])
    """
    if len(names) != len(weight):
        raise ValueError(f"{len(names)} names for {len(weight)} embeddings")
    if k < 1:
        raise ConfigError(f"k={k}: at least 1 answer must be asked for.")
    terms, signs = parse_expression(expression)
    rows = rows_by_name(names)
    for term in terms:
        if term not in rows:
            how = (
                "Terms are joined by ' + ' and ' - ', with the spaces; a name with such a sign in "
                "it stands in quotes."
            )
            raise ConfigError(f"{unknown('concept', term, names)} {how}")
    chosen = np.array([rows[term] for term in terms])
    units = unit_rows(weight)
    if not units.valid[chosen].all():
        why = [f"{terms[i]} ({units.reason[c]})" for i, c in enumerate(chosen) if units.reason[c]]
        return _no_answer(terms, signs, f"no direction: {shorten(why)}")
    position = np.cumsum(units.valid) - 1
    mean = np.mean(np.array(signs)[:, None] * units.rows[position[chosen]], axis=0)
    length = float(np.linalg.norm(mean))
    if length < _CLOSE:
        return _no_answer(terms, signs, "the terms cancel: nothing is left to compare with")
    score = np.round(units.rows @ mean, _DECIMALS)
    order = np.argsort(-score, kind="stable")
    best = order[~np.isin(units.index[order], chosen)][:k]
    cut = _cut(k, len(best), "answers")
    return Analogy(terms, signs, units.index[best], score[best], score[best] / length, cut)


def _no_answer(terms: tuple[str, ...], signs: tuple[int, ...], reason: str) -> Analogy:
    return Analogy(terms, signs, np.zeros(0, np.int64), np.zeros(0), np.zeros(0), reason)


def weight_spread(weight: Float[np.ndarray, "C K"]) -> Float64[np.ndarray, "C"]:
    """Compute the standard deviation of a concept's raw weights over the K filters.

    The original authors read it as how distributed an encoding is. It is the population's (divided
    by K) and grows with the length of the vector. NaN for a concept that has no direction.

    Example:
        >>> weight_spread(np.array([[1.0, -1.0], [0.0, 0.0]]))
        array([ 1., nan])
    """
    spread = np.full(len(weight), np.nan)
    valid = unit_rows(weight).valid
    spread[valid] = np.asarray(weight, dtype=np.float64)[valid].std(axis=1)
    return spread
