"""A quantile read off the upper tail."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def upper_quantile(tail: Float[Tensor, "K m"], num_values: int, tau: float) -> Float[Tensor, "K"]:
    """Return the (1 - tau) quantile of samples of which only the largest are at hand.

    Linear interpolation between order statistics, as ``numpy.quantile`` does it: position
    ``(num_values - 1) * tau`` from the top. Source: Net2Vec, section 3.1, where P(A_k > T_k) = tau.

    Args:
        tail: The largest m values of each sample, in falling order.
        num_values: How many values each sample holds, at least m.
        tau: Share of values above the quantile, in (0, 1).

    Returns:
        One quantile per row.

    Raises:
        ValueError: If the tail is too short to hold the quantile.

    Example:
        >>> import torch
        >>> upper_quantile(torch.tensor([[9.0, 8.0, 7.0]]), num_values=11, tau=0.15)
        tensor([7.5000])
    """
    position = (num_values - 1) * tau
    first = math.floor(position)
    second = min(first + 1, num_values - 1)
    if second >= tail.shape[1]:
        raise ValueError(f"a tail of {tail.shape[1]} values does not reach position {position:.1f}")
    # lerp gives equal neighbours back exactly; a filter saturated there must not fire by rounding.
    return torch.lerp(tail[:, first], tail[:, second], position - first)


def tail_length(num_values: int, tau: float) -> int:
    """Return how many of the largest values :func:`upper_quantile` needs.

    Example:
        >>> tail_length(11, 0.15)
        3
    """
    return min(math.floor((num_values - 1) * tau) + 2, num_values)
