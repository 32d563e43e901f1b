"""The bank: one embedding per concept over the filters of a layer, as a 1x1 convolution."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn


def initial_rows(numbers: Iterable[int], num_filters: int, seed: int) -> Float[Tensor, "C K"]:
    r"""Draw initial weights from :math:`U(-1/\sqrt K, 1/\sqrt K)`.

    A row depends on the seed and its concept's number alone, so a concept starts from the same
    vector whichever others are trained beside it.

    Args:
        numbers: Label number of each concept.
        num_filters: K.
        seed: Seed of the run.
    """
    bound = num_filters**-0.5
    rows = [np.random.default_rng([seed, n]).uniform(-bound, bound, num_filters) for n in numbers]
    return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, num_filters))


class ConceptBank(nn.Module):
    """Score concepts at every position by a 1x1 convolution; row c of ``weight`` is embedding c.

    Args:
        weight: Initial embeddings; see :func:`initial_rows`.
        bias: Whether each concept has a bias, which starts at 0. The paper has none.
    """

    def __init__(self, weight: Float[Tensor, "C K"], *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.zeros(len(weight))) if bias else None

    def forward(self, activation: Float[Tensor, "N K h w"]) -> Float[Tensor, "N C h w"]:
        """Return concept logits on the activation grid."""
        return nn.functional.conv2d(activation, self.weight[:, :, None, None], self.bias)
