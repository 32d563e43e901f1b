"""The fit's computations on dense maps, in PyTorch, so that autograd can differentiate them."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def loss(name: str, logits: Tensor, masks: Tensor, alpha: Tensor) -> Tensor:
    """Return the loss of each pair, (P, sh, sw) to (P,), as the formula of its name says."""
    on = logits.sigmoid() if name == "agreement" else logsigmoid(logits)
    off = 1 - on if name == "agreement" else logsigmoid(-logits)
    side = alpha[:, None, None]
    return -torch.where(masks, side * on, (1 - side) * off).sum((1, 2))


def pair_logits(bits: Tensor, image: Tensor, weights: Tensor) -> Tensor:
    """Return logits (P, h, w) of pairs with their own weights (P, K), for bits (N, K, h, w)."""
    return torch.einsum("pkhw,pk->phw", bits[image].to(weights.dtype), weights)
