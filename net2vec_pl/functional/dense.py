"""Score concepts on raw activations: what :mod:`net2vec_pl.functional.fired` does on bits."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.functional.sums import tally


class DensePairScores:
    """Logits of the pairs of a batch on raw activations, and the way back to the bank.

    Args:
        activation: The answers of N images, scaled as the bank wants them.
        image: The image of each pair, rising.
        concept: The concept of each pair.
    """

    def __init__(
        self,
        activation: Float[Tensor, "N K h w"],
        image: Int64[Tensor, "P"],
        concept: Int64[Tensor, "P"],
    ) -> None:
        n = len(activation)
        self._flat = activation.flatten(2)
        self._grid = activation.shape[2:]
        sizes = tally(image, n)
        self._width = int(sizes.max()) if len(image) else 0
        place = torch.arange(len(image), device=image.device) - (sizes.cumsum(0) - sizes)[image]
        self._pair = image * self._width + place
        self._concept = torch.zeros(n * self._width, dtype=torch.int64, device=image.device)
        self._concept[self._pair] = concept

    def logits(self, weight: Float[Tensor, "C K"]) -> Float[Tensor, "P h w"]:
        """Return each pair's sum of its concept's weights times the activations."""
        if not len(self._pair):
            return weight.new_zeros(0, *self._grid)
        table = weight[self._concept].view(len(self._flat), self._width, -1)
        return (table @ self._flat).view(-1, *self._grid)[self._pair]

    def weight_gradients(self, gradient: Float[Tensor, "P h w"]) -> Float[Tensor, "P K"]:
        """Return the gradient of each pair's weights, given that of its logits."""
        n, k = self._flat.shape[:2]
        if not len(self._pair):
            return gradient.new_zeros(0, k)
        table = gradient.new_zeros(n * self._width, self._flat.shape[2])
        table[self._pair] = gradient.flatten(1)
        sums = table.view(n, self._width, -1) @ self._flat.transpose(1, 2)
        return sums.view(n * self._width, k)[self._pair]
