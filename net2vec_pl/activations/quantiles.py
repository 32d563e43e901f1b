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
from torch.nn.functional import pad

from net2vec_pl import processes
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

    Memory: at most ``2 * K * m`` and one batch of floats, where m is the tail's length, which is
    bounded however many images come by; three times that with places.

    Args:
        num_filters: K.
        num_images: Images that will come by, over all processes.
        positions: Positions of the grid, h * w.
        tau: Share of values above the threshold, in (0, 1).
        max_rank_error: Bound on the error of that share, where sampling is needed.
        places: Whether to remember where each value came from, so that :meth:`fired` can say.
        device: Where the values are kept.

    Attributes:
        exact: Whether every position is looked at, not a sample.
    """

    def __init__(
        self,
        num_filters: int,
        num_images: int,
        positions: int,
        tau: float,
        *,
        max_rank_error: float = 1e-4,
        places: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.tau = tau
        self.positions = positions
        self.num_values = num_images * positions
        self.shift = sampling_shift(self.num_values, tau, max_rank_error)
        # The sampled share varies; room for five standard deviations more than expected.
        expected = self.num_values / 2**self.shift
        roomy = expected if self.shift == 0 else expected + _SIGMAS * math.sqrt(expected)
        self.length = tail_length(math.ceil(roomy), tau)
        self.exact = self.shift == 0
        self.seen = 0
        self._kept = torch.empty(num_filters, 0, device=device)
        self._pending: list[Tensor] = []
        self._with_places = places
        self._kept_place = torch.empty(num_filters, 0, dtype=torch.int64, device=device)
        self._pending_place: list[Tensor] = []

    def update(self, activation: Float[Tensor, "N K h w"], row: Int64[Tensor, "N"]) -> None:
        """Take in a batch.

        Args:
            activation: The layer's output.
            row: Which image of the dataset each one is; decides what is sampled.
        """
        if not len(row):
            return
        # A copy even of one image, for an in-place layer may overwrite what came by.
        by_filter = activation.detach().transpose(0, 1)
        values = by_filter.clone(memory_format=torch.contiguous_format).flatten(1)
        position = torch.arange(self.positions, device=row.device)
        place = (row[:, None] * self.positions + position).flatten()
        if not self.exact:
            sampled = self._sampled(place)
            values, place = values[:, sampled], place[sampled]
        self.seen += len(place)
        self._pending.append(values)
        self._pending_place.append(place)
        if sum(map(len, self._pending_place)) > self.length:
            self._compact()

    def thresholds(self) -> Float[Tensor, "K"]:
        """Return the (1 - tau) quantile of every filter over the images of all processes.

        See :func:`~net2vec_pl.functional.quantile.upper_quantile`.
        """
        self._compact()
        mine = pad(self._kept, (0, self.length - self._kept.shape[1]), value=-math.inf)
        joined = torch.cat(processes.gather(mine), dim=1)
        seen = processes.sum_over(torch.tensor(self.seen, device=joined.device))
        tail = joined.topk(self.length, dim=1).values
        return upper_quantile(tail, int(seen), self.tau)

    def fired(
        self, thresholds: Float[Tensor, "K"]
    ) -> tuple[Int64[Tensor, "n"], Int64[Tensor, "n"]]:
        """Return the values above thresholds that came by in this process.

        Only what lies in the upper tail can be told, and only if all of it was kept: thresholds
        must be those of the tails, ``exact`` and ``places`` must hold.

        Args:
            thresholds: T_k of each filter.

        Returns:
            The image of each, rising, and its flat index into (K, h, w), rising within an image.
        """
        assert self.exact
        assert self._with_places
        self._compact()
        filter_, column = (self._kept > thresholds[:, None]).nonzero(as_tuple=True)
        place = self._kept_place[filter_, column]
        row, position = place // self.positions, place % self.positions
        index = filter_ * self.positions + position
        order = (row * (len(self._kept) * self.positions) + index).argsort()
        return row[order], index[order]

    def _sampled(self, place: Int64[Tensor, "n"]) -> Bool[Tensor, "n"]:
        return (_mix(place + 1) & ((1 << self.shift) - 1)) == 0

    def _compact(self) -> None:
        if not self._pending:
            return
        before = self._kept.shape[1]
        joined = torch.cat([self._kept, *self._pending], dim=1)
        self._kept, column = joined.topk(min(self.length, joined.shape[1]), dim=1)
        if self._with_places:
            new = torch.cat(self._pending_place)[(column - before).clamp_(min=0)]
            if before:
                old = self._kept_place.gather(1, column.clamp(max=before - 1))
                new = torch.where(column < before, old, new)
            self._kept_place = new
        self._pending, self._pending_place = [], []
