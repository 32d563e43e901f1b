"""Bring what a layer gives to activation maps (N, K, h, w): one function per layout."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Layout = Callable[[Tensor], Tensor]


def maps(output: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
    """Return activation maps as they are, as convolutions give them."""
    return output


def channels_last(output: Float[Tensor, "N h w K"]) -> Float[Tensor, "N K h w"]:
    """Return maps whose filters come last, as in Swin transformers."""
    return output.permute(0, 3, 1, 2)


def vector(output: Float[Tensor, "N K"]) -> Float[Tensor, "N K 1 1"]:
    """Return vectors, of a fully connected layer, as maps of one cell."""
    return output[:, :, None, None]


def class_token(output: Float[Tensor, "N T K"]) -> Float[Tensor, "N K 1 1"]:
    """Return the first token, which stands for the whole image, as a map of one cell."""
    return output[:, 0, :, None, None]


@dataclass(frozen=True)
class Tokens:
    """Patches of the image row by row, behind tokens that have no place in it.

    Args:
        prefix: Number of the latter: class and distillation tokens, registers.
        grid: (h, w) of the patches.
    """

    prefix: int
    grid: tuple[int, int]

    def __call__(self, output: Float[Tensor, "N T K"]) -> Float[Tensor, "N K h w"]:
        """Return the patches as maps, without the prefix."""
        patches = output[:, self.prefix :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *self.grid)


def put_back(layout: Layout, output: Tensor, activation: Float[Tensor, "N K h w"]) -> Tensor:
    """Return an output that holds other activation maps; tokens without a place in it stay.

    Args:
        layout: How the output is laid out.
        output: What the layer gave.
        activation: What ``layout`` is to return of the new output.

    Example:
        >>> put_back(vector, torch.zeros(1, 2), torch.ones(1, 2, 1, 1)).tolist()
        [[1.0, 1.0]]
    """
    if isinstance(layout, Tokens):
        return torch.cat([output[:, : layout.prefix], activation.flatten(2).transpose(1, 2)], 1)
    if layout is class_token:
        return torch.cat([activation[:, None, :, 0, 0], output[:, 1:]], 1)
    if layout is channels_last:
        return activation.permute(0, 2, 3, 1)
    return activation[:, :, 0, 0] if layout is vector else activation


def laid_out_shape(layout: Layout, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (K, h, w) of an output.

    Args:
        layout: How to lay it out.
        shape: Its shape for one image, without the batch.

    Example:
        >>> laid_out_shape(Tokens(prefix=1, grid=(2, 3)), (7, 384))
        (384, 2, 3)
    """
    return tuple(layout(torch.empty(1, *shape, device="meta")).shape[1:])
