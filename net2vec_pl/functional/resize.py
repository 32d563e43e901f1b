"""Bilinear upsampling as two small matrix products.

The same numbers as ``torch.nn.functional.interpolate(mode="bilinear")``, whose backward is not
deterministic on CUDA; matrix products are, and they are faster on small maps.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def bilinear_matrix(size_in: int, size_out: int, *, align_corners: bool) -> Float[Tensor, "out in"]:
    """Return the matrix that resizes a line of ``size_in`` samples to ``size_out`` samples.

    Args:
        size_in: Samples given, at least 1.
        size_out: Samples wanted, at least 1.
        align_corners: Whether the first and the last samples of both lines coincide (the paper's
            code, on PyTorch 0.3, did this); otherwise pixel areas coincide and the border is
            repeated.

    Returns:
        Rows of non-negative weights that sum to 1, float32.

    Example:
        >>> bilinear_matrix(2, 3, align_corners=True)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000],
                [0.0000, 1.0000]])
    """
    line = torch.arange(size_out, dtype=torch.float64)
    if align_corners:
        at = line * ((size_in - 1) / (size_out - 1)) if size_out > 1 else line
    else:
        at = ((line + 0.5) * (size_in / size_out) - 0.5).clamp(0, size_in - 1)
    low = at.floor().clamp(max=size_in - 1).long()
    high = (low + 1).clamp(max=size_in - 1)
    share = at - low
    matrix = torch.zeros(size_out, size_in, dtype=torch.float64)
    matrix.scatter_add_(1, low[:, None], (1 - share)[:, None])
    matrix.scatter_add_(1, high[:, None], share[:, None])
    return matrix.float()


def upsample(
    maps: Float[Tensor, "*B h w"],
    rows: Float[Tensor, "sh h"],
    columns: Float[Tensor, "sw w"],
    *,
    wide: Float[Tensor, "*B h sw"] | None = None,
    out: Float[Tensor, "*B sh sw"] | None = None,
) -> Float[Tensor, "*B sh sw"]:
    """Resize maps by one matrix for their rows and one for their columns.

    Args:
        maps: Any number of maps.
        rows: :func:`bilinear_matrix` from h to sh.
        columns: :func:`bilinear_matrix` from w to sw.
        wide: Room for the maps that have been resized along one axis.
        out: Room for the result.
    """
    resized: Tensor = torch.matmul(rows, torch.matmul(maps, columns.T, out=wide), out=out)
    return resized


def enlarger(
    size_in: tuple[int, int],
    size_out: tuple[int, int],
    *,
    align_corners: bool,
    device: torch.device | str = "cpu",
) -> Callable[[Float[Tensor, "*B h w"]], Float[Tensor, "*B sh sw"]]:
    """Return what upsamples maps from one size to another.

    Args:
        size_in: (h, w).
        size_out: (sh, sw).
        align_corners: Whether bilinear upsampling aligns the corner samples.
        device: Where the maps live.
    """
    rows, columns = (
        bilinear_matrix(*pair, align_corners=align_corners).to(device)
        for pair in zip(size_in, size_out, strict=True)
    )
    return lambda maps: upsample(maps, rows, columns)
