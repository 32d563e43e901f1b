"""Balanced draws: both classes alike, each concept by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool

from net2vec_pl.functional.balanced import BalancedSampler, Examples, too_few

PRESENT = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40).map(
    lambda rows: np.array(rows, dtype=np.bool_)
)
RANDOM = np.random.default_rng(0).random((60, 5)) < [0.05, 0.3, 0.5, 0.7, 0.97]


def images_of(examples: Examples, concept: int) -> list[int]:
    found: list[int] = examples.image[examples.of(concept)].tolist()
    return found


@given(present=PRESENT, seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
def test_classes_are_alike_and_the_smaller_is_whole(
    present: Bool[np.ndarray, "N C"], seed: int, epoch: int
) -> None:
    examples = BalancedSampler(present, [7, 8, 9], seed).draw(epoch)
    for c, column in enumerate(present.T):
        images = images_of(examples, c)
        assert len(set(images)) == len(images) == examples.count[c]
        flags = column[images]
        np.testing.assert_array_equal(flags, examples.positive[examples.of(c)])
        smaller = min(column.sum(), (~column).sum())
        assert flags.sum() == (~flags).sum() == smaller
        if column.sum() == smaller:
            assert set(np.flatnonzero(column)) <= set(images)
    np.testing.assert_array_equal(examples.concept(), np.repeat([0, 1, 2], examples.count))


@given(chosen=st.lists(st.integers(0, 4), min_size=1, unique=True), epoch=st.integers(0, 5))
def test_a_concept_draws_the_same_whatever_stands_beside_it(chosen: list[int], epoch: int) -> None:
    numbers = [11, 12, 13, 14, 15]
    together = BalancedSampler(RANDOM, numbers, 3).draw(epoch)
    some = BalancedSampler(RANDOM[:, chosen], [numbers[c] for c in chosen], 3).draw(epoch)
    for place, c in enumerate(chosen):
        assert images_of(some, place) == images_of(together, c)


def test_draws_change_with_epoch_seed_and_number_and_with_nothing_else() -> None:
    first = images_of(BalancedSampler(RANDOM, range(5), 3).draw(0), 1)
    assert images_of(BalancedSampler(RANDOM, range(5), 3).draw(0), 1) == first
    assert images_of(BalancedSampler(RANDOM, range(5), 3).draw(1), 1) != first
    assert images_of(BalancedSampler(RANDOM, range(5), 4).draw(0), 1) != first
    assert images_of(BalancedSampler(RANDOM, range(1, 6), 3).draw(0), 1) != first


def test_what_is_missing_is_counted_and_so_is_what_is_needed() -> None:
    present = np.zeros((12, 5), dtype=np.bool_)
    for concept, count in enumerate((10, 9, 2, 1, 0)):
        present[:count, concept] = True
    absent = ~present
    absent[:, 3] = False
    absent[-1, 3] = True
    assert too_few(present, "val images", absent, 2) == [
        "",
        "",
        "",
        "1 val images with it, 2 are needed",
        "no val images with it, 2 are needed",
    ]
    assert too_few(~present, "val images", present, 10) == [
        "2 val images with it, 10 are needed",
        "3 val images with it, 10 are needed",
        "2 val images without it, 10 are needed",
        "1 val images without it, 10 are needed",
        "no val images without it, 10 are needed",
    ]


def test_every_negative_is_drawn_about_as_often_as_another() -> None:
    present = np.zeros((11, 1), dtype=np.bool_)
    present[4] = True
    sampler = BalancedSampler(present, [0], 0)
    drawn = np.zeros(11, dtype=np.int64)
    for epoch in range(1000):
        drawn[images_of(sampler.draw(epoch), 0)] += 1
    assert drawn[4] == 1000
    others = np.delete(drawn, 4)
    assert others.sum() == 1000
    assert others.min() > 60
    assert others.max() < 140


def test_the_classes_come_mixed() -> None:
    present = np.arange(400)[:, None] < 200
    flags = BalancedSampler(present, [0], 0).draw().positive
    assert 70 < flags[:200].sum() < 130


def test_a_too_few_leaves_no_examples_and_says_why() -> None:
    present = np.array([[True, False, True], [True, False, False]])
    examples = BalancedSampler(present, [1, 2, 3], 0).draw()
    assert examples.count.tolist() == [0, 0, 2]
    assert too_few(present, "train images") == [
        "no train images without it",
        "no train images with it",
        "",
    ]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_no_images_or_no_concepts_draw_nothing(shape: tuple[int, int]) -> None:
    present = np.zeros(shape, dtype=np.bool_)
    examples = BalancedSampler(present, range(shape[1]), 0).draw()
    assert examples.image.tolist() == examples.positive.tolist() == []
    assert examples.count.tolist() == [0] * shape[1]
    assert too_few(present, "images") == ["no images with it"] * shape[1]


def test_a_draw_is_the_seeds_of_its_number_and_of_the_epoch_after_the_weights() -> None:
    numbers, seed = [11, 40, 7, 3, 9], 5
    for epoch in (0, 2):
        examples = BalancedSampler(RANDOM, numbers, seed).draw(epoch)
        for c, number in enumerate(numbers):
            # [seed, number] and [seed, number, 0] draw the initial weights.
            random = np.random.default_rng([seed, number, epoch + 1])
            classes = [np.flatnonzero(RANDOM[:, c]), np.flatnonzero(~RANDOM[:, c])]
            size = min(map(len, classes))
            chosen = [
                some if len(some) == size else random.choice(some, size, False, shuffle=False)
                for some in classes
            ]
            expected = random.permutation(np.concatenate(chosen)).tolist()
            assert images_of(examples, c) == expected
