"""Sparse scores are the dense ones: values, gradients, and every way in which a batch is empty."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import dense
from torch import Tensor

from net2vec_pl.functional import Fired, PairScores


@dataclass
class Case:
    """A batch of bits, its pairs, a bank, and what comes back from the pixels."""

    bits: Tensor
    image: Tensor
    concept: Tensor
    weight: Tensor
    gradient: Tensor

    def scores(self) -> PairScores:
        return PairScores(Fired.of(self.bits), self.image, self.concept)


def case(
    pairs_of: list[int],
    *,
    filters: int = 6,
    grid: tuple[int, int] = (4, 3),
    concepts: int = 5,
    density: float = 0.2,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    """Return images with so many pairs each; concepts of an image come in any order."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(pairs_of), filters, *grid)
    bits = torch.rand(shape, generator=generator) < density
    image = torch.arange(len(pairs_of)).repeat_interleave(torch.tensor(pairs_of).long())
    drawn = [torch.randperm(concepts, generator=generator)[:n] for n in pairs_of]
    weight = torch.randn(concepts, filters, generator=generator, dtype=dtype)
    gradient = torch.randn(len(image), *grid, generator=generator, dtype=dtype)
    return Case(bits, image, torch.cat([image[:0], *drawn]), weight, gradient)


def check(given: Case) -> None:
    """Compare with the dense sum, and with autograd's gradient of it."""
    weights = given.weight[given.concept].requires_grad_()
    expected = dense.pair_logits(given.bits, given.image, weights)
    (gradient,) = torch.autograd.grad(expected, weights, given.gradient)
    scores = given.scores()
    torch.testing.assert_close(scores.logits(given.weight), expected.detach())
    torch.testing.assert_close(scores.weight_gradients(given.gradient), gradient)


@settings(max_examples=80, deadline=None)
@given(
    pairs_of=st.lists(st.integers(0, 4), max_size=5),
    filters=st.integers(1, 9),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_scores_and_gradients_are_the_dense_ones(
    pairs_of: list[int], filters: int, grid: tuple[int, int], density: float, seed: int
) -> None:
    check(case(pairs_of, filters=filters, grid=grid, density=density, seed=seed))


def test_logits_are_a_sum_over_the_filters_that_fire() -> None:
    given = case([2, 0, 3])
    logits = given.scores().logits(given.weight).numpy()
    expected = np.zeros_like(logits)
    for p, (i, c) in enumerate(zip(given.image.tolist(), given.concept.tolist(), strict=True)):
        for k, y, x in given.bits[i].nonzero().tolist():
            expected[p, y, x] += float(given.weight[c, k])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("pairs_of", "concepts"),
    [
        ([], 3),  # no image
        ([0, 0, 0], 3),  # no pair
        ([0, 2, 0, 0, 1, 0], 3),  # images without pairs, the first and the last among them
        ([1, 1, 1], 1),  # one concept
        ([300, 1], 300),  # many
    ],
)
def test_any_number_of_pairs_will_do(pairs_of: list[int], concepts: int) -> None:
    given = case(pairs_of, concepts=concepts)
    check(given)
    assert given.scores().logits(given.weight).shape == (sum(pairs_of), 4, 3)
    assert given.scores().weight_gradients(given.gradient).shape == (sum(pairs_of), 6)


@pytest.mark.parametrize("dark", [[0], [1], [2], [0, 1, 2]])
def test_an_image_in_which_nothing_fires_scores_zero(dark: list[int]) -> None:
    given = case([2, 1, 3])
    given.bits[dark] = False
    check(given)
    none = torch.isin(given.image, torch.tensor(dark))
    assert not given.scores().logits(given.weight)[none].any()
    assert not given.scores().weight_gradients(given.gradient)[none].any()


def test_single_precision_is_close_to_dense() -> None:
    check(case([3, 5, 0, 7], filters=96, grid=(9, 8), concepts=20, dtype=torch.float32))


def test_results_are_reproducible_to_the_bit_on_any_number_of_threads() -> None:
    given = case([3, 5, 0, 7] * 4, filters=64, grid=(14, 14), concepts=20, dtype=torch.float32)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 4, 2):
            torch.set_num_threads(count)
            scores = given.scores()
            found.append((scores.logits(given.weight), scores.weight_gradients(given.gradient)))
    finally:
        torch.set_num_threads(threads)
    for logits, gradients in found[1:]:
        assert torch.equal(logits, found[0][0])
        assert torch.equal(gradients, found[0][1])


def test_neither_the_bank_nor_the_gradient_is_changed() -> None:
    given, kept = case([2, 0, 3]), case([2, 0, 3])
    scores = given.scores()
    scores.logits(given.weight).fill_(7)
    scores.weight_gradients(given.gradient).fill_(7)
    assert torch.equal(given.weight, kept.weight)
    assert torch.equal(given.gradient, kept.gradient)
    assert torch.equal(scores.logits(given.weight), kept.scores().logits(kept.weight))


@given(
    shape=st.tuples(*[st.integers(0, 3), *[st.integers(1, 4)] * 3]),
    density=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_bits_come_back_from_their_places(shape: tuple[int, int, int, int], density: float) -> None:
    bits = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < density
    fired = Fired.of(bits)
    assert fired.shape == shape
    assert (fired.places.diff() > 0).all()
    assert fired.places.tolist() == np.flatnonzero(bits.numpy()).tolist()
    assert torch.equal(fired.dense(), bits)
