"""Probes from sums: two means and a covariance in the place of epochs.

All take the sums of x over train images and return a vector per concept, and the bias that puts
zero half way between the mean scores inside and outside of the concept. x is divided by ``scale``
first, a spread of each filter, so that shrinkage means the same for all filters; scores have a
spread of 1 over all train positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from net2vec_pl.functional.inputs import inverse_scale
from net2vec_pl.probes.moments import Moments, Sums

Own = Callable[[int], Float64[Tensor, "K K"]]  # the covariance over a concept's own images
_CANDIDATES = 8  # directions of which each concept's best is calibrated


@dataclass(frozen=True)
class Solution:
    """Embeddings and their biases.

    Args:
        weight: Row c is the embedding of concept c; 0 where its sums do not define one.
        bias: Of each concept.
    """

    weight: Float64[Tensor, "C K"]
    bias: Float64[Tensor, "C"]


@dataclass(frozen=True)
class Scaled:
    """The sums of x over its scale: what solvers read.

    Args:
        sums: Sums of x.
        scale: What each filter is divided by; where it is 0 the filter is left out.
    """

    sums: Sums
    scale: Float64[Tensor, "K"]

    @property
    def inverse(self) -> Float64[Tensor, "K"]:
        """What x is multiplied with."""
        return inverse_scale(self.scale)

    @property
    def covariance(self) -> Float64[Tensor, "K K"]:
        """The pooled covariance, of all train positions."""
        return self.scaled(self.sums.covariance)

    @property
    def means(self) -> tuple[Float64[Tensor, "C K"], Float64[Tensor, "C K"]]:
        """Means inside and outside of each concept; both 0 where there is only one of them."""
        inside, outside = (mean * self.inverse for mean in self.sums.means)
        known = (inside.isfinite() & outside.isfinite()).all(1, keepdim=True)
        return torch.where(known, inside, 0.0), torch.where(known, outside, 0.0)

    @property
    def mean(self) -> Float64[Tensor, "K"]:
        """Mean over all train positions."""
        return self.sums.total / self.sums.count * self.inverse

    @property
    def difference(self) -> Float64[Tensor, "C K"]:
        """Mean inside of each concept less the mean outside."""
        inside, outside = self.means
        return inside - outside

    def scaled(self, covariance: Float64[Tensor, "K K"]) -> Float64[Tensor, "K K"]:
        """Return a covariance of x over its scale."""
        return covariance * self.inverse * self.inverse[:, None]


def furthest_apart(
    apart: Float64[Tensor, "C D"], *, either_side: bool
) -> tuple[Int64[Tensor, "C n"], Float64[Tensor, "C n"]]:
    """Return the directions that set inside and outside of each concept furthest apart.

    Args:
        apart: How much higher each direction is inside, in its own standard deviations.
        either_side: Whether one that is lower inside may be taken, turned round.

    Returns:
        Which they are, at most 8, and what to multiply them with so that they are higher inside.

    Example:
        >>> furthest_apart(torch.tensor([[1.0, -2.0]]).double(), either_side=True)
        (tensor([[1, 0]]), tensor([[-1.,  1.]], dtype=torch.float64))
    """
    most = min(_CANDIDATES, apart.shape[1])
    number = (apart.abs() if either_side else apart).topk(most, dim=1).indices
    turned = either_side & (apart.gather(1, number) < 0)
    return number, torch.where(turned, -1.0, 1.0).double()


def shrunk(covariance: Float64[Tensor, "*B K K"], shrinkage: float) -> Float64[Tensor, "*B K K"]:
    r"""Pull a covariance towards the mean variance: :math:`(1 - \gamma)\Sigma + \gamma\nu I`.

    Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*, 2004.

    Example:
        >>> shrunk(torch.tensor([[4.0, 1.0], [1.0, 2.0]]).double(), 0.5).tolist()
        [[3.5, 0.5], [0.5, 2.5]]
    """
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    pulled = (1 - shrinkage) * covariance
    pulled.diagonal(dim1=-2, dim2=-1).add_(shrinkage * variance.mean(-1, keepdim=True))
    return pulled


def solve(
    covariance: Float64[Tensor, "K K"], right: Float64[Tensor, "C K"]
) -> Float64[Tensor, "C K"]:
    """Return the solution w of ``covariance w = right`` of smallest length, for each row.

    Filters that never vary have no variance, so a covariance may be singular.
    """
    values, vectors = torch.linalg.eigh(covariance)
    largest = values.abs().max().clamp(min=torch.finfo(values.dtype).tiny)
    kept = values > largest * len(values) * torch.finfo(values.dtype).eps
    inverse = torch.where(kept, 1 / values, 0.0)
    solved: Tensor = (right @ vectors * inverse) @ vectors.T
    return solved


def mean_difference(scaled: Scaled) -> Float64[Tensor, "C K"]:
    r"""Return :math:`\mu_1 - \mu_0` for each concept, at a spread of 1 of its scores.

    A concept activation vector by means: FastCAV, 2025, https://arxiv.org/abs/2505.17883.
    """
    return unit_spread(scaled, scaled.difference)


def lda(
    scaled: Scaled, shrinkage: float, own: Own | None = None, share: float = 0.0
) -> Float64[Tensor, "C K"]:
    r"""Return :math:`\Sigma^{-1} (\mu_1 - \mu_0)` for each concept: Fisher's discriminant, 1936.

    Args:
        scaled: The sums. Means are over the images that contain the concept, the covariance over
            all train images.
        shrinkage: Of the covariance, in [0, 1]; see :func:`shrunk`.
        own: Returns the covariance of x over the images that contain a concept.
        share: The share of that in the concept's covariance, in [0, 1].
    """
    if own is None or share == 0:
        return solve(shrunk(scaled.covariance, shrinkage), scaled.difference)

    def mixed(concept: int) -> Float64[Tensor, "K K"]:
        return (1 - share) * scaled.covariance + share * scaled.scaled(own(concept))

    return _each(scaled.difference, lambda c: shrunk(mixed(c), shrinkage))


def ridge(scaled: Scaled, shrinkage: float, own: Own) -> Float64[Tensor, "C K"]:
    """Return the direction of the least-squares fit of each concept's share of a cell.

    The fit is over the images that contain it; scores have a spread of 1 over all train positions.

    Args:
        scaled: The sums.
        shrinkage: Of the covariance; see :func:`shrunk`.
        own: Returns the covariance of x over the images that contain a concept.
    """
    inside = (scaled.sums.inside / scaled.sums.own_count)[:, None]
    with_share = (inside * (1 - inside)).nan_to_num(0.0) * scaled.difference  # covariance of f, x
    weight = _each(with_share, lambda c: shrunk(scaled.scaled(own(c)), shrinkage))
    return unit_spread(scaled, weight)  # the fit of a rare concept is close to 0 everywhere


def pattern(scaled: Scaled, weight: Float64[Tensor, "C K"]) -> Float64[Tensor, "C K"]:
    r"""Return what filters do where a concept's score is high: :math:`\Sigma w` over its spread.

    Haufe et al., *On the interpretation of weight vectors of linear models in multivariate
    neuroimaging*, 2014.

    Args:
        scaled: The sums.
        weight: Embeddings, of x over its scale.
    """
    covariances = weight @ scaled.covariance
    spread = (covariances * weight).sum(1).clamp(min=0).sqrt()
    return covariances * inverse_scale(spread)[:, None]


def standardised(scaled: Scaled, weight: Float64[Tensor, "C K"]) -> Solution:
    """Bring the scores of embeddings to mean 0 and spread 1 over all train positions.

    Args:
        scaled: The sums.
        weight: Embeddings, of x over its scale.
    """
    unit = unit_spread(scaled, weight)
    return Solution(unit, -(unit @ scaled.mean))


def unit_spread(scaled: Scaled, weight: Float64[Tensor, "C K"]) -> Float64[Tensor, "C K"]:
    """Bring the scores of every concept to a standard deviation of 1.

    A threshold is chosen among bins of logits that end at 64, and those of a rare concept that many
    filters tell apart would lie beyond.
    """
    variance = (weight @ scaled.covariance * weight).sum(1)
    return weight * inverse_scale(variance.clamp(min=0).sqrt())[:, None]


def halfway(scaled: Scaled, weight: Float64[Tensor, "C K"]) -> Float64[Tensor, "C"]:
    """Return the biases that put 0 half way between the mean scores inside and outside."""
    inside, outside = scaled.means
    return -((inside + outside) / 2 * weight).sum(1)


def solution(
    kind: str,
    moments: Moments,
    scale: Float64[Tensor, "K"],
    shrinkage: float,
    *,
    share: float = 0.0,
    kept: Bool[Tensor, "C K"] | None = None,
    sums: Sums | None = None,
) -> Solution:
    """Return the embeddings of one kind.

    Args:
        kind: ``mean_difference``, ``lda``, ``ridge`` or ``pattern``.
        moments: The sums.
        scale: What x is divided by.
        shrinkage: Of covariances, in [0, 1].
        share: The share of a concept's own images in its covariance, in [0, 1].
        kept: The filters each concept may use; all if None. The others weigh 0.
        sums: Those of some folds; of all if None.
    """
    scaled = Scaled(sums or moments.sums, scale)
    if kept is None:
        weight = _kind(kind, scaled, shrinkage, moments.own_covariance, share) * (scale > 0)
        return Solution(weight, halfway(scaled, weight))
    weight = torch.zeros_like(scaled.difference)
    for c, mine in enumerate(kept):
        some = mine.nonzero().flatten()

        def own(_: int, c: int = c, some: Tensor = some) -> Tensor:
            return moments.own_covariance(c)[some][:, some]

        part = Scaled(scaled.sums.only(c, some), scale[some])
        weight[c, some] = _kind(kind, part, shrinkage, own, share)[0]
    return Solution(weight, halfway(scaled, weight))


def _kind(
    kind: str, scaled: Scaled, shrinkage: float, own: Own, share: float
) -> Float64[Tensor, "C K"]:
    if kind == "mean_difference":
        return mean_difference(scaled)
    if kind == "ridge":
        return ridge(scaled, shrinkage, own)
    weight = lda(scaled, shrinkage, own, share)
    return unit_spread(scaled, pattern(scaled, weight) if kind == "pattern" else weight)


def _each(
    right: Float64[Tensor, "C K"], covariance: Callable[[int], Float64[Tensor, "K K"]]
) -> Float64[Tensor, "C K"]:
    """Solve for each concept with a covariance of its own; 0 where there is nothing to solve."""
    rows = [
        solve(covariance(c), row[None]) if row.any() else row[None] for c, row in enumerate(right)
    ]
    return torch.cat(rows)
