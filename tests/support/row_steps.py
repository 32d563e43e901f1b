"""Rows trained together by one of our optimisers, and each alone by PyTorch's."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from net2vec_pl.training.rowwise import RowwiseOptimizer

ROWS, WIDTH, PER_STEP = 3, 2, 4


def batches_of(sizes: list[int], pairs: int, flushes: set[int]) -> tuple[list[int], set[int]]:
    """Cut pairs into batches of some sizes; keep the flushes after one of them, the last always."""
    batches: list[int] = []
    while sum(batches) < pairs:
        batches.append(min(sizes[len(batches)], pairs - sum(batches)))
    return batches, {n for n in flushes if n < len(batches)} | {len(batches) - 1}


def trained_together(
    make: Callable[[nn.Parameter], RowwiseOptimizer],
    concept: Tensor,
    gradient: Tensor,
    batches: list[int],
    epochs_end: set[int],
) -> Tensor:
    """Feed pairs in batches, a flush after some of them, as the probe does."""
    weight = nn.Parameter(torch.ones(ROWS, WIDTH))
    optimizer = make(weight)
    start = 0
    for number, size in enumerate(batches):
        mine = slice(start, start + size)
        optimizer.learn([gradient[mine]], concept[mine])
        start += size
        if number in epochs_end:
            optimizer.step(flush=True)
    return weight.detach()


def trained_alone(
    make: Callable[[nn.Parameter], torch.optim.Optimizer], gradients: list[Tensor], ends: list[int]
) -> Tensor:
    """Train one row with PyTorch: steps of PER_STEP images, a short one at the end of an epoch."""
    weight = nn.Parameter(torch.ones(WIDTH))
    optimizer = make(weight)
    held: list[Tensor] = []

    def step() -> None:
        weight.grad = torch.stack(held).mean(0)
        optimizer.step()
        held.clear()

    for i in range(len(gradients) + 1):
        if i in ends and held:
            step()
        if i < len(gradients):
            held.append(gradients[i])
            if len(held) == PER_STEP:
                step()
    return weight.detach()
