"""The best single filter for classifying each concept: every filter is fitted, and train chooses.

For one filter, f(x) = sigmoid(b + a p_k(x)). All of them are fitted to every concept by Newton's
method and the one with the best balanced train accuracy is kept. This is not the paper's single
filter, the one of largest weight in the full classifier, trained again by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from net2vec_pl.functional.balanced import too_few
from net2vec_pl.probes.single_filter import NO_FILTER

# Of a slope in standard deviations: too small to matter, but for classes that a filter separates.
RIDGE = 1e-4
_STEPS = 12
_SMALL = 1e-4  # of a step, in standard deviations
_FLOATS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class SingleClassifiers:
    """The best filter of every concept, and its classifier.

    Args:
        filter: The filter, or -1 where there is none.
        slope: a, per unit of the pooled activation; NaN where there is none.
        bias: b; likewise.
        train_accuracy: Mean of the shares of train images with and without the concept that are on
            their side of 0.5.
        reason: Why there is none; empty where there is one.
    """

    filter: Int64[Tensor, "C"]
    slope: Float64[Tensor, "C"]
    bias: Float64[Tensor, "C"]
    train_accuracy: Float64[Tensor, "C"]
    reason: list[str]

    def logits(self, pooled: Float[Tensor, "N K"]) -> Iterator[Float64[Tensor, "N C"]]:
        """Yield the logits of every image and concept; NaN where there is no classifier.

        One matrix only: the form in which classifiers are scored.
        """
        chosen = pooled[:, self.filter.clamp(min=0).to(pooled.device)].double()
        yield chosen * self.slope.to(pooled.device) + self.bias.to(pooled.device)


def best_single_classifiers(
    pooled: Float[Tensor, "N K"],
    present: Bool[np.ndarray, "N C"],
    absent: Bool[np.ndarray, "N C"] | None = None,
) -> SingleClassifiers:
    """Fit every filter to every concept on the train images, and choose.

    The two classes weigh the same over all images. The best balanced accuracy wins; on ties the
    lower loss, to four decimals, then the lower index.

    Args:
        pooled: Activations of the train images, averaged over space. Filters that are the same
            everywhere have no classifier.
        present: Which of them carries which concept.
        absent: Which is known to lack which concept; all that do not carry it if None.
    """
    lacking = ~present if absent is None else absent
    reason = too_few(present, "train images", lacking)
    values = pooled.double()
    center = values.mean(0)
    scale = (values - center).square().mean(0).sqrt()
    alive = (values != values[:1]).any(0) & scale.isfinite() & (scale > 0)
    if not alive.any():
        reason = [why or "no filter varies over the train images" for why in reason]
    live = alive.nonzero()[:, 0]
    standard = ((values[:, live] - center[live]) / scale[live]).to(pooled.dtype).T.contiguous()
    able = np.array([c for c, why in enumerate(reason) if not why], dtype=np.int64)
    result = _none(present.shape[1], reason)
    chunk = max(1, _FLOATS_AT_ONCE // max(1, standard.numel()))
    for start in range(0, len(able), chunk):
        some = able[start : start + chunk]
        positive, negative = (
            torch.from_numpy(flags.T[some]).to(pooled.device) for flags in (present, lacking)
        )
        fit = fit_single(standard, positive, negative)
        accuracy, loss = fit.accuracy.cpu().numpy(), fit.loss.double().cpu().numpy().round(4)
        tied = np.where(accuracy == accuracy.max(1, keepdims=True), loss, np.inf)
        best = torch.from_numpy(tied.argmin(1)).to(pooled.device)
        chosen, row = live[best], torch.arange(len(best), device=pooled.device)
        slope = fit.slope[row, best].double() / scale[chosen]
        result.filter[some] = chosen.cpu()
        result.slope[some] = slope.cpu()
        result.bias[some] = (fit.bias[row, best].double() - slope * center[chosen]).cpu()
        result.train_accuracy[some] = fit.accuracy[row, best].cpu()
    return result


def _none(concepts: int, reason: list[str]) -> SingleClassifiers:
    def empty() -> Tensor:
        return torch.full((concepts,), torch.nan, dtype=torch.float64)

    return SingleClassifiers(torch.full((concepts,), NO_FILTER), empty(), empty(), empty(), reason)


@dataclass(frozen=True)
class SingleFits:
    """A logistic regression for every concept on every filter by itself.

    Args:
        slope: a of each.
        bias: b of each.
        loss: Mean of the mean losses of the classes, with the ridge.
        accuracy: Mean of the accuracies of the classes, exact.
    """

    slope: Float[Tensor, "C K"]
    bias: Float[Tensor, "C K"]
    loss: Float[Tensor, "C K"]
    accuracy: Float64[Tensor, "C K"]


def fit_single(
    standard: Float[Tensor, "K N"],
    positive: Bool[Tensor, "C N"],
    negative: Bool[Tensor, "C N"] | None = None,
) -> SingleFits:
    r"""Fit sigmoid(a x + b) for every concept and filter, the classes weighing the same.

    .. math:: \min_{a,b} \tfrac12 \operatorname{mean}_{+} \log(1 + e^{-z})
        + \tfrac12 \operatorname{mean}_{-} \log(1 + e^{z}) + \tfrac\lambda2 a^2,
        \quad z = ax + b

    Newton's steps start from 0, where the curvature is largest; the ridge bounds the slope where a
    filter separates the classes. A fit that diverged all the same would not be accurate, so it
    would not be chosen.

    Args:
        standard: Activations by filter, each of mean 0 and standard deviation 1.
        positive: Images that carry each concept, some but not all.
        negative: Images that lack it, at least one; all others if None.
    """
    negative = ~positive if negative is None else negative
    shares = (of / of.sum(1, keepdim=True) for of in (positive, negative))
    heads, tails = (share.to(standard.dtype)[:, :, None] / 2 for share in shares)
    a, b = standard.new_zeros(2, len(positive), len(standard))
    for _ in range(_STEPS):
        step_a, step_b = _newton(standard, heads, tails, a, b)
        a, b = a + step_a, b + step_b
        if max(step_a.abs().max(), step_b.abs().max()) < _SMALL:
            break
    z = torch.addcmul(b[:, :, None], a[:, :, None], standard)
    losses = nn.functional.softplus(-z) @ heads + nn.functional.softplus(z) @ tails
    loss = losses[:, :, 0] + RIDGE / 2 * a**2
    return SingleFits(a, b, loss, _class_accuracy(z, positive, negative))


def _newton(
    x: Float[Tensor, "K N"],
    heads: Float[Tensor, "C N 1"],
    tails: Float[Tensor, "C N 1"],
    a: Float[Tensor, "C K"],
    b: Float[Tensor, "C K"],
) -> tuple[Float[Tensor, "C K"], Float[Tensor, "C K"]]:
    """Return Newton's step from (a, b); heads and tails sum to 1/2."""
    weight = heads + tails
    p = torch.addcmul(b[:, :, None], a[:, :, None], x).sigmoid_()
    slope_b = (p @ weight)[:, :, 0] - 0.5
    slope_a = ((p * x) @ weight)[:, :, 0] - heads[:, :, 0] @ x.T + RIDGE * a
    curve = torch.addcmul(p, p, p, value=-1)
    curve_b = (curve @ weight)[:, :, 0] + RIDGE**2  # keeps the system solvable when all saturate
    mixed = (curve.mul_(x) @ weight)[:, :, 0]
    curve_a = (curve.mul_(x) @ weight)[:, :, 0] + RIDGE
    det = curve_a * curve_b - mixed**2
    step_a = (mixed * slope_b - curve_b * slope_a) / det
    step_b = (mixed * slope_a - curve_a * slope_b) / det
    return step_a, step_b


def _class_accuracy(
    z: Float[Tensor, "C K N"], positive: Bool[Tensor, "C N"], negative: Bool[Tensor, "C N"]
) -> Float64[Tensor, "C K"]:
    classes = ((z > 0, positive), (z < 0, negative))
    # Counts are exact in single precision up to 16 million images.
    shares = [
        (right.to(z.dtype) @ of.to(z.dtype)[:, :, None])[:, :, 0].double() / of.sum(1, keepdim=True)
        for right, of in classes
    ]
    return (shares[0] + shares[1]) / 2
