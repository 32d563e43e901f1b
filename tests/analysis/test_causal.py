"""Intervals over images and places among random directions: oracles and simulated truth."""

import numpy as np
import pytest
from scipy import stats
from simulated.causal import CASES, level_of_ablation, level_of_slopes

from net2vec_pl.analysis.causal import image_means, over_images, per_dose, placed

_COVERAGES = [name for name in CASES if name.startswith("coverage")]


@pytest.mark.parametrize("name", _COVERAGES)
def test_intervals_hold_the_mean_of_normal_and_of_skewed_changes(name: str) -> None:
    assert 0.9 <= CASES[name](500) <= 0.97


def test_random_directions_are_rarely_told_from_random_directions() -> None:
    exact = 2 / 51  # of p <= .05 where p comes in steps of 1/51
    assert level_of_slopes(1000) == pytest.approx(exact, abs=0.02)
    assert level_of_ablation(300) == pytest.approx(exact, abs=0.03)


def test_an_interval_is_a_students_t_bent_by_the_skewness_of_the_images() -> None:
    rng = np.random.default_rng(3)
    values = rng.lognormal(size=15)
    found = over_images(values[:, None])
    n, mean = len(values), values.mean()
    z = (values - mean) / values.std()
    h = np.sqrt(n * (n - 1)) / (n - 2) * (z**3).mean() / np.sqrt(n)
    error = values.std(ddof=1) / np.sqrt(n)
    normal = min(n - 1, 2 * n / ((z**4).mean() - 1))

    def bent(bound: float) -> float:
        t = (mean - bound) / error
        return float(t + h * t**2 / 3 + h**2 * t**3 / 27 + h / 6)

    quantile = stats.t.ppf(0.975, normal)
    assert bent(float(found.low)) == pytest.approx(quantile)
    assert bent(float(found.high)) == pytest.approx(-quantile)
    assert found.high - found.value > found.value - found.low


def test_the_interval_of_images_in_groups_is_that_of_the_groups() -> None:
    rng, groups = np.random.default_rng(4), np.repeat([3, 1, 2, 0], 5)
    level = rng.normal(size=4)
    of_images = level[groups] + rng.normal(size=20)
    alone, grouped = over_images(of_images[:, None]), over_images(of_images[:, None], groups)
    means = np.array([of_images[groups == g].mean() for g in range(4)])
    assert grouped.value == alone.value == pytest.approx(means.mean())
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    order = rng.permutation(20)
    again = over_images(of_images[order, None], groups[order])
    np.testing.assert_allclose(again.array(), grouped.array())


def test_below_three_groups_there_is_no_interval() -> None:
    values, groups = np.arange(12.0)[:, None], np.arange(12) % 2
    assert np.isnan(over_images(values, groups).array()[1:]).all()
    assert np.isfinite(over_images(values, np.arange(12) % 3).array()).all()


def test_a_mean_over_concepts_is_that_of_their_means() -> None:
    values = np.full((20, 2), np.nan)
    values[:, 0], values[10:, 1] = np.arange(20), np.arange(10) ** 2
    found = over_images(values)
    assert found.value == pytest.approx((9.5 + 28.5) / 2)
    assert found.low < found.value < found.high


def test_nine_images_have_no_interval_and_ten_have_one() -> None:
    values = np.arange(10.0)[:, None]
    assert np.isnan(over_images(values[:9]).array()[1:]).all()
    assert np.isfinite(over_images(values).array()).all()


def test_nothing_has_no_mean_and_what_never_differs_no_width() -> None:
    assert np.isnan(over_images(np.full((12, 1), np.nan)).array()).all()
    assert over_images(np.full((12, 1), 2.0)).array().tolist() == [2, 2, 2]


def test_means_are_over_the_images_that_have_a_value() -> None:
    found = image_means(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]))
    assert found[0] == 2
    assert np.isnan(found[1])


def test_the_place_among_random_ones_is_uniform_and_never_below_its_floor() -> None:
    rng = np.random.default_rng(1)
    p = np.array([placed(rng.normal(), rng.normal(size=50)) for _ in range(2000)])
    assert 0.03 <= (p <= 0.05).mean() <= 0.06
    assert placed(9.0, rng.normal(size=50)) == 1 / 51
    assert np.isnan(placed(np.nan, np.zeros(3)))


def test_a_line_through_the_origin_is_fitted_by_least_squares() -> None:
    rises, doses = np.random.default_rng(2).normal(size=(3, 4)), [1.0, 2.0, 4.0]
    fit = np.linalg.lstsq(np.array(doses)[:, None], rises, rcond=None)[0][0]
    np.testing.assert_allclose(per_dose(rises, doses), fit)
