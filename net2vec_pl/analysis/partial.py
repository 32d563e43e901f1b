r"""Partial probes: what tells a concept beyond what the scores of other concepts tell.

All of it is of Fisher's discriminants :math:`W = D \Sigma^{-1}`, a row of each concept. Over all
positions their scores have the covariance :math:`M = W \Sigma W' = D \Sigma^{-1} D'`, and
:math:`M_{cc}` is the squared distance of inside and outside along the discriminant of c. So M alone
says what is left of a concept when the scores of others are taken out by least squares.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.jackknife import Changes, Interval, student
from net2vec_pl.analysis.pair_counts import PairCounts, set_ious
from net2vec_pl.probes.closed_form import solve

_NOTHING = 1e-9  # a share of a distance that is rounding


def correlations(together: Float64[Tensor, "C C"]) -> Float64[Tensor, "C C"]:
    r"""Return the correlations of scores; 0 with itself, and where a concept has no direction.

    The score of o, taken out alone, takes :math:`M_{co}^2 / (M_{cc} M_{oo})` of the squared
    distance of c: the square of their correlation.

    Args:
        together: Covariances of the scores, M.

    Example:
        >>> correlations(torch.tensor([[4.0, 1.0], [1.0, 1.0]]).double()).tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    spread = together.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(spread > 0, 1 / spread, 0.0)
    found = together * inverse * inverse[:, None]
    return found.fill_diagonal_(0.0)


def most_costly(correlation: Float64[Tensor, "C C"], number: int) -> Bool[Tensor, "C C"]:
    """Return which others take most of each concept, each alone; fewer where there are fewer.

    Example:
        >>> most_costly(torch.tensor([[0.0, -0.9], [-0.9, 0.0]]).double(), 1).tolist()
        [[False, True], [True, False]]
    """
    cost = correlation**2
    chosen = cost.topk(min(number, cost.shape[1]), dim=1).indices
    return torch.zeros_like(cost, dtype=torch.bool).scatter_(1, chosen, value=True) & (cost > 0)


def partial_directions(
    weight: Float64[Tensor, "C K"],
    together: Float64[Tensor, "C C"],
    out: Bool[Tensor, "C C"],
) -> tuple[Float64[Tensor, "C K"], Float64[Tensor, "C"]]:
    r"""Take the scores of others out of each concept.

    With the others O of c, and the least-squares fit :math:`\hat x` of x by their scores,

    .. math:: w_{c \cdot O} = w_c - W_O' M_{OO}^{-1} M_{Oc}, \qquad
       1 - M_{cO} M_{OO}^{-1} M_{Oc} / M_{cc}

    are the discriminant of c on the residuals :math:`x - \hat x`, and the share of the squared
    distance that it keeps. Its score of x is that of the residuals. Where scores of others
    determine one another, the inverse is Moore and Penrose's.

    Args:
        weight: Discriminants, :math:`W = D \Sigma^{-1}`.
        together: Covariances of their scores, M.
        out: The others of each concept; none is its own.

    Returns:
        Directions, 0 where nothing is left, and the shares; NaN of a concept without a direction.
    """
    partial, left = weight.clone(), torch.full_like(together[0], torch.nan)
    for c, others in enumerate(out):
        own = together[c, c]
        if own <= 0:
            continue
        if not others.any():
            left[c] = 1.0
            continue
        fit = solve(together[others][:, others], together[c, others][None])[0]
        share = 1 - fit @ together[c, others] / own
        nothing = bool(share < _NOTHING)
        left[c] = 0.0 if nothing else share
        partial[c] = 0.0 if nothing else weight[c] - fit @ weight[others]
    return partial, left


def share_of_gain(partial: PairCounts, level: PairCounts, confidence: float = 0.95) -> Interval:
    r"""Return the share of the gain over a level that is left: :math:`(P - L) / (F - L)`.

    Args:
        partial: Pixels of the full probe, F, and of the partial one, P.
        level: Pixels of the full probe and of the level, L, on the same pairs.
        confidence: How often an interval should hold the truth.

    Returns:
        Shares, below 0 where the partial probe is worse than the level; NaN where the full one is
        not better. Intervals are jackknifed, all three scores together, and given only where that
        of F - L is above 0: else the share may be anything.
    """
    over = SetIouIntervals(level, confidence)
    units, of_level = partial.by_unit, level.by_unit
    totals = np.concatenate([partial.totals, level.totals[1:]])
    sums = np.concatenate([units.sums, of_level.sums[1:]])
    value = _share(totals)
    change = np.nan_to_num(_share(totals[..., units.concept] - sums) - value[units.concept])
    size, union = partial.num_concepts, totals[:, 1][:, units.concept]
    share = np.divide(sums[:, 1], union, out=np.zeros_like(union), where=union > 0).mean(0)
    changes = Changes.by(units.concept, size, change, share)
    found = student(value, changes, confidence, least=1)
    sure = over.gain.low > 0  # NaN where there are too few images or groups
    return Interval(value, *(np.where(sure, bound, np.nan) for bound in (found.low, found.high)))


def _share(sums: Float64[np.ndarray, "3 2 *S"]) -> Float64[np.ndarray, "*S"]:
    """Return the share from the pixels of F, P and L."""
    full, partial, level = set_ious(sums)
    gain = full - level
    found = np.full(gain.shape, np.nan)
    np.divide(partial - level, gain, out=found, where=gain > 0)
    return found
