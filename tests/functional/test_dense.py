"""Scores on activations are the plain sums: values, gradients, and those of bits where bits are."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import dense
from torch import Tensor

from net2vec_pl.functional import DensePairScores, Fired, PairScores


@dataclass
class Case:
    """A batch of activations, its pairs, a bank, and what comes back from the pixels."""

    activation: Tensor
    image: Tensor
    concept: Tensor
    weight: Tensor
    gradient: Tensor

    def scores(self) -> DensePairScores:
        return DensePairScores(self.activation, self.image, self.concept)


def case(
    pairs_of: list[int],
    *,
    filters: int = 6,
    grid: tuple[int, int] = (4, 3),
    concepts: int = 5,
    seed: int = 0,
) -> Case:
    """Return images with so many pairs each; concepts of an image come in any order."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    image = torch.arange(len(pairs_of)).repeat_interleave(torch.tensor(pairs_of).long())
    drawn = [torch.randperm(concepts, generator=generator)[:n] for n in pairs_of]
    return Case(
        normal(len(pairs_of), filters, *grid),
        image,
        torch.cat([image[:0], *drawn]),
        normal(concepts, filters),
        normal(len(image), *grid),
    )


@settings(max_examples=80, deadline=None)
@given(
    pairs_of=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    filters=st.integers(1, 9),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_scores_and_gradients_are_those_of_the_plain_sum(
    pairs_of: list[int], filters: int, grid: tuple[int, int], seed: int
) -> None:
    given = case(pairs_of, filters=filters, grid=grid, seed=seed)
    weights = given.weight[given.concept].requires_grad_()
    expected = dense.pair_logits(given.activation, given.image, weights)
    (gradient,) = torch.autograd.grad(expected, weights, given.gradient)
    scores = given.scores()
    torch.testing.assert_close(scores.logits(given.weight), expected.detach())
    torch.testing.assert_close(scores.weight_gradients(given.gradient), gradient)


def test_a_loop_over_pairs_filters_and_positions_says_the_same() -> None:
    given = case([2, 0, 3])
    logits = given.scores().logits(given.weight)
    gradients = given.scores().weight_gradients(given.gradient)
    for p in range(5):
        answer, row = given.activation[given.image[p]], given.weight[given.concept[p]]
        for y in range(4):
            for x in range(3):
                expected = sum(float(row[k]) * float(answer[k, y, x]) for k in range(6))
                assert float(logits[p, y, x]) == pytest.approx(expected)
        for k in range(6):
            slope = sum(
                float(given.gradient[p, y, x]) * float(answer[k, y, x])
                for y in range(4)
                for x in range(3)
            )
            assert float(gradients[p, k]) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("pairs_of", "concepts"),
    [
        ([0, 2, 0, 0, 1, 0], 3),
        ([1, 1, 1], 1),
        ([300, 1], 300),
        ([0, 0, 1], 2),
        ([], 2),
        ([0, 0], 2),
    ],
)
def test_any_number_of_pairs_will_do(pairs_of: list[int], concepts: int) -> None:
    given = case(pairs_of, concepts=concepts)
    expected = torch.einsum(
        "pkhw,pk->phw", given.activation[given.image], given.weight[given.concept]
    )
    torch.testing.assert_close(given.scores().logits(given.weight), expected)
    assert given.scores().weight_gradients(given.gradient).shape == (sum(pairs_of), 6)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_activations_of_0_and_1_score_as_bits(density: float) -> None:
    given = case([3, 0, 5, 1], filters=7)
    generator = torch.Generator().manual_seed(2)
    bits = torch.rand(given.activation.shape, generator=generator) < density
    given.activation = bits.to(given.weight.dtype)
    sparse = PairScores(Fired.of(bits), given.image, given.concept)
    of_both = (
        (scores.logits(given.weight), scores.weight_gradients(given.gradient))
        for scores in (given.scores(), sparse)
    )
    for one, other in zip(*of_both, strict=True):
        torch.testing.assert_close(one, other)


def test_neither_the_bank_nor_the_gradient_nor_the_activations_are_changed() -> None:
    given, kept = case([2, 0, 3]), case([2, 0, 3])
    scores = given.scores()
    scores.logits(given.weight).fill_(7)
    scores.weight_gradients(given.gradient).fill_(7)
    for name, tensor in vars(given).items():
        assert torch.equal(tensor, vars(kept)[name])
