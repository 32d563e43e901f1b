"""RowwiseSGD: every row steps after its own images, as PyTorch's SGD would for it alone."""

import io
from functools import partial

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gloo import in_processes
from support.row_steps import PER_STEP, ROWS, WIDTH, batches_of, trained_alone, trained_together
from torch import nn

from net2vec_pl.training import RowwiseSGD
from net2vec_pl.training.rowwise import occurrence


def ours(weight: nn.Parameter) -> RowwiseSGD:
    return RowwiseSGD([weight], ROWS, lr=0.1, momentum=0.9, images_per_step=PER_STEP)


def pytorchs(weight: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.SGD([weight], lr=0.1, momentum=0.9)


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
    batches, flushes = batches_of(sizes, len(concepts), flushes)
    together = trained_together(ours, concept, gradient, batches, flushes)
    for row in range(ROWS):
        ends = [int((concept[: sum(batches[: n + 1])] == row).sum()) for n in flushes]
        expected = trained_alone(pytorchs, list(gradient[concept == row]), ends)
        torch.testing.assert_close(together[row], expected)


def optimizer_of(
    *params: nn.Parameter, images_per_step: int = 2, momentum: float = 0.9
) -> RowwiseSGD:
    options = {"momentum": momentum, "images_per_step": images_per_step}
    return RowwiseSGD(params, len(params[0]), lr=0.1, **options)


def test_a_row_without_images_stays_where_it_is() -> None:
    weight = nn.Parameter(torch.ones(2, 1))
    optimizer = optimizer_of(weight, images_per_step=1)
    optimizer.learn([torch.tensor([[1.0]])], torch.tensor([0]))
    optimizer.step(flush=True)
    optimizer.step(flush=True)
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.9], [1.0]]))


def test_no_pairs_change_nothing() -> None:
    weight, bias = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3))
    optimizer = optimizer_of(weight, bias)
    optimizer.learn([torch.ones(1, 2), torch.ones(1)], torch.tensor([1]))
    optimizer.learn([torch.ones(0, 2), torch.ones(0)], torch.zeros(0, dtype=torch.int64))
    assert optimizer.state[weight]["images"].tolist() == [0, 1, 0]
    assert torch.equal(weight.detach(), torch.ones(3, 2))
    assert torch.equal(bias.detach(), torch.ones(3))


def test_parameters_of_any_shape_step_together() -> None:
    """A weight of two axes, and a bias of one, whose gradients are the weight's first column."""
    generator = torch.Generator().manual_seed(1)
    row = torch.randint(0, ROWS, (40,), generator=generator)
    gradient = torch.randn(40, WIDTH, generator=generator)
    both = [nn.Parameter(torch.ones(ROWS, WIDTH)), nn.Parameter(torch.ones(ROWS))]
    optimizer = optimizer_of(*both, images_per_step=PER_STEP)
    for start in (0, 13, 14, 33):
        some = slice(start, {0: 13, 13: 14, 14: 33}.get(start, 40))
        optimizer.learn([gradient[some], gradient[some, 0]], row[some])
    optimizer.step(flush=True)
    expected = trained_together(ours, row, gradient, [40], {0})
    torch.testing.assert_close(both[0].detach(), expected)
    torch.testing.assert_close(both[1].detach(), expected[:, 0])


def test_the_split_of_a_batch_gives_rows_the_images_of_their_turn() -> None:
    weight = nn.Parameter(torch.zeros(2, 1))
    optimizer = optimizer_of(weight, momentum=0.0)
    # Row 0 has five images: steps after the second and the fourth, and holds the fifth.
    gradient = torch.tensor([[1.0], [10], [2], [4], [20], [8], [16]])
    optimizer.learn([gradient], torch.tensor([0, 1, 0, 0, 1, 0, 0]))
    torch.testing.assert_close(weight.detach(), -0.1 * torch.tensor([[1.5 + 6], [15.0]]))
    state = optimizer.state[weight]
    assert state["images"].tolist() == [1, 0]
    assert state["sum"].tolist() == [[16.0], [0.0]]


def test_a_saved_optimiser_goes_on_where_it_was() -> None:
    generator = torch.Generator().manual_seed(3)
    row = torch.randint(0, ROWS, (33,), generator=generator)
    gradient = torch.randn(33, WIDTH, generator=generator)
    through, stopped = (nn.Parameter(torch.ones(ROWS, WIDTH)) for _ in range(2))
    whole, before = (optimizer_of(p, images_per_step=PER_STEP) for p in (through, stopped))
    for optimizer in (whole, before):
        optimizer.learn([gradient[:17]], row[:17])
    saved = io.BytesIO()
    torch.save(before.state_dict(), saved)
    saved.seek(0)
    resumed = nn.Parameter(stopped.detach().clone())
    after = optimizer_of(resumed, images_per_step=PER_STEP)
    after.load_state_dict(torch.load(saved, weights_only=True))
    assert after.state[resumed]["images"].dtype == torch.int64
    for optimizer in (whole, after):
        optimizer.learn([gradient[17:]], row[17:])
        optimizer.step(flush=True)
    assert torch.equal(resumed, through)


# -------------------- several processes


Told = list[tuple[list[float], list[int]]]


def learn_a_share(rank: int, count: int) -> Told:
    """Learn stretches of the same batches; return weights and clocks after each."""
    generator = torch.Generator().manual_seed(4)
    weight = nn.Parameter(torch.ones(ROWS, WIDTH))
    optimizer = optimizer_of(weight, images_per_step=PER_STEP)
    told: Told = []
    for size in (1, 9, 0, 16, 2, 31):
        row = torch.randint(0, ROWS, (size,), generator=generator)
        gradient = torch.randn(size, WIDTH, generator=generator)
        mine = torch.from_numpy(np.array_split(np.arange(size), count)[rank])
        optimizer.learn([gradient[mine]], row[mine])
        clocks = optimizer.state[weight]["images"].tolist()
        told.append((weight.detach().flatten().tolist(), clocks))
    return told


def test_two_processes_learn_as_one_and_keep_the_same_clocks() -> None:
    expected = learn_a_share(0, 1)
    for told in in_processes(partial(learn_a_share, count=2)):
        for (weights, clocks), (one, one_clocks) in zip(told, expected, strict=True):
            assert clocks == one_clocks
            np.testing.assert_allclose(weights, one, rtol=0, atol=1e-6)
    assert any(any(clocks) for _, clocks in expected)
    assert expected[-1][0] != expected[0][0]


@given(values=st.lists(st.integers(0, 3), max_size=30))
def test_occurrence_counts_how_often_a_value_has_come(values: list[int]) -> None:
    found = occurrence(torch.tensor(values, dtype=torch.int64)).tolist()
    assert found == [values[:i].count(value) for i, value in enumerate(values)]
