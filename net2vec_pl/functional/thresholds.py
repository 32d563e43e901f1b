"""The threshold at which a concept's set IoU is largest, from histograms of its scores."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from net2vec_pl.functional.average_precision import bin_floors
from net2vec_pl.functional.iou import set_iou


def best_threshold(
    positives: Int64[Tensor, "*C bins"], negatives: Int64[Tensor, "*C bins"]
) -> tuple[Float64[Tensor, "*C"], Float64[Tensor, "*C"]]:
    r"""Return the threshold of largest set IoU, and that set IoU.

    With :math:`P` pixels of the concept, and :math:`p` and :math:`n` pixels inside and outside of
    it above a threshold, it is :math:`p / (P + n)`. Where no score lies between the best threshold
    and the next lower one, the threshold is half way between.

    Args:
        positives: Pixels of the concept per bin of :func:`~net2vec_pl.functional.logit_bins`.
        negatives: All other pixels per bin.

    Returns:
        A threshold per concept, and set IoU of what is above it; 0 and NaN where the concept has no
        pixel.

    Example:
        >>> from net2vec_pl.functional import logit_bins
        >>> one, four = torch.eye(1025).long()[logit_bins(torch.tensor([1.0, 4.0]))]
        >>> best_threshold(5 * four, 3 * one)
        (tensor(2.5156, dtype=torch.float64), tensor(1., dtype=torch.float64))
    """
    above = positives.flip(-1).cumsum(-1).flip(-1)
    wrong = negatives.flip(-1).cumsum(-1).flip(-1)
    total = positives.sum(-1, keepdim=True)
    score = set_iou(above, total + wrong).nan_to_num(-1.0)
    highest = score.flip(-1).argmax(-1, keepdim=True)
    chosen = score.shape[-1] - 1 - highest
    # From here up to the chosen bin there is no pixel. An equal score would not say so: pixels
    # inside and outside of the concept can come in the proportion that leaves it as it is.
    pixels = above + wrong
    below = (pixels > pixels.gather(-1, chosen)).sum(-1, keepdim=True)
    lowest = torch.where(below > 0, below, chosen)
    floors = bin_floors().to(score.device)
    floor = (floors[chosen] + floors[lowest]).squeeze(-1) / 2
    found = score.gather(-1, chosen).squeeze(-1)
    empty = total.squeeze(-1) == 0
    return floor.masked_fill(empty, 0.0), found.masked_fill(empty, torch.nan)
