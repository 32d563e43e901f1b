"""What a probe combines: activations, as they are or as their roots."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Transform = Callable[[Float[Tensor, "N K h w"]], Float[Tensor, "N K h w"]]


def as_they_are(activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
    """Return activations."""
    return activation


def signed_root(activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
    """Take square roots and keep signs, so that large responses count for less.

    Known as power normalisation: Perronnin, Sanchez & Mensink, ECCV 2010.

    Example:
        >>> import torch
        >>> signed_root(torch.tensor([[[[4.0, -9.0]]]])).tolist()
        [[[[2.0, -3.0]]]]
    """
    root: Tensor = activation.abs().sqrt() * activation.sign()  # ONNX has no copysign
    return root


def inverse_scale(scale: Float[Tensor, "K"]) -> Float[Tensor, "K"]:
    """Return what filters are multiplied with; 0 for one that never varies, for it says nothing."""
    return torch.where(scale > 0, 1 / scale, 0)


INPUTS: dict[str, Transform] = {"raw": as_they_are, "root": signed_root}
