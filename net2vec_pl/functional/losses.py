"""Losses of one pair (an image and a concept it contains), with their gradients.

Both losses sum over pixels, and a mean over images follows; learning rates are tied to that
reduction. The gradient with respect to the upsampled logits comes along because it costs one more
product, and because the fit accumulates it pair by pair without keeping an autograd graph of
full-size maps. As PyTorch's trailing underscore says, the logits are overwritten, with the
gradient: on a CPU fresh memory for every chunk costs more than the arithmetic.

A mask L and a weight alpha enter as one map, c = (1 - alpha) - L: its size is a pixel's weight, and
it is below 0 inside the mask. Banks that weigh pixels alike share it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

Descend = Callable[
    [
        Float[Tensor, "P sh sw"],
        Float[Tensor, "P sh sw"],
        Float[Tensor, "P sh sw"],
        bool,
    ],
    Float[Tensor, "P"] | None,
]


@dataclass(frozen=True)
class PairLoss:
    """A loss and its gradient.

    Args:
        descend_: Takes logits, c, room to work in, and whether the value is wanted; overwrites the
            logits with the gradient, and returns what of the loss depends on them.
        rest: Takes alpha and the pixels outside the mask; returns what does not.
    """

    descend_: Descend
    rest: Callable[[Float[Tensor, "P"], Float[Tensor, "P"]], Float[Tensor, "P"]]

    def __call__(
        self,
        logits: Float[Tensor, "P sh sw"],
        mask: Float[Tensor, "P sh sw"],
        alpha: Float[Tensor, "P"],
        scratch: Float[Tensor, "P sh sw"],
    ) -> Float[Tensor, "P"]:
        """Return the loss of each pair.

        Args:
            logits: Upsampled logits z; overwritten with the gradient with respect to them.
            mask: Ground truth L, 0 or 1.
            alpha: Weight of the positive pixels in [0, 1], one per pair.
            scratch: Room to work in; overwritten.

        Example:
            >>> zero = torch.zeros(1, 2, 2)
            >>> AGREEMENT(zero, torch.ones(1, 2, 2), torch.tensor([0.5]), torch.empty(1, 2, 2))
            tensor([-1.])
        """
        varying = self.descend_(logits, signed_weights(mask, alpha), scratch, True)
        assert varying is not None
        return varying + self.rest(alpha, (1 - mask).flatten(1).sum(1))


def signed_weights(
    mask: Float[Tensor, "P sh sw"],
    alpha: Float[Tensor, "P"],
    out: Float[Tensor, "P sh sw"] | None = None,
) -> Float[Tensor, "P sh sw"]:
    """Return c = (1 - alpha) - L."""
    weights: Tensor = torch.sub((1 - alpha)[:, None, None], mask, out=out)
    return weights


def agreement_(
    logits: Float[Tensor, "P sh sw"],
    signed: Float[Tensor, "P sh sw"],
    scratch: Float[Tensor, "P sh sw"],
    wanted: bool,
) -> Float[Tensor, "P"] | None:
    r"""Weigh the expected number of correct pixels: the paper's loss, which has no logarithm.

    .. math:: -\sum_{pixels} \alpha L M + (1 - \alpha)(1 - L)(1 - M), \qquad M = \sigma(z)

    Which is the sum of c M, less (1 - alpha)(1 - L). The paper calls it a binary cross entropy; as
    printed and as coded it is bounded and not convex. Source: Net2Vec, equation 4.
    """
    torch.mul(signed, logits.sigmoid_(), out=scratch)
    torch.addcmul(scratch, scratch, logits, value=-1, out=logits)  # times 1 - M: the derivative
    return scratch.flatten(1).sum(1) if wanted else None


def balanced_bce_(
    logits: Float[Tensor, "P sh sw"],
    signed: Float[Tensor, "P sh sw"],
    scratch: Float[Tensor, "P sh sw"],
    wanted: bool,
) -> Float[Tensor, "P"] | None:
    r"""Weigh a true binary cross entropy by concept size; weights as in :func:`agreement_`.

    .. math:: -\sum_{pixels} \alpha L \log M + (1 - \alpha)(1 - L) \log (1 - M)

    With the sign s of c, each pixel's loss is the softplus of s z, times its weight.
    """
    logits.mul_(torch.sign(signed, out=scratch))
    loss = softplus(logits).mul_(signed.abs()).flatten(1).sum(1) if wanted else None
    logits.sigmoid_().mul_(signed)
    return loss


AGREEMENT = PairLoss(agreement_, lambda alpha, outside: -(1 - alpha) * outside)
BALANCED_BCE = PairLoss(balanced_bce_, lambda alpha, outside: torch.zeros_like(alpha))
LOSSES: dict[str, PairLoss] = {"agreement": AGREEMENT, "bce": BALANCED_BCE}
