"""Count pixels of an upsampled bit map without upsampling it.

Bilinear upsampling of a map of bits, cut at one half, depends within a grid cell on the four bits
at its corners alone: sixteen patterns. So the pixels a mask shares with each pattern of each cell
are counted once, and the overlap of the mask with any filter is a sum over the few cells where that
filter fires. Whether a pixel is on is decided in whole numbers, so that a tie at exactly one half
is never a matter of rounding.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from net2vec_pl.functional.sums import bag_sums, starts

PATTERNS = 16


def _sample_points(
    size_in: int, size_out: int, align_corners: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Return the grid node below each output sample, and how far beyond, in units of 1 / scale."""
    line = np.arange(size_out, dtype=np.int64)
    if align_corners:
        scale = max(size_out - 1, 1)
        at = line * (size_in - 1) if size_out > 1 else line * 0
    else:
        scale = 2 * size_out
        at = ((2 * line + 1) * size_in - size_out).clip(0, (size_in - 1) * scale)
    return at // scale, at % scale, scale


class BilinearCells:
    """The cells of an (h, w) grid and the mask pixels that fall into each.

    Cell (i, j) has its corners at nodes (i, j), (i, j+1), (i+1, j) and (i+1, j+1); beyond the last
    row and column the border repeats.

    Args:
        grid: (h, w) of the bit maps.
        mask: (sh, sw) of the masks.
        align_corners: Whether bilinear upsampling aligns the corner samples.
    """

    def __init__(
        self, grid: tuple[int, int], mask: tuple[int, int], *, align_corners: bool
    ) -> None:
        (h, w), (sh, sw) = grid, mask
        row, down, rows = _sample_points(h, sh, align_corners)
        column, right, columns = _sample_points(w, sw, align_corners)
        # The share of each corner at each pixel, in units of 1 / (rows * columns), shape (4, sh,
        # sw).
        shares = np.stack(
            [
                np.multiply.outer(vertical, horizontal)
                for vertical in (rows - down, down)
                for horizontal in (columns - right, right)
            ]
        )
        corner_of = (np.arange(PATTERNS)[:, None] >> np.arange(4)) & 1  # (16, 4)
        on = 2 * np.tensordot(corner_of, shares, axes=1) > rows * columns  # (16, sh, sw)
        cell = (row[:, None] * w + column[None, :]).ravel()  # of each pixel
        order = np.argsort(cell, kind="stable")
        sizes = np.bincount(cell, minlength=h * w)
        slot = np.arange(sh * sw) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        pixel = np.full((h * w, sizes.max()), sh * sw)
        pixel[cell[order], slot] = order
        table = np.zeros((h * w, sizes.max(), PATTERNS), dtype=np.float32)
        table[cell[order], slot] = on.reshape(PATTERNS, -1).T[order]
        self.pixel = torch.from_numpy(pixel)
        self.table = torch.from_numpy(table)

    def to(self, device: torch.device) -> "BilinearCells":
        """Move the tables to a device, in place."""
        self.pixel, self.table = self.pixel.to(device), self.table.to(device)
        return self

    def count_patterns(self, masks: Bool[Tensor, "N Q sh sw"]) -> Float[Tensor, "N cells 16 Q"]:
        """Count, per cell and pattern, the mask pixels that are on; whole numbers in float32."""
        n, q = masks.shape[:2]
        pixels = masks.flatten(0, 1).flatten(1).view(torch.uint8).float()
        in_cells = torch.nn.functional.pad(pixels, (0, 1))[:, self.pixel]  # (NQ, cells, pixels)
        counts = in_cells.permute(1, 0, 2) @ self.table  # (cells, NQ, 16)
        return counts.view(len(self.pixel), n, q, PATTERNS).permute(1, 0, 3, 2)


def cell_patterns(fired: Bool[Tensor, "N K h w"]) -> UInt8[Tensor, "N K cells"]:
    """Return the pattern of corner bits in every cell, 0 to 15."""
    right = torch.cat([fired, fired[..., -1:]], dim=-1)  # the border repeats
    bits = torch.cat([right, right[..., -1:, :]], dim=-2).view(torch.uint8)
    upper = bits[..., :-1, :-1] + 2 * bits[..., :-1, 1:]
    lower = bits[..., 1:, :-1] + 2 * bits[..., 1:, 1:]
    return (upper + 4 * lower).flatten(2)


def count_overlaps(
    patterns: UInt8[Tensor, "N K cells"], counts: Float[Tensor, "N cells 16 Q"]
) -> Int64[Tensor, "N K Q"]:
    """Sum :meth:`BilinearCells.count_patterns` over the cells where each filter fires.

    Returns:
        Pixels that mask q of an image shares with the upsampled map of its filter k, cut at one
        half.
    """
    n, k, cells = patterns.shape
    table = counts.reshape(n * cells * PATTERNS, -1)
    if not table.shape[1]:
        return torch.zeros(n, k, 0, dtype=torch.int64, device=counts.device)
    fires = patterns.flatten().nonzero().flatten()
    map_, cell = fires // cells, fires % cells
    which = (map_ // k * cells + cell) * PATTERNS + patterns.flatten()[fires]
    return bag_sums(table, which, starts(map_, n * k)).view(n, k, -1).long()
