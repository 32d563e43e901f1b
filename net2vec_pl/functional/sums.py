"""Sums over groups of rows, in a fixed order on every device, unlike scatters with atomics."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag


def sum_rows(
    values: Float[Tensor, "P K"], group: Int64[Tensor, "P"], num_groups: int
) -> Float[Tensor, "G K"]:
    """Sum rows by group, in their order.

    Example:
        >>> sum_rows(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 0, 1]), 2).tolist()
        [[2.0], [5.0]]
    """
    ordered, order = group.sort(stable=True)
    return bag_sums(values, order, starts(ordered, num_groups))


def tally(number: Int64[Tensor, "n"], size: int) -> Int64[Tensor, "size"]:
    """Count how often each number comes; unlike ``bincount`` it lets no host wait for a GPU.

    Args:
        number: In [0, size), in any order.
        size: How many numbers there are.

    Example:
        >>> tally(torch.tensor([2, 0, 2]), 4).tolist()
        [1, 0, 2, 0]
    """
    counts = torch.zeros(size, dtype=torch.int64, device=number.device)
    return counts.scatter_add_(0, number, torch.ones_like(number))


def starts(ordered: Int64[Tensor, "n"], num_groups: int) -> Int64[Tensor, "groups"]:
    """Return where each group begins among rising numbers, and where the last one ends.

    Example:
        >>> starts(torch.tensor([0, 0, 2]), 3).tolist()
        [0, 2, 2, 3]
    """
    ends = tally(ordered, num_groups).cumsum(0)
    return torch.nn.functional.pad(ends, (1, 0))


def bag_sums(
    table: Float[Tensor, "rows width"], row: Int64[Tensor, "n"], starts: Int64[Tensor, "groups"]
) -> Float[Tensor, "bags width"]:
    """Sum the rows of a table that each bag names.

    Args:
        table: The rows.
        row: The rows named, bag after bag.
        starts: Where each bag begins in ``row``, and where the last one ends.
    """
    sums: Tensor = embedding_bag(row, table, starts, mode="sum", include_last_offset=True)
    return sums
