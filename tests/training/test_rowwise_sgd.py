"""RowwiseSGD: every row steps after its own images, as PyTorch's SGD would for it alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from net2vec_pl.training import RowwiseSGD

ROWS, WIDTH, PER_STEP = 3, 2, 4


def rowwise(concept: Tensor, gradient: Tensor, batches: list[int], epochs_end: set[int]) -> Tensor:
    """Feed pairs in batches, a flush after some of them, as the probe does."""
    weight = nn.Parameter(torch.ones(ROWS, WIDTH))
    optimizer = RowwiseSGD([weight], ROWS, lr=0.1, momentum=0.9, images_per_step=PER_STEP)
    start = 0
    for number, size in enumerate(batches):
        mine = concept[start : start + size]
        for turn in optimizer.turns(mine):
            total = torch.zeros(ROWS, WIDTH)
            total.index_add_(0, mine[turn], gradient[start : start + size][turn])
            optimizer.add([total], torch.bincount(mine[turn], minlength=ROWS))
            optimizer.step()
        start += size
        if number in epochs_end:
            optimizer.step(flush=True)
    return weight.detach()


def alone(gradients: list[Tensor], ends: list[int]) -> Tensor:
    """Train one row with PyTorch: steps of PER_STEP images, a short one at the end of an epoch."""
    weight = nn.Parameter(torch.ones(WIDTH))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
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


@settings(deadline=None, max_examples=60)
@given(
    concepts=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=60),
    sizes=st.lists(st.integers(1, 11), min_size=60, max_size=60),
    flushes=st.sets(st.integers(0, 20)),
)
def test_rows_step_as_if_trained_alone_however_pairs_are_batched(
    concepts: list[int], sizes: list[int], flushes: set[int]
) -> None:
    concept = torch.tensor(concepts)
    gradient = torch.randn(len(concepts), WIDTH, generator=torch.Generator().manual_seed(0))
    batches: list[int] = []
    while sum(batches) < len(concepts):
        batches.append(min(sizes[len(batches)], len(concepts) - sum(batches)))
    flushes = {n for n in flushes if n < len(batches)} | {len(batches) - 1}
    together = rowwise(concept, gradient, batches, flushes)
    for row in range(ROWS):
        ends = [int((concept[: sum(batches[: n + 1])] == row).sum()) for n in flushes]
        expected = alone(list(gradient[concept == row]), ends)
        torch.testing.assert_close(together[row], expected)


def test_a_row_without_images_stays_where_it_is() -> None:
    weight = nn.Parameter(torch.ones(2, 1))
    optimizer = RowwiseSGD([weight], 2, lr=0.1, momentum=0.9, images_per_step=1)
    optimizer.add([torch.tensor([[1.0], [0.0]])], torch.tensor([1, 0]))
    optimizer.step(flush=True)
    optimizer.step(flush=True)
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.9], [1.0]]))


def test_no_pairs_are_no_turns() -> None:
    optimizer = RowwiseSGD(
        [nn.Parameter(torch.ones(1, 1))], 1, lr=0.1, momentum=0.0, images_per_step=1
    )
    assert optimizer.turns(torch.zeros(0, dtype=torch.long)) == []
