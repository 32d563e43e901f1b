"""What a layer answers on average: each filter over each image, and its spread over all of them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.functional.inputs import Transform

_ROUNDING = 1e-10


class PooledActivations:
    """Mean activation of every filter over each image, and the spread of a probe's inputs.

    Args:
        num_filters: K of each layer.
        num_rows: Rows of the dataset.
        spread_rows: The images over which the spread is taken.
        transform: What a probe makes of activations before it combines them.

    Attributes:
        mean: By layer, the mean of each filter over each image, (N, K), on the host; NaN where an
            image was never seen.
    """

    def __init__(
        self,
        num_filters: Sequence[int],
        num_rows: int,
        spread_rows: npt.NDArray[np.int64],
        transform: Transform,
    ) -> None:
        self.mean = [torch.full((num_rows, k), torch.nan) for k in num_filters]
        self._transform = transform
        self._counts = torch.zeros(num_rows, dtype=torch.bool)
        self._counts[torch.from_numpy(spread_rows)] = True
        self._moments = [torch.zeros(3, k, dtype=torch.float64) for k in num_filters]

    def see(
        self, layer: int, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]
    ) -> None:
        """Take in the activations of a batch; an image may come twice."""
        rows = row.cpu()
        fresh = self._counts[rows] & self.mean[layer][rows].isnan().any(1)
        self.mean[layer][rows] = activation.mean((2, 3)).cpu()
        values = self._transform(activation[fresh.to(activation.device)]).double()
        average, square = values.mean((2, 3)), values.square().mean((2, 3))
        seen = torch.ones_like(average)
        self._moments[layer] += torch.stack([seen, average, square]).sum(1).cpu()

    def unseen(self, rows: npt.NDArray[np.int64], device: torch.device) -> npt.NDArray[np.int64]:
        """Return the rows that no process has seen.

        Args:
            rows: The rows in question.
            device: Where processes exchange tensors.
        """
        seen = self.mean[-1].isfinite().any(1).long().to(device)
        times = processes.sum_over(seen).cpu().numpy()
        missing: npt.NDArray[np.int64] = rows[times[rows] == 0]
        return missing

    def share(self, device: torch.device) -> None:
        """Put together what all processes have seen; each image must have gone to one of them.

        Args:
            device: Where processes exchange tensors.
        """
        if processes.count() == 1:
            return
        for values in self.mean:
            seen = values.isfinite().any(1)
            times = processes.sum_over(seen.long().to(device)).cpu()
            values[~seen] = 0
            total = processes.sum_over(values.to(device)).cpu()
            values.copy_(total / times[:, None])  # 0 / 0 where nobody has been
        for moments in self._moments:
            moments.copy_(processes.sum_over(moments.to(device)).cpu())

    def spread(self, layer: int) -> Float[Tensor, "K"]:
        """Return the standard deviation of each of a probe's inputs, over all positions.

        It is 0 where it is below a 100,000th of the mean: that much is rounding.
        """
        count, total, squares = self._moments[layer]
        mean_square = (total / count).square()
        variance = squares / count - mean_square
        spread: Tensor = variance.masked_fill(variance < _ROUNDING * mean_square, 0).sqrt().float()
        return spread
