"""Intervals over images and places among random directions: oracles and simulated truth."""

import numpy as np
import pytest

from net2vec_pl.analysis.causal import image_draws, image_means, over_images, per_dose, placed


@pytest.mark.parametrize("n", [12, 40])
def test_intervals_cover_the_mean_of_normal_and_of_skewed_changes(n: int) -> None:
    rng, runs = np.random.default_rng(0), 300
    for draw, mean, least in ((rng.normal, 0.0, 0.92), (rng.exponential, 1.0, 0.86)):
        covered = 0
        for seed in range(runs):
            found = over_images(draw(size=(n, 1)), 1000, seed=seed)
            covered += bool(found.low <= mean <= found.high)
        assert least <= covered / runs <= 0.98


def test_a_mean_over_concepts_is_that_of_their_means() -> None:
    values = np.full((20, 2), np.nan)
    values[:, 0], values[10:, 1] = np.arange(20), 5.0
    found = over_images(values)
    assert found.value == pytest.approx((9.5 + 5.0) / 2)
    assert found.low < found.value < found.high


def test_nine_images_have_no_interval_and_ten_have_one() -> None:
    values = np.arange(10.0)[:, None]
    assert np.isnan(over_images(values[:9]).array()[1:]).all()
    assert np.isfinite(over_images(values).array()).all()


def test_nothing_has_no_mean() -> None:
    assert np.isnan(over_images(np.full((12, 1), np.nan)).array()).all()


def test_every_resample_has_as_many_images() -> None:
    assert (image_draws(7, 50, 0).sum(1) == 7).all()


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
