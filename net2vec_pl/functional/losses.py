"""Losses of one pair (an image and a concept it contains), with their gradients.

Both losses sum over pixels, and a mean over images follows; learning rates are tied to that
reduction. The gradient with respect to the upsampled logits comes along because it costs one more
product, and because the fit accumulates it pair by pair without keeping an autograd graph of
full-size maps. As PyTorch's trailing underscore says, the logits are overwritten, with the
gradient: on a CPU fresh memory for every chunk costs more than the arithmetic.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

PairLoss = Callable[
    [
        Float[Tensor, "P sh sw"],
        Bool[Tensor, "P sh sw"],
        Float[Tensor, "P"],
        Float[Tensor, "P sh sw"],
    ],
    Float[Tensor, "P"],
]


def agreement_(
    logits: Float[Tensor, "P sh sw"],
    mask: Bool[Tensor, "P sh sw"],
    alpha: Float[Tensor, "P"],
    scratch: Float[Tensor, "P sh sw"],
) -> Float[Tensor, "P"]:
    r"""Weigh the expected number of correct pixels: the paper's loss, which has no logarithm.

    .. math:: -\sum_{pixels} \alpha L M + (1 - \alpha)(1 - L)(1 - M), \qquad M = \sigma(z)

    The paper calls it a binary cross entropy; as printed and as coded it is bounded and not convex.
    Source: Net2Vec, equation 4.

    Args:
        logits: Upsampled logits z; overwritten with the gradient with respect to them.
        mask: Ground truth L.
        alpha: Weight of the positive pixels in [0, 1], one per pair.
        scratch: Room to work in; overwritten.

    Returns:
        The loss of each pair, zero or less.

    Example:
        >>> import torch
        >>> mask = torch.ones(1, 2, 2).bool()
        >>> agreement_(torch.zeros(1, 2, 2), mask, torch.tensor([0.5]), torch.empty(1, 2, 2))
        tensor([-1.])
    """
    # -aLM - (1-a)(1-L)(1-M) = ((1-a) - L) M - (1-a)(1-L), where the last term is without z.
    negative = 1 - alpha
    scratch.copy_(mask.view(torch.uint8))
    constant = negative * (mask.shape[1] * mask.shape[2] - scratch.sum((1, 2)))
    torch.sub(negative[:, None, None], scratch, out=scratch)
    scratch.mul_(logits.sigmoid_())
    torch.addcmul(scratch, scratch, logits, value=-1, out=logits)  # times 1 - M: the derivative
    loss: Tensor = scratch.sum((1, 2)) - constant
    return loss


def balanced_bce_(
    logits: Float[Tensor, "P sh sw"],
    mask: Bool[Tensor, "P sh sw"],
    alpha: Float[Tensor, "P"],
    scratch: Float[Tensor, "P sh sw"],
) -> Float[Tensor, "P"]:
    r"""Weigh a true binary cross entropy by concept size; weights as in :func:`agreement_`.

    .. math:: -\sum_{pixels} \alpha L \log M + (1 - \alpha)(1 - L) \log (1 - M)

    Args:
        logits: Upsampled logits z; overwritten with the gradient with respect to them.
        mask: Ground truth L.
        alpha: Weight of the positive pixels in [0, 1], one per pair.
        scratch: Room to work in; overwritten.

    Returns:
        The loss of each pair, zero or more.
    """
    scratch.copy_(mask.view(torch.uint8)).mul_(2).sub_(1)  # the sign a pixel's logit should have
    logits.mul_(scratch)
    weight = torch.where(mask, alpha[:, None, None], 1 - alpha[:, None, None])
    loss: Tensor = -torch.linalg.vecdot(weight.flatten(1), logsigmoid(logits).flatten(1))
    logits.neg_().sigmoid_().mul_(weight).mul_(scratch).neg_()
    return loss


LOSSES: dict[str, PairLoss] = {"agreement": agreement_, "bce": balanced_bce_}
