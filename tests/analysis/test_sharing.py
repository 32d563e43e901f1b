import itertools

import numpy as np
import pytest

from net2vec_pl.analysis.sharing import (
    concepts_per_filter,
    expected_sharing,
    filters_for_mass,
    participation_ratio,
)

NAN = np.nan


def test_concepts_per_filter_leave_out_concepts_without_one() -> None:
    best = np.array([-1, 2, 2, 0, -1, 2, 2, 2, 2])
    found = concepts_per_filter(best, 4)
    assert found.n_concepts.tolist() == [1, 0, 6, 0]
    assert found.n_without == 2
    expected = {"0": 0.5, "1": 0.25, "2–5": 0.0, "6–9": 0.25, "10–14": 0, "15–19": 0, "20+": 0}
    assert found.histogram == expected


def test_bins_hold_what_they_say() -> None:
    counts = [0, 1, 2, 5, 6, 9, 10, 14, 15, 19, 20, 500]
    found = concepts_per_filter(np.repeat(np.arange(12), counts), 12).histogram
    shares = [x * 12 for x in found.values()]
    assert shares == pytest.approx([1, 1, 2, 2, 2, 2, 2])


def test_no_concepts_and_unknown_filters() -> None:
    found = concepts_per_filter(np.zeros(0, dtype=np.int64), 3)
    assert found.histogram["0"] == 1
    with pytest.raises(ValueError, match="is 3, of 3 filters"):
        concepts_per_filter(np.array([3]), 3)


def test_filters_per_concept_match_loops() -> None:
    weight = np.random.default_rng(0).normal(size=(30, 12))
    ratio, mass = participation_ratio(weight), filters_for_mass(weight)
    for c, row in enumerate(weight):
        assert ratio[c] == pytest.approx(sum(row**2) ** 2 / sum(row**4))
        fewest = next(n for n in range(1, 13) if sum(sorted(abs(row))[-n:]) >= 0.8 * sum(abs(row)))
        assert mass[c] == fewest


def test_filters_per_concept_at_both_ends() -> None:
    weight = np.array(
        [[0, 1e-200, 0, 0], [3, -3, 3, -3], [0, 0, 0, 0], [NAN, 1, 1, 1]], dtype=float
    )
    np.testing.assert_allclose(participation_ratio(weight), [1, 4, NAN, NAN])
    np.testing.assert_array_equal(filters_for_mass(weight, 0.75), [1, 3, NAN, NAN])
    np.testing.assert_array_equal(filters_for_mass(weight, 1.0), [1, 4, NAN, NAN])
    assert participation_ratio(np.ones((1, 1))).tolist() == [1]
    assert participation_ratio(np.zeros((0, 3))).shape == (0,)


def test_sharing_by_chance_matches_all_choices() -> None:
    num, k = 4, 3
    counts = [np.bincount(c, minlength=k) for c in itertools.product(range(k), repeat=num)]
    expected = [np.mean([(n >= least).sum() for n in counts]) for least in (1, 2)]
    assert expected_sharing(num, k) == pytest.approx(tuple(expected))
    assert expected_sharing(0, k) == pytest.approx((0, 0))
    assert expected_sharing(1, 1) == pytest.approx((1, 0))
    assert expected_sharing(3, 1) == pytest.approx((1, 1))
