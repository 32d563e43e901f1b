"""All pairs at once give what each pair gives alone, and what literal loops give."""

import itertools

import numpy as np
import pytest
from scipy import stats
from support import across_oracles as oracles

from net2vec_pl.analysis.across import embedding_pairs
from net2vec_pl.analysis.comparison import compare


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


def test_ties_among_neighbours_are_shared_out_as_they_are_alone() -> None:
    twins = np.repeat(np.eye(4), 3, axis=0)
    other = np.random.default_rng(0).normal(size=(12, 5))
    found = embedding_pairs([twins, other], k=4, permutations=9)
    alone = compare(twins, other, 4, permutations=9)
    assert found.value["overlap"][0] == pytest.approx(alone.overlap.value)
    assert found.chance["overlap"][0] == pytest.approx(3 / 11)
    (value, *_) = oracles.measures(twins, other, 9, k=4)["overlap"]
    assert found.value["overlap"][0] == pytest.approx(value)


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


def test_embeddings_are_compared_as_literal_loops_do() -> None:
    draw = np.random.default_rng(6)
    banks = [draw.normal(size=(7, width)) for width in (4, 6, 3)]
    banks[2] = banks[0][:, :3] + 0.2 * banks[2]
    found = embedding_pairs(banks, k=2)
    assert (found.permutations, found.tested) == (999, 7)
    for t, (a, b) in enumerate(itertools.combinations(range(3), 2)):
        expected = oracles.measures(banks[a], banks[b], 999, k=2)
        for name, told in expected.items():
            mine = [of[name][t] for of in (found.value, found.chance, found.p)]
            assert mine == pytest.approx(told), name
    square = found.square("cka")
    assert np.isnan(np.diag(square)).all()
    assert square[0, 2] == square[2, 0] == found.value["cka"][1]


def test_chance_is_the_mean_over_all_permutations() -> None:
    draw = np.random.default_rng(7)
    a, b = draw.normal(size=(2, 5, 4))
    found = embedding_pairs([a, b], k=2, permutations=9)
    first, second = (w @ w.T / np.outer(*[np.linalg.norm(w, axis=1)] * 2) for w in (a, b))
    for name, form in oracles.forms(2).items():
        one, other = form(first), form(second)
        every = [
            oracles.score(name, one, other[np.ix_(order, order)])
            for order in itertools.permutations(range(5))
        ]
        assert found.chance[name][0] == pytest.approx(np.mean(every)), name


def test_three_concepts_are_compared_by_hand() -> None:
    """Cosines of 12, 13, 23 are 0.6, 0, 0.8 in one embedding and 0.8, 0, 0.6 in the other."""
    a = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    found = embedding_pairs([a, 3 * a[::-1]], k=1)
    assert found.value["distance"][0] == pytest.approx(4 * 0.2**2)  # each pair counts twice
    assert found.value["correlation"][0] == pytest.approx(0.5)  # ranks 2 1 3 and 3 1 2
    assert found.value["overlap"][0] == pytest.approx(2 / 3)  # 2 of 1 and of 3 in both
    (expected,) = [stats.spearmanr([0.6, 0, 0.8], [0.8, 0, 0.6]).statistic]
    assert found.value["correlation"][0] == pytest.approx(expected)


@pytest.mark.parametrize(("count", "expected"), [(2, 999), (10, 999), (20, 250), (50, 99)])
def test_more_embeddings_are_tested_with_fewer_permutations(count: int, expected: int) -> None:
    banks = np.random.default_rng(0).normal(size=(count, 4, 3))
    assert embedding_pairs([*banks]).permutations == expected


def test_embeddings_whose_cosines_are_all_equal_have_a_distance_alone() -> None:
    found = embedding_pairs([np.eye(4), np.random.default_rng(0).normal(size=(4, 4))])
    for name in ("correlation", "cka", "overlap"):
        assert np.isnan([of[name][0] for of in (found.value, found.chance, found.p)]).all()
    assert np.isfinite(found.value["distance"][0])


def test_a_choice_of_concepts_that_are_all_alike_tests_nothing() -> None:
    chosen = np.random.default_rng(0).permutation(8)[:4]  # those that the tests look at
    twins = np.eye(12)[:8]
    twins[np.setdiff1d(np.arange(8), chosen)] = 1.0
    other = np.random.default_rng(1).normal(size=(8, 4))
    found = embedding_pairs([twins, other], most_tested=4)
    assert np.isfinite(found.value["overlap"][0])
    assert np.isnan(found.p["overlap"][0])


def test_many_concepts_are_tested_by_a_random_choice_of_them() -> None:
    banks = list(np.random.default_rng(3).normal(size=(3, 12, 5)))
    chosen = np.sort(np.random.default_rng(7).permutation(12)[:6])
    found = embedding_pairs(banks, k=2, permutations=60, most_tested=6, seed=7)
    of_these = embedding_pairs([bank[chosen] for bank in banks], k=2, permutations=60, seed=7)
    assert found.tested == 6
    for measure in found.p:
        np.testing.assert_array_equal(found.p[measure], of_these.p[measure])
