"""How many concepts a filter has, and how many filters a concept.

Net2Vec, section 4.2 and supplement: one filter serves several concepts, and one concept several
filters. Beside the counts of the paper stand what chance alone would give, and counts of filters
that need no cut.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

# The paper's bins, by their smallest number of concepts.
BINS = {"0": 0, "1": 1, "2–5": 2, "6–9": 6, "10–14": 10, "15–19": 15, "20+": 20}
_ROUNDING = 1e-12  # equal sums of floats may differ by this share


@dataclass(frozen=True)
class FilterSharing:
    """How many concepts have chosen each filter.

    Args:
        n_concepts: Concepts per filter.
        n_without: Concepts that have chosen none.
    """

    n_concepts: Int64[np.ndarray, "K"]
    n_without: int

    @property
    def histogram(self) -> dict[str, float]:
        """Share of the K filters in each of the paper's bins; NaN if there is no filter."""
        edges = [*BINS.values(), np.iinfo(np.int64).max]
        n = np.histogram(self.n_concepts, edges)[0]
        total = len(self.n_concepts)
        return {name: int(x) / total if total else np.nan for name, x in zip(BINS, n, strict=True)}


def concepts_per_filter(best_filter: Int64[np.ndarray, "C"], num_filters: int) -> FilterSharing:
    """Count the concepts whose best filter each filter is.

    Args:
        best_filter: A filter per concept; -1 where no filter overlaps it.
        num_filters: K.

    Returns:
        Counts; the concepts without a filter are counted apart, where the original gives them to
        filter 0.

    Raises:
        ValueError: If a filter is K or more.
    """
    if (best_filter >= num_filters).any():
        raise ValueError(
            f"a concept's best filter is {best_filter.max()}, of {num_filters} filters"
        )
    chosen = best_filter[best_filter >= 0]
    n_concepts = np.bincount(chosen, minlength=num_filters)
    return FilterSharing(n_concepts, len(best_filter) - len(chosen))


def expected_sharing(num_concepts: int, num_filters: int) -> tuple[float, float]:
    """Return how many filters would be chosen, and how many by several concepts, by chance.

    Every concept chooses one filter, all are as likely, and concepts do not know of one another.

    Args:
        num_concepts: Concepts that choose, C.
        num_filters: K.

    Returns:
        Expected number of filters that any concept chooses, and that at least two choose.

    Example:
        >>> expected_sharing(2, 4)
        (1.75, 0.25)
    """
    unchosen = (1 - 1 / num_filters) ** num_concepts
    once = num_concepts / num_filters * (1 - 1 / num_filters) ** max(num_concepts - 1, 0)
    return num_filters * (1 - unchosen), num_filters * (1 - unchosen - once)


def participation_ratio(weight: Float[np.ndarray, "C K"]) -> Float64[np.ndarray, "C"]:
    r"""Count the filters of a concept without a cut: :math:`(\sum_k w_k^2)^2 / \sum_k w_k^4`.

    Args:
        weight: Embeddings.

    Returns:
        1 for a single filter to K for equal absolute weights; NaN for a row without any weight.

    Example:
        >>> participation_ratio(np.array([[0.0, 3.0, 0.0], [2.0, -2.0, 2.0]])).tolist()
        [1.0, 3.0]
    """
    square = _relative(weight) ** 2
    return np.asarray(square.sum(axis=1) ** 2 / (square**2).sum(axis=1))


def filters_for_mass(
    weight: Float[np.ndarray, "C K"], mass: float = 0.8
) -> Float64[np.ndarray, "C"]:
    """Count the largest filters that hold a share of the sum of absolute weights.

    Args:
        weight: Embeddings.
        mass: Share of the sum, in (0, 1].

    Returns:
        1 to K; NaN for a row without any weight.
    """
    held = np.cumsum(-np.sort(-_relative(weight), axis=1), axis=1)
    missing = held < mass * held[:, -1:] * (1 - _ROUNDING)
    return np.where(np.isnan(held[:, -1]), np.nan, 1 + missing.sum(axis=1))


def _relative(weight: Float[np.ndarray, "C K"]) -> Float64[np.ndarray, "C K"]:
    """Divide absolute weights by the largest of the row; a row without any is all NaN."""
    size = np.abs(weight.astype(np.float64))
    largest = size.max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(size / np.where(largest > 0, largest, np.nan))
