"""Take a direction out of a layer, or put one in.

Activations are those of filters over their spread, so that no filter weighs more because its values
are larger. All changes are of rank one: they touch one direction and leave the rest.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Erasure:
    r"""Replaces x by :math:`x - w\,r^\top(x - \mu)`, at every position.

    Args:
        read: r, what is measured. NaN or 0 changes nothing.
        write: w, what is taken out, with :math:`r^\top w = 1`.
        centre: :math:`\mu`, to which x is brought along the direction.
    """

    read: Float64[Tensor, "K"]
    write: Float64[Tensor, "K"]
    centre: Float64[Tensor, "K"]

    def __call__(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
        """Return what is left of activations, in their own precision."""
        write = self.write.to(activation)
        return activation - self._level(activation)[:, None] * write[:, None, None]

    def size(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N"]:
        """Return how much is taken out of each image: the length of the change."""
        level: Tensor = torch.linalg.vector_norm(self._level(activation), dim=(1, 2))
        length: Tensor = self.write.norm()
        return level * length.to(level)

    def _level(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N h w"]:
        read = self.read.to(activation)
        level: Tensor = torch.einsum("nkhw,k->nhw", activation, read)
        return level - (self.read @ self.centre).to(read)


def projection(direction: Float64[Tensor, "K"], centre: Float64[Tensor, "K"]) -> Erasure:
    """Return what brings activations to their mean along a direction, at right angles to the rest.

    Args:
        direction: Of any length; 0 changes nothing.
        centre: The mean of the activations.

    Example:
        >>> off = projection(torch.tensor([2.0, 0.0]).double(), torch.tensor([1.0, 1.0]).double())
        >>> off(torch.tensor([5.0, 7.0]).double()[None, :, None, None]).flatten().tolist()
        [1.0, 7.0]
    """
    square = (direction @ direction).clamp(min=torch.finfo(direction.dtype).tiny)
    return Erasure(direction / square, direction, centre)


def leace(
    cross: Float64[Tensor, "K"], covariance: Float64[Tensor, "K K"], centre: Float64[Tensor, "K"]
) -> Erasure:
    r"""Return the least change after which no linear probe finds the concept.

    LEACE for one concept: :math:`x - c\,c^\top\Sigma^{+}(x - \mu)\,/\,c^\top\Sigma^{+}c`, where c
    is the covariance of x with the concept. Belrose et al., *LEACE: Perfect linear concept erasure
    in closed form*, 2023, theorem 4.3.

    Args:
        cross: Covariance of x with the concept's share of a position.
        covariance: Covariance of x over the same positions; may be singular.
        centre: Mean of x over the same positions.
    """
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    inverse = torch.where(kept, 1 / values, 0.0)
    read = vectors @ (inverse * (vectors.T @ cross))
    level = (read @ cross).clamp(min=torch.finfo(read.dtype).tiny)
    return Erasure(read / level, cross, centre)


def steered(
    activation: Float[Tensor, "N K h w"], step: Float64[Tensor, "K"], region: Bool[Tensor, "h w"]
) -> Float[Tensor, "N K h w"]:
    """Return activations with a step added inside a region.

    Args:
        activation: Those of the layer.
        step: What is added.
        region: Where.
    """
    return activation + step.to(activation)[:, None, None] * region.to(activation)
