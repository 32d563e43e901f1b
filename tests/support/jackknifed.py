"""The interval of the jackknife a second time, one unit after the other."""

import math
from collections.abc import Sequence

from scipy import optimize, stats


def jackknifed(
    value: float,
    without: Sequence[float],
    weights: Sequence[float] | None = None,
    level: float = 0.95,
    share: bool = False,
    skewed: bool = False,
) -> tuple[float, float]:
    """Bound an estimate by what remains when each unit is left out.

    Args:
        value: The estimate.
        without: The same without each unit.
        weights: What each unit counts in it.
        level: How often the bounds should hold the truth.
        share: Whether to bound its logit.
        skewed: Whether to follow the skewness of the units.
    """
    n = len(without)
    weights = [1.0] * n if weights is None else weights
    changes = [value - float(x) for x in without]
    squares = sum(c**2 for c in changes)
    if squares < 1e-60:
        return value, value
    error = math.sqrt((n - 1) / n * squares)
    kish = sum(weights) ** 2 / sum(w**2 for w in weights)
    kurtosis = n * sum(c**4 for c in changes) / squares**2
    steady = 1 + 2 / max((kurtosis - 1) / n, 1e-9)
    effective = min(kish, steady) if n >= 10 else math.sqrt(kish * n)
    t = stats.t.ppf((1 + level) / 2, max(effective - 1, 1.0))
    of_units = math.sqrt(n * (n - 1)) / (n - 2) * math.sqrt(n) * sum(c**3 for c in changes)
    h = of_units / squares**1.5 / math.sqrt(n) if skewed and n >= 10 else 0.0

    def bent(x: float, wanted: float) -> float:
        return float(x + h * x**2 / 3 + h**2 * x**3 / 27 + h / 6 - wanted)

    below, above = (optimize.brentq(bent, -1e6, 1e6, args=(w,)) for w in (t, -t))
    low, high = value - below * error, value - above * error
    if not share:
        return low, high
    slope, logit = value * (1 - value), math.log(value / (1 - value))
    low, high = (1 / (1 + math.exp(-(logit + (bound - value) / slope))) for bound in (low, high))
    return low, high
