"""Score concepts on the few filters that fire, instead of on all of them.

A thresholded layer answers with ones in some 0.5 % of its places, so the product of a bank with it
is a short sum at every position. Both sums below, over the filters that fire at a position and over
the positions at which a filter fires, run in a fixed order on every device: results are
reproducible, which a scatter with atomics is not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl.functional.sums import bag_sums, starts, tally


@dataclass(frozen=True)
class Fired:
    """Where the bits of a batch are set.

    Args:
        places: Flat indices into (N, K, h, w), rising.
        shape: (N, K, h, w).
    """

    places: Int64[Tensor, "n"]
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, bits: Bool[Tensor, "N K h w"]) -> "Fired":
        """Find the bits that are set."""
        n, k, h, w = bits.shape
        return cls(bits.flatten().nonzero().flatten(), (n, k, h, w))

    def dense(self) -> Bool[Tensor, "N K h w"]:
        """Return the bits themselves."""
        n, k, h, w = self.shape
        bits = torch.zeros(n * k * h * w, dtype=torch.bool, device=self.places.device)
        bits[self.places] = True
        return bits.view(self.shape)


class PairScores:
    """Logits of the pairs of a batch, and the way back from their gradients to the bank.

    Pairs are laid out as a table of N images by Q pairs, Q being the most that one image has.

    Args:
        fired: The bits of the batch.
        image: The image of each pair, rising.
        concept: The concept of each pair.
    """

    def __init__(
        self, fired: Fired, image: Int64[Tensor, "P"], concept: Int64[Tensor, "P"]
    ) -> None:
        n, k, h, w = fired.shape
        device = fired.places.device
        self.shape = fired.shape
        sizes = tally(image, n)
        self._width = int(sizes.max()) if len(image) else 0
        first = sizes.cumsum(0) - sizes
        self._image = image
        self._slot = torch.arange(len(image), device=device) - first[image]
        self._concept = torch.zeros(n, self._width, dtype=torch.int64, device=device)
        self._concept[image, self._slot] = concept
        filter_ = fired.places // (h * w)  # of all N * K
        position = fired.places - filter_ * (h * w)
        self._position = filter_ // k * (h * w) + position  # of all N * h * w
        bags, order = self._position.sort(stable=True)
        self._filter = filter_[order]
        self._at_position = starts(bags, n * h * w)
        self._at_filter = starts(filter_, n * k)

    def logits(self, weight: Float[Tensor, "C K"]) -> Float[Tensor, "P h w"]:
        """Return each pair's sum of its concept's weights over the filters that fire."""
        n, k, h, w = self.shape
        if not len(self._image):
            return weight.new_zeros(0, h, w)
        table = weight[self._concept].transpose(1, 2)
        sums = bag_sums(table.reshape(n * k, self._width), self._filter, self._at_position)
        return sums.view(n, h * w, self._width)[self._image, :, self._slot].view(-1, h, w)

    def weight_gradients(self, gradient: Float[Tensor, "P h w"]) -> Float[Tensor, "P K"]:
        """Return the gradient of each pair's weights, given that of its logits."""
        n, k, h, w = self.shape
        if not len(self._image):
            return gradient.new_zeros(0, k)
        table = gradient.new_zeros(n, h * w, self._width)
        table[self._image, :, self._slot] = gradient.flatten(1)
        sums = bag_sums(table.view(n * h * w, self._width), self._position, self._at_filter)
        return sums.view(n, k, self._width)[self._image, :, self._slot]
