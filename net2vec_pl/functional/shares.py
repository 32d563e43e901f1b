"""The share of each grid cell that a mask covers."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

SHARE_STEP = 2.0**-8  # shares are whole multiples of it, so that sums of them are exact


def area_matrix(size_in: int, size_out: int) -> Float64[Tensor, "out in"]:
    """Return the matrix that averages a line of samples down to fewer, by area.

    Args:
        size_in: Samples given.
        size_out: Samples wanted.

    Returns:
        Rows of non-negative weights that sum to 1.

    Example:
        >>> area_matrix(4, 2).tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    edge_in = torch.arange(size_in + 1, dtype=torch.float64) / size_in
    edge_out = torch.arange(size_out + 1, dtype=torch.float64) / size_out
    low = torch.maximum(edge_out[:-1, None], edge_in[None, :-1])
    high = torch.minimum(edge_out[1:, None], edge_in[None, 1:])
    overlap = (high - low).clamp(min=0)
    return overlap / overlap.sum(1, keepdim=True)


def cell_shares(masks: Bool[Tensor, "P sh sw"], grid: tuple[int, int]) -> Float64[Tensor, "P h w"]:
    """Average masks down to a grid, in whole multiples of :data:`SHARE_STEP`.

    Args:
        masks: Any number of masks.
        grid: (h, w).

    Example:
        >>> cell_shares(torch.eye(4)[None].bool(), (2, 2)).tolist()
        [[[0.5, 0.0], [0.0, 0.5]]]
    """
    rows, columns = (
        area_matrix(size_in, size_out).to(masks.device)
        for size_in, size_out in zip(masks.shape[1:], grid, strict=True)
    )
    shares = rows @ masks.double() @ columns.T
    return (shares / SHARE_STEP).round() * SHARE_STEP
