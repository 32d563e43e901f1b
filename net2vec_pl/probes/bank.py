"""The bank: one embedding per concept over the filters of a layer, as a 1x1 convolution."""

from collections.abc import Iterable
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


def initial_rows(
    numbers: Iterable[int], num_filters: int, seed: int, layer: str = ""
) -> Float[Tensor, "C K"]:
    r"""Draw initial weights from :math:`U(-1/\sqrt K, 1/\sqrt K)`.

    A row depends on the seed, the layer and its concept's number alone, so a concept starts from
    the same vector whichever others are trained beside it, and from another one at another layer:
    else the embeddings of two layers would be alike because they began alike.

    Args:
        numbers: Label number of each concept.
        num_filters: K.
        seed: Seed of the run.
        layer: Module path of the layer.
    """
    bound, key = num_filters**-0.5, crc32(layer.encode())
    draws = (np.random.default_rng([seed, n, key]) for n in numbers)
    rows = [draw.uniform(-bound, bound, num_filters) for draw in draws]
    return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, num_filters))


class ConceptBank(nn.Module):
    """Score concepts at every position by a 1x1 convolution; row c of ``weight`` is embedding c.

    Args:
        weight: Initial embeddings; see :func:`initial_rows`.
        bias: Whether each concept has a bias, which starts at 0. The paper has none.
        kept: Filters each row may use; all if None. The other weights stay 0.
        shrink: By how much the size of every weight of a row falls at each step, ending at 0: the
            proximal step of an L1 penalty; none if None.
    """

    def __init__(
        self,
        weight: Float[Tensor, "C K"],
        *,
        bias: bool = False,
        kept: Bool[Tensor, "C K"] | None = None,
        shrink: Float[Tensor, "C"] | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone() if kept is None else weight * kept)
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("shrink", shrink, persistent=False)
        self.kept: Tensor | None
        self.shrink: Tensor | None

    @torch.no_grad()
    def constrain(self, rows: Int64[Tensor, "n"]) -> None:
        """Bring rows that have stepped, by their numbers, back to where they may be."""
        if self.kept is not None:
            self.weight[rows] *= self.kept[rows]
        if self.shrink is not None:
            some = self.weight[rows]
            smaller = (some.abs() - self.shrink[rows, None]).clamp(min=0)
            self.weight[rows] = smaller * some.sign()

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N C h w"]:
        """Return concept logits on the activation grid."""
        return nn.functional.conv2d(activation, self.weight[:, :, None, None], self.bias)
