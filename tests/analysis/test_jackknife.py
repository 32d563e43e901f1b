"""Intervals by the jackknife: the formula, its edges, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.jackknifed import jackknifed

from net2vec_pl.analysis.jackknife import NOTHING, jackknife


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 9)), min_size=3, max_size=20),
    st.floats(0.5, 0.99),
    st.booleans(),
)
def test_it_is_what_a_loop_gives(
    units: list[tuple[float, float]], level: float, skewed: bool
) -> None:
    values, weights = (np.array(column) for column in zip(*units, strict=True))
    total = (values * weights).sum()
    without = (total - values * weights) / (weights.sum() - weights)
    mean = np.array(total / weights.sum())
    found = jackknife(mean, without, weights, level, least=3, skewed=skewed)
    expected = jackknifed(float(mean), without.tolist(), weights.tolist(), level, skewed=skewed)
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-5, atol=1e-7)


def test_of_even_units_it_is_nearly_students_interval() -> None:
    values = stats.norm.ppf((np.arange(25) + 0.5) / 25)
    without = (values.sum() - values) / 24
    found = jackknife(np.array(values.mean()), without)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    np.testing.assert_allclose([found.low, found.high], expected, rtol=0.01)


def test_units_that_an_estimate_does_not_have_do_not_count() -> None:
    rng = np.random.default_rng(1)
    without = rng.random((12, 2))
    without[2:, 1] = np.nan
    value = np.array([0.5, 0.5])
    found = jackknife(value, without)
    alone = jackknife(value[:1], without[:, :1])
    assert found.low[0] == alone.low[0]
    assert np.isnan(found.low[1])  # two units
    two = jackknife(value, without, least=2)
    expected = jackknife(value[1:], without[:2, 1:], least=2)
    assert two.high[1] == expected.high[0]


def test_a_share_stays_a_share() -> None:
    hits = np.zeros(12)
    hits[0] = 1.0
    without = (hits.sum() - hits) / 11
    found = jackknife(np.array(hits.mean()), without, share=True)
    assert 0 < found.low < hits.mean() < found.high < 1
    plain = jackknife(np.array(hits.mean()), without)
    assert plain.low < 0
    for whole in (0.0, 1.0):
        same = jackknife(np.array(whole), np.full(12, whole), share=True)
        assert same.array().tolist() == [whole] * 3


def test_a_few_large_units_widen_an_interval() -> None:
    rng = np.random.default_rng(2)
    without = 0.5 + 0.01 * rng.normal(size=20)
    weight = np.ones(20)
    weight[0] = 30.0
    narrow, wide = (jackknife(np.array(0.5), without, w) for w in (None, weight))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_no_unit_at_all_gives_no_bounds() -> None:
    found = jackknife(np.array([0.3]), np.zeros((0, 1)))
    assert found.value.tolist() == [0.3]
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(NOTHING.array()).all()


@pytest.mark.parametrize("n", [10, 30])
def test_it_holds_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, 4000))
    without = (values.sum(0) - values) / (n - 1)
    found = jackknife(values.mean(0), without, level=0.9)
    assert np.mean((found.low <= 0) & (found.high >= 0)) == pytest.approx(0.9, abs=0.015)
