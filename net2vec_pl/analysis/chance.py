"""P-values of permutations, and how to write them."""

import numpy as np
from jaxtyping import Float64

_CLOSE = 1e-9


def p_value(observed: float, permuted: Float64[np.ndarray, "B"]) -> float:
    """Return how often chance does as well: (1 + number of permuted >= observed) / (1 + B).

    Differences below 1e-9 count as ties. NaN for an observation that is NaN.

    Example:
        >>> p_value(0.5, np.array([0.1, 0.5, 0.2]))
        0.5
    """
    if np.isnan(observed):
        return float("nan")
    return float((1 + (permuted >= observed - _CLOSE).sum()) / (1 + len(permuted)))


def p_text(p: float, draws: int) -> str:
    """Write a p-value of permutations; one at its floor is only known to be at most that.

    Args:
        p: (1 + #) / (1 + B).
        draws: Permutations, B.

    Example:
        >>> p_text(0.2, 99), p_text(0.01, 99)
        ('p = 0.2', 'p <= 0.01')
    """
    return f"p {'<=' if p <= 1 / (1 + draws) else '='} {p:.2g}"
