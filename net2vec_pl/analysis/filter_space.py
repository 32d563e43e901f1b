"""The space in which a layer is changed: filters over their spread, so that none weighs more."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from net2vec_pl.functional.inputs import inverse_scale

Change = Callable[[Float[Tensor, "N K h w"]], Float[Tensor, "N K h w"]]


@dataclass(frozen=True)
class FilterSpace:
    """Activations as z = x / spread.

    Args:
        spread: Standard deviation of each filter; one that never varies (0) has no part in it.
    """

    spread: Float64[Tensor, "K"]

    @property
    def inverse(self) -> Float64[Tensor, "K"]:
        """What activations are multiplied with."""
        return inverse_scale(self.spread)

    def of(self, x: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
        """Return the z of activations."""
        return x * self.inverse.to(x)[:, None, None]

    def changed(self, change: Change) -> Change:
        """Return what does to activations what ``change`` does to z.

        Args:
            change: Returns new z, (N, K, h, w).

        Example:
            >>> twice = FilterSpace(torch.tensor([2.0, 0.0]).double()).changed(lambda z: z + 1)
            >>> twice(torch.zeros(1, 2, 1, 1)).flatten().tolist()
            [2.0, 0.0]
        """

        def of_activations(x: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
            z = self.of(x)
            return x + (change(z) - z) * self.spread.to(x)[:, None, None]

        return of_activations

    def unit(self, rows: Float64[Tensor, "*B K"]) -> Float64[Tensor, "*B K"]:
        """Bring directions of z to length 1, without filters that never vary; 0 stays 0."""
        live = torch.where(self.spread > 0, rows.nan_to_num(0.0), 0.0)
        length = live.norm(dim=-1, keepdim=True)
        return live / torch.where(length > 0, length, 1.0)

    def random(self, number: int, seed: int) -> Float64[Tensor, "R K"]:
        """Draw unit directions of z, uniformly."""
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randn(number, len(self.spread), generator=generator, dtype=torch.float64)
        return self.unit(draws.to(self.spread.device))


def centred_quarter(size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Return the middle half of a grid's height and width.

    Example:
        >>> centred_quarter((4, 4)).sum(1).tolist()
        [0, 2, 2, 0]
    """
    rows, columns = ((torch.arange(n) + 0.5 - n / 2).abs() <= n / 4 for n in size)
    return rows[:, None] & columns
