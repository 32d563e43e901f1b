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
