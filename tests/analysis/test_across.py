"""All pairs at once give what each pair gives alone, and what literal loops give."""

import itertools

import numpy as np
import pytest

from net2vec_pl.analysis.across import embedding_pairs, mean_intervals, paired_differences
from net2vec_pl.analysis.comparison import compare


def test_sign_flips_match_all_flips_of_a_literal_test() -> None:
    scores = np.random.default_rng(0).random((2, 9))
    difference = scores[0] - scores[1]
    flips = [
        abs(np.mean([s * d for s, d in zip(signs, difference, strict=True)]))
        for signs in itertools.product((-1, 1), repeat=9)
    ]
    exact = np.mean([flip >= abs(difference.mean()) - 1e-12 for flip in flips])
    found = paired_differences(scores, permutations=20_000)
    assert found.p[0] == pytest.approx(exact, abs=0.015)  # four standard errors
    assert found.difference[0] == pytest.approx(difference.mean())
    assert found.won[0] == np.mean(difference > 0)


def test_equal_settings_never_differ() -> None:
    scores = np.tile(np.random.default_rng(0).random(7), (3, 1))
    found = paired_differences(scores)
    assert found.p.tolist() == [1, 1, 1]
    assert found.low.tolist() == found.high.tolist() == [0, 0, 0]
    assert found.won.tolist() == [0.5, 0.5, 0.5]


def test_pairs_are_those_of_an_upper_triangle() -> None:
    found = paired_differences(np.array([[0.0, 0.0], [0.5, 0.5], [0.9, 0.9]]), permutations=9)
    assert found.first.tolist() == [0, 0, 1]
    assert found.second.tolist() == [1, 2, 2]
    np.testing.assert_allclose(found.difference, [-0.5, -0.9, -0.4])
    assert len(paired_differences(np.zeros((3, 0))).p) == 0


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        found = mean_intervals(draw.normal(0.3, 0.1, (1, 60)), replicates=300)
        covered.append(bool(found.low[0] <= 0.3 <= found.high[0]))
    assert 0.88 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("k", [1, 5, 100])
def test_every_measure_of_every_pair_is_that_of_the_pair_alone(k: int) -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=(15, 6))
    banks = [base @ draw.normal(size=(6, width)) for width in (4, 9, 30)]
    banks[1][3] = 0  # has no direction, so that no pair may look at it
    found = embedding_pairs(banks, k, permutations=199)
    kept = np.delete(np.arange(15), 3)
    assert found.compared.tolist() == kept.tolist()
    for t, (a, b) in enumerate(zip(found.first, found.second, strict=True)):
        alone = compare(banks[a][kept], banks[b][kept], k, permutations=2000)
        for name in ("distance", "correlation", "cka", "overlap"):
            score = getattr(alone, name)
            assert found.value[name][t] == pytest.approx(score.value)
            assert found.chance[name][t] == pytest.approx(score.chance, rel=0.05, abs=0.02)
            assert found.p[name][t] == pytest.approx(score.p, abs=0.12)


def test_ties_among_neighbours_go_to_the_first_as_they_do_alone() -> None:
    twins = np.repeat(np.eye(4), 3, axis=0)
    other = np.random.default_rng(0).normal(size=(12, 5))
    found = embedding_pairs([twins, other], k=4, permutations=9)
    alone = compare(twins, other, 4, permutations=9)
    assert found.value["overlap"][0] == pytest.approx(alone.overlap.value)


def test_tests_look_at_a_choice_of_many_concepts_and_values_at_all() -> None:
    draw = np.random.default_rng(0)
    first = draw.normal(size=(150, 5))
    found = embedding_pairs([first, first @ draw.normal(size=(5, 7))], permutations=19)
    assert (found.tested, len(found.compared)) == (100, 150)
    assert found.p["correlation"][0] == 0.05
    assert found.square("cka").shape == (2, 2)


def test_too_few_concepts_have_no_measures() -> None:
    found = embedding_pairs([np.eye(2), np.eye(2)])
    assert np.isnan(found.value["distance"]).all()


def resampled(scores: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Means over resamples of the concepts, by a loop."""
    concepts = scores.shape[1]
    rng = np.random.default_rng(seed)
    drawn = []
    for counts in rng.multinomial(concepts, np.full(concepts, 1 / concepts), size=times):
        chosen = np.repeat(np.arange(concepts), counts)
        drawn.append(scores[:, chosen].mean(axis=1))
    return np.array(drawn)


def test_means_have_the_bounds_of_a_loop() -> None:
    scores = np.random.default_rng(0).random((3, 8)) ** 3
    found = mean_intervals(scores, replicates=80, level=0.9, seed=4)
    drawn = resampled(scores, 80, 4)
    np.testing.assert_allclose(found.value, scores.mean(1))
    np.testing.assert_allclose(found.low, np.quantile(drawn, 0.05, axis=0))
    np.testing.assert_allclose(found.high, np.quantile(drawn, 0.95, axis=0))


def test_differences_have_the_bounds_and_the_p_of_a_loop() -> None:
    scores = np.random.default_rng(1).random((2, 8))
    found = paired_differences(scores, permutations=49, replicates=80, seed=4)
    drawn = resampled(scores, 80, 4)
    bounds = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
    np.testing.assert_allclose([found.low[0], found.high[0]], bounds)
    signs = np.random.default_rng(4).integers(2, size=(49, 8)) * 2 - 1
    difference = scores[0] - scores[1]
    as_large = sum(abs(np.mean(row * difference)) >= abs(difference.mean()) for row in signs)
    assert found.p[0] == pytest.approx((1 + as_large) / 50)


def test_a_measure_is_the_same_both_ways_and_empty_with_itself() -> None:
    banks = list(np.random.default_rng(2).normal(size=(3, 6, 4)))
    found = embedding_pairs(banks, permutations=9)
    for measure, values in found.value.items():
        square = found.square(measure)
        assert np.isnan(np.diag(square)).all()
        for a, b, value in zip(found.first, found.second, values, strict=True):
            assert square[a, b] == square[b, a] == value


def test_many_concepts_are_tested_by_a_random_choice_of_them() -> None:
    banks = list(np.random.default_rng(3).normal(size=(3, 12, 5)))
    chosen = np.sort(np.random.default_rng(7).permutation(12)[:6])
    found = embedding_pairs(banks, k=2, permutations=60, most_tested=6, seed=7)
    of_these = embedding_pairs([bank[chosen] for bank in banks], k=2, permutations=60, seed=7)
    assert found.tested == 6
    for measure in found.p:
        np.testing.assert_array_equal(found.p[measure], of_these.p[measure])
