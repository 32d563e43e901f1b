"""Losses of one pair (an image and a concept it contains), with their gradients.

Both losses sum over pixels, and a mean over images follows; learning rates are tied to that
reduction. The gradient with respect to the upsampled logits comes along because it costs one more
product, and because the fit accumulates it pair by pair without keeping an autograd graph of
full-size maps.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

PairLoss = Callable[
    [Float[Tensor, "P sh sw"], Bool[Tensor, "P sh sw"], Float[Tensor, "P"]],
    tuple[Float[Tensor, "P"], Float[Tensor, "P sh sw"]],
]


def agreement(
    logits: Float[Tensor, "P sh sw"], mask: Bool[Tensor, "P sh sw"], alpha: Float[Tensor, "P"]
) -> tuple[Float[Tensor, "P"], Float[Tensor, "P sh sw"]]:
    r"""Weigh the expected number of correct pixels: the paper's loss, which has no logarithm.

    .. math:: -\sum_{pixels} \alpha L M + (1 - \alpha)(1 - L)(1 - M), \qquad M = \sigma(z)

    The paper calls it a binary cross entropy; as printed and as coded it is bounded and not convex.
    Source: Net2Vec, equation 4.

    Args:
        logits: Upsampled logits z.
        mask: Ground truth L.
        alpha: Weight of the positive pixels in [0, 1], one per pair.

    Returns:
        The loss of each pair, zero or less, and its gradient with respect to the logits.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 2, 2).bool()
        >>> loss, _ = agreement(torch.zeros(1, 2, 2), mask, torch.tensor([0.5]))
        >>> loss  # half of 4 pixels at weight 0.5
        tensor([-1.])
    """
    positive = torch.sigmoid(logits)
    # Per pixel: the weight, signed by the side the pixel should be on.
    side = torch.where(mask, alpha[:, None, None], alpha[:, None, None] - 1)
    # -aLM - (1-a)(1-L)(1-M) = -(side * M) - (1-a)(1-L): the last term does not depend on the
    # logits.
    constant = (1 - alpha) * (mask.shape[1] * mask.shape[2] - mask.sum((1, 2)))
    gained = side * positive
    return -gained.sum((1, 2)) - constant, -gained * (1 - positive)


def balanced_bce(
    logits: Float[Tensor, "P sh sw"], mask: Bool[Tensor, "P sh sw"], alpha: Float[Tensor, "P"]
) -> tuple[Float[Tensor, "P"], Float[Tensor, "P sh sw"]]:
    r"""Weigh a true binary cross entropy by concept size; the same weights as :func:`agreement`.

    .. math:: -\sum_{pixels} \alpha L \log M + (1 - \alpha)(1 - L) \log (1 - M)

    Args:
        logits: Upsampled logits z.
        mask: Ground truth L.
        alpha: Weight of the positive pixels in [0, 1], one per pair.

    Returns:
        The loss of each pair, zero or more, and its gradient with respect to the logits.
    """
    side = torch.where(mask, alpha[:, None, None], alpha[:, None, None] - 1)
    toward = torch.where(mask, logits, -logits)
    weight = side.abs()
    return (weight * softplus(-toward)).sum((1, 2)), -side * torch.sigmoid(-toward)


LOSSES: dict[str, PairLoss] = {"agreement": agreement, "bce": balanced_bce}
