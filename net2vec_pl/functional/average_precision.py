"""Average precision from histograms of scores, so that memory does not grow with the pixels."""

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

# A float32 without its lowest 18 bits keeps 5 bits of mantissa: 32 levels an octave, 3 % apart.
_DROPPED_BITS = 18
_LEVELS_PER_OCTAVE = 1 << (23 - _DROPPED_BITS)
_LOWEST_OCTAVE, _OCTAVES = -10, 16
_LEVELS = _OCTAVES * _LEVELS_PER_OCTAVE
NUM_BINS = 2 * _LEVELS + 1


def logit_bins(logits: Float[Tensor, "*S"]) -> Int32[Tensor, "*S"]:
    """Assign logits to bins that are ordered as the logits are.

    Bins are 3 % wide in the logit, from 2^-10 to 2^6 on either side; what is nearer to zero shares
    the middle bin, what is farther out the last ones. Average precision looks at the order alone,
    so this is the precision of a logit rounded to 3 %, whatever its scale.

    Returns:
        Bin numbers in [0, NUM_BINS).

    Example:
        >>> import torch
        >>> logit_bins(torch.tensor([-1e9, -1.0, 0.0, 1.0, 1e9])).tolist()
        [0, 191, 512, 833, 1024]
    """
    bits = logits.float().view(torch.int32)
    lowest = (127 + _LOWEST_OCTAVE) * _LEVELS_PER_OCTAVE
    level = bits & 0x7FFFFFFF
    level.bitwise_right_shift_(_DROPPED_BITS).sub_(lowest - 1).clamp_(0, _LEVELS)
    sign = bits >> 31  # -1 below zero, else 0
    return level.bitwise_xor_(sign).sub_(sign).add_(_LEVELS)


def bin_floors() -> Float[Tensor, "bins"]:
    """Return a number for each bin, float64: its logits and those of higher bins are above it.

    Example:
        >>> bin_floors()[[191, 512]].tolist()
        [-1.03125, -0.0009765625]
    """
    level = torch.arange(_LEVELS, dtype=torch.int32)
    lowest = (127 + _LOWEST_OCTAVE) * _LEVELS_PER_OCTAVE + level
    least = (lowest << _DROPPED_BITS).view(torch.float32)  # in size, of each level
    largest = torch.tensor([torch.finfo(torch.float32).max])
    below = -torch.cat([least, largest]).flip(0)
    return torch.cat([below, torch.nextafter(least, torch.zeros(1))]).double()


def average_precision(
    positives: Int64[Tensor, "*C bins"], negatives: Int64[Tensor, "*C bins"]
) -> Float[Tensor, "*C"]:
    r"""Return average precision from counts of scores per bin.

    .. math:: AP = \sum_n (R_n - R_{n-1}) P_n

    over the bins from the highest score to the lowest; scores of one bin count as tied, as
    ``sklearn.metrics.average_precision_score`` counts equal scores.

    Args:
        positives: Pixels of the concept per bin, bins in rising order of score.
        negatives: All other pixels per bin.

    Returns:
        Average precision in [0, 1], float64; NaN where there is no positive.

    Example:
        >>> import torch
        >>> average_precision(torch.tensor([0, 1, 1]), torch.tensor([3, 1, 0]))
        tensor(0.8333, dtype=torch.float64)
    """
    found = positives.flip(-1).cumsum(-1).double()
    called = found + negatives.flip(-1).cumsum(-1)
    precision = found / called.clamp(min=1)
    total = found[..., -1]
    area = (positives.flip(-1) * precision).sum(-1)
    return torch.where(total > 0, area / total, torch.nan)
