"""The mean gain in balanced accuracy: leave-one-out by a loop, by hand, and how often it holds."""

import numpy as np
import pytest
from simulated.classification import coverage, drawn
from support.jackknifed import jackknifed

from net2vec_pl.analysis.accuracy_gain import accuracy_gain


def slow(difference: list[float], concept: list[int], positive: list[bool]) -> float:
    """Average over concepts and classes, an example at a time."""
    classes = sorted({*zip(concept, positive, strict=True)})
    means = []
    for of in classes:
        values = [
            d for d, *key in zip(difference, concept, positive, strict=True) if tuple(key) == of
        ]
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


@pytest.mark.parametrize(("units", "size"), [(25, 1), (5, 12)])
def test_it_is_the_jackknife_by_a_loop(units: int, size: int) -> None:
    difference, concept, positive, unit = drawn(np.random.default_rng(3), units, size, 0.3)
    found = accuracy_gain(difference, concept, positive, unit, level=0.9, least=4)
    examples = (difference, concept, positive)
    values = [of.tolist() for of in examples]
    value = slow(*values)
    assert found.value == pytest.approx(value)
    names, without, weights = np.unique(unit), [], []
    keys = np.stack(examples[1:])
    for one in names:
        kept = unit != one
        without.append(slow(*(of[kept].tolist() for of in examples)))
        weight = 0.0
        for key in np.unique(keys, axis=1).T:
            mine = (keys == key[:, None]).all(0)
            weight += (mine & ~kept).sum() / mine.sum()
        weights.append(weight)
    bounds = jackknifed(value, without, weights, level=0.9)
    assert (found.low, found.high) == pytest.approx(bounds)


def test_the_gain_is_the_difference_of_balanced_accuracies_by_hand() -> None:
    # Concept 4: +1 in one of two, then 0 of two; concept 9: -1 in one of one, +1 in one of one.
    found = accuracy_gain(
        np.array([1.0, 0, 0, 0, -1, 1]),
        np.array([4, 4, 4, 4, 9, 9]),
        np.array([True, True, False, False, True, False]),
        np.array([10, 11, 12, 13, 10, 14]),
    )
    assert found.value == pytest.approx((0.25 + 0) / 2)
    assert np.isnan([found.low, found.high]).all()  # of five images


def test_a_class_in_one_unit_alone_is_left_out_with_it() -> None:
    difference, concept = np.array([1.0, 1, 0, 0, 1, 0]), np.zeros(6, np.int64)
    positive, unit = (
        np.array([True, True, False, False, False, False]),
        np.array([0, 0, 1, 2, 3, 3]),
    )
    found = accuracy_gain(difference, concept, positive, unit, least=3)
    changes = [0.25, (1 + 1 / 3) / 2, (1 + 1 / 3) / 2, 0.5]
    low, high = jackknifed(0.625, changes, [1, 0.25, 0.25, 0.5])
    assert found.array().tolist() == pytest.approx([0.625, low, high])


def test_no_example_has_no_gain() -> None:
    nothing = np.zeros(0, np.int64)
    assert np.isnan(accuracy_gain(np.zeros(0), nothing, nothing > 0, nothing).array()).all()


@pytest.mark.parametrize(("units", "size", "alike"), [(80, 1, 0.0), (8, 25, 0.3)])
def test_intervals_hold_the_truth_as_often_as_they_say(units: int, size: int, alike: float) -> None:
    assert 0.91 <= coverage(300, units, size, alike, seed=5) <= 0.985
