"""Val pixels that sum to set IoUs of one's choice."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from net2vec_pl.report.val_counts import ValCounts

Pixels = npt.NDArray[np.int64]


def pixels_of(score: float, images: int, number: int) -> Pixels:
    """Return intersection and union on each image; they sum to a set IoU, to 6 digits.

    Args:
        score: The set IoU; with NaN nothing is counted.
        images: How many.
        number: Of the concept; with its score it decides what is drawn.
    """
    if math.isnan(score):
        return np.zeros((2, images), dtype=np.int64)
    draw = np.random.default_rng([number, round(1e6 * score)])
    union = draw.integers(200_000, 400_000, size=images)
    inside = (union * np.clip(score * draw.uniform(0.7, 1.3, size=images), 0, 1)).astype(np.int64)
    missing = round(score * int(union.sum())) - int(inside.sum())
    for image in range(images):  # what is missing goes where there is room
        step = int(np.clip(missing, -inside[image], union[image] - inside[image]))
        inside[image] += step
        missing -= step
    return np.stack([inside, union])


def counts_of(
    numbers: Sequence[int],
    seeds: Sequence[Sequence[float]],
    single: Sequence[float],
    images: int,
    groups: int = 0,
) -> ValCounts:
    """Make the counts of a run whose val images all contain all concepts.

    Args:
        numbers: Of the concepts.
        seeds: Set IoU of every concept, of each seed.
        single: The same of the best single filters.
        images: How many.
        groups: Image i is of group i modulo this; none if 0.
    """

    def laid_out(scores: Sequence[float]) -> torch.Tensor:
        of = [pixels_of(s, images, n) for s, n in zip(scores, numbers, strict=True)]
        return torch.from_numpy(np.stack(of, axis=2).reshape(2, -1))

    image = torch.arange(images).repeat_interleave(len(numbers))
    return ValCounts(
        image,
        torch.tensor([*numbers] * images),
        torch.stack([laid_out(scores) for scores in seeds]),
        laid_out(single),
        image % groups if groups else None,
    )
