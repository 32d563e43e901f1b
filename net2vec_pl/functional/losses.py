"""Losses of one pair (an image and a concept it contains), with their gradients.

Both losses sum over pixels, and a mean over images follows; learning rates are tied to that
reduction. The gradient with respect to the upsampled logits comes along because it costs one more
product, and because the fit accumulates it pair by pair without keeping an autograd graph of
full-size maps. As PyTorch's trailing underscore says, the logits are overwritten, with the
gradient: on a CPU fresh memory for every chunk costs more than the arithmetic. Masks come as 0 and
1 in the logits' own type, since the rows of several banks are held against the same ones.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

PairLoss = Callable[
    [
        Float[Tensor, "P sh sw"],
        Float[Tensor, "P sh sw"],
        Float[Tensor, "P"],
        Float[Tensor, "P sh sw"],
    ],
    Float[Tensor, "P"],
]


def agreement_(
    logits: Float[Tensor, "P sh sw"],
    mask: Float[Tensor, "P sh sw"],
    alpha: Float[Tensor, "P"],
    scratch: Float[Tensor, "P sh sw"],
) -> Float[Tensor, "P"]:
    r"""Weigh the expected number of correct pixels: the paper's loss, which has no logarithm.

    .. math:: -\sum_{pixels} \alpha L M + (1 - \alpha)(1 - L)(1 - M), \qquad M = \sigma(z)

    The paper calls it a binary cross entropy; as printed and as coded it is bounded and not convex.
    Source: Net2Vec, equation 4.

    Args:
        logits: Upsampled logits z; overwritten with the gradient with respect to them.
        mask: Ground truth L, 0 or 1.
        alpha: Weight of the positive pixels in [0, 1], one per pair.
        scratch: Room to work in; overwritten.

    Returns:
        The loss of each pair, zero or less.

    Example:
        >>> import torch
        >>> zero = torch.zeros(1, 2, 2)
        >>> agreement_(zero, torch.ones(1, 2, 2), torch.tensor([0.5]), torch.empty(1, 2, 2))
        tensor([-1.])
    """
    # -aLM - (1-a)(1-L)(1-M) = ((1-a) - L) M - (1-a)(1-L), where the last term is without z.
    negative = 1 - alpha
    constant = negative * (mask.shape[1] * mask.shape[2] - mask.flatten(1).sum(1))
    torch.sub(negative[:, None, None], mask, out=scratch)
    scratch.mul_(logits.sigmoid_())
    torch.addcmul(scratch, scratch, logits, value=-1, out=logits)  # times 1 - M: the derivative
    loss: Tensor = scratch.flatten(1).sum(1) - constant
    return loss


def balanced_bce_(
    logits: Float[Tensor, "P sh sw"],
    mask: Float[Tensor, "P sh sw"],
    alpha: Float[Tensor, "P"],
    scratch: Float[Tensor, "P sh sw"],
) -> Float[Tensor, "P"]:
    r"""Weigh a true binary cross entropy by concept size; weights as in :func:`agreement_`.

    .. math:: -\sum_{pixels} \alpha L \log M + (1 - \alpha)(1 - L) \log (1 - M)

    Args:
        logits: Upsampled logits z; overwritten with the gradient with respect to them.
        mask: Ground truth L, 0 or 1.
        alpha: Weight of the positive pixels in [0, 1], one per pair.
        scratch: Room to work in; overwritten.

    Returns:
        The loss of each pair, zero or more.
    """
    torch.addcmul(logits, logits, mask, value=-2, out=logits)  # above 0 where a pixel is wrong
    torch.sub((1 - alpha)[:, None, None], mask, out=scratch)  # weight, below 0 inside the mask
    losses = softplus(logits).mul_(scratch.abs())
    logits.sigmoid_().mul_(scratch)
    loss: Tensor = losses.flatten(1).sum(1)
    return loss


LOSSES: dict[str, PairLoss] = {"agreement": agreement_, "bce": balanced_bce_}
