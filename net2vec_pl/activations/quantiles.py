"""One threshold per filter: streaming, mergeable, and independent of the order of images.

Thresholds are high quantiles, so only the upper tail is kept: the largest values of every filter,
exactly, as long as the tail of a filter fits. Of a larger dataset a pseudo-random sample of
positions is kept, chosen by position alone (never by arrival), large enough that the rank error
stays below a bound at five standard deviations. So the threshold depends on the set of images only,
however they are ordered, batched or shared between processes.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl.functional.quantile import tail_length, upper_quantile

_SIGMAS = 5.0


def sampling_shift(num_values: int, tau: float, max_rank_error: float) -> int:
    """Return s such that a sample of one position in 2^s keeps the rank error in bounds.

    A sample whose tail holds m values errs by about ``tau / sqrt(m)`` in rank, so ``m`` must reach
    ``(5 tau / max_rank_error)^2``: 62,500 values for the paper's tau and an error of 1e-4.

    Args:
        num_values: Values per filter.
        tau: Share of values above the threshold.
        max_rank_error: Largest error of that share; tau itself, if that is smaller.

    Returns:
        0 if every position fits, which makes the quantile exact.

    Example:
        >>> sampling_shift(63305 * 196, tau=0.005, max_rank_error=1e-4)  # BRODEN at VGG-16 conv5_3
        0
        >>> sampling_shift(63305 * 50176, tau=0.005, max_rank_error=1e-4)  # at conv1_1
        7
    """
    needed = (_SIGMAS * tau / min(max_rank_error, tau)) ** 2
    return max(0, math.floor(math.log2(max(num_values * tau / needed, 1.0))))


def _mix(x: Int64[Tensor, "*S"]) -> Int64[Tensor, "*S"]:
    """Scramble whole numbers (the finaliser of SplitMix64, in wrapping arithmetic)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x ^ ((x >> 31) & ((1 << 33) - 1))


class UpperTails:
    """The largest values of every filter, from which its threshold is read.

    Memory: at most ``2 * K * m + `` one batch of floats, where m is the tail's length; m is bounded
        however
    many images come by.

    Args:
        num_filters: K.
        num_images: Images that will come by, over all processes.
        positions: Positions of the grid, h * w.
        tau: Share of values above the threshold, in (0, 1).
        max_rank_error: Bound on the error of that share, where sampling is needed.
        device: Where the values are kept.
    """

    def __init__(
        self,
        num_filters: int,
        num_images: int,
        positions: int,
        tau: float,
        *,
        max_rank_error: float = 1e-4,
        device: torch.device | str = "cpu",
    ) -> None:
        self.tau = tau
        self.num_values = num_images * positions
        self.shift = sampling_shift(self.num_values, tau, max_rank_error)
        # The sampled share varies; room for five standard deviations more than expected.
        expected = self.num_values / 2**self.shift
        roomy = expected if self.shift == 0 else expected + _SIGMAS * math.sqrt(expected)
        self.length = tail_length(math.ceil(roomy), tau)
        self.seen = 0
        self._kept = torch.empty(num_filters, 0, device=device)
        self._pending: list[Tensor] = []

    def update(self, activation: Float[Tensor, "N K h w"], row: Int64[Tensor, "N"]) -> None:
        """Take in a batch.

        Args:
            activation: The layer's output.
            row: Which image of the dataset each one is; decides what is sampled.
        """
        # A copy even of one image, for an in-place layer may overwrite what came by.
        by_filter = activation.detach().transpose(0, 1)
        values = by_filter.clone(memory_format=torch.contiguous_format).flatten(1)
        if self.shift:
            values = values[:, self._sampled(row, activation.shape[2] * activation.shape[3])]
        self._take(values, values.shape[1])

    def merge(self, other: "UpperTails") -> None:
        """Take in what another process saw of the same dataset."""
        self._take(other._compact(), other.seen)

    def thresholds(self) -> Float[Tensor, "K"]:
        """Return the (1 - tau) quantile of every filter; see :func:`upper_quantile`."""
        return upper_quantile(self._compact(), self.seen, self.tau)

    def _sampled(self, row: Int64[Tensor, "N"], positions: int) -> Bool[Tensor, "NP"]:
        place = torch.arange(positions, device=row.device)
        mixed = _mix(row[:, None] * positions + place + 1)
        return ((mixed & ((1 << self.shift) - 1)) == 0).flatten()

    def _take(self, values: Float[Tensor, "K n"], count: int) -> None:
        self.seen += count
        self._pending.append(values)
        if sum(part.shape[1] for part in self._pending) > self.length:
            self._compact()

    def _compact(self) -> Float[Tensor, "K m"]:
        joined = torch.cat([self._kept, *self._pending], dim=1)
        self._pending = []
        self._kept = joined.topk(min(self.length, joined.shape[1]), dim=1).values
        return self._kept
