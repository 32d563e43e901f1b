"""Scores of images, images at percentiles of them, and how scores find a concept."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from net2vec_pl.analysis.examples import choose, image_scores, retrieval, score_histogram
from net2vec_pl.errors import ConfigError

SCORES = st.lists(st.sampled_from([0.0, -1.5, 0.25, 1.0, 2.0, 7.0]), max_size=30)


def array(values: list[float]) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def slow_score(maps: torch.Tensor, w: torch.Tensor, reduce: str) -> float:
    length = sum(float(v) ** 2 for v in w) ** 0.5
    places = [
        sum(float(w[k]) / length * float(maps[k, i, j]) for k in range(len(w)))
        for i, j in itertools.product(range(maps.shape[1]), range(maps.shape[2]))
    ]
    return float(max(places) if reduce == "max" else sum(places) / len(places))


# -------------------- scores


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_scores_are_those_of_loops_over_positions_and_filters(reduce: str) -> None:
    chance = torch.Generator().manual_seed(0)
    activation = torch.randn(4, 5, 3, 2, generator=chance)
    directions = 10 * torch.randn(3, 5, generator=chance)
    found = image_scores(activation, directions, reduce)
    for n, d in itertools.product(range(4), range(3)):
        expected = slow_score(activation[n], directions[d], reduce)
        assert found[n, d].item() == pytest.approx(expected, rel=1e-4)


def test_a_one_hot_direction_scores_by_the_largest_response_of_its_filter() -> None:
    activation = torch.randn(3, 4, 5, 5)
    assert torch.equal(image_scores(activation, torch.eye(4)), activation.amax((2, 3)))


def test_the_length_of_an_embedding_does_not_count() -> None:
    activation, w = torch.randn(3, 4, 5, 5), torch.randn(2, 4)
    torch.testing.assert_close(image_scores(activation, w), image_scores(activation, 300 * w))


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_a_direction_without_length_scores_nothing_and_spoils_no_other(reduce: str) -> None:
    directions = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [1.0, 0.0]])
    scores = image_scores(torch.ones(2, 2, 1, 1), directions, reduce)
    assert scores[:, :2].isnan().all()
    assert (scores[:, 2] == 1).all()


def test_no_images_have_no_scores() -> None:
    assert image_scores(torch.zeros(0, 4, 2, 2), torch.eye(4)).shape == (0, 4)


def test_another_way_to_reduce_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'maxx'. Did you mean 'max'"):
        image_scores(torch.zeros(1, 2, 1, 1), torch.eye(2), "maxx")


# -------------------- images at percentiles


def test_percentiles_of_eleven_scores_are_the_eleven_images_in_order() -> None:
    scores = array([5, 1, 9, 3, 0, 7, 2, 10, 4, 8, 6, 11])
    choice = choose(scores)
    assert scores[choice.image].tolist() == list(range(1, 12))
    assert choice.percentile.tolist() == list(range(0, 101, 10))
    assert choice.silent == 1


def test_percentiles_of_many_scores_are_numpys_nearest() -> None:
    scores = np.random.default_rng(0).normal(size=1001)
    choice = choose(scores, (10, 25, 99.9, 100))
    expected = np.percentile(scores, [10, 25, 99.9, 100], method="nearest")
    np.testing.assert_array_equal(choice.score, expected)


def test_zeros_are_silent_and_missing_scores_are_counted() -> None:
    choice = choose(array([0, 0, np.nan, 4, -2, np.inf, 0]), (0, 100))
    assert choice.image.tolist() == [4, 3]
    assert (choice.silent, choice.unscored) == (3, 2)


def test_percentiles_that_fall_on_one_image_take_its_neighbours() -> None:
    choice = choose(np.arange(1.0, 5), (99, 100))
    assert choice.score.tolist() == [3, 4]
    assert choice.percentile.tolist() == [99, 100]


def test_fewer_images_than_percentiles_are_all_shown_once_where_they_belong() -> None:
    choice = choose(array([3, 1, 2]))
    assert choice.score.tolist() == [1, 2, 3]
    assert choice.percentile.tolist() == [0, 50, 100]
    assert choose(array([2.0])).image.tolist() == [0]


@pytest.mark.parametrize("scores", [[], [0, 0], [np.nan]])
def test_nothing_to_choose_from_gives_nothing(scores: list[float]) -> None:
    choice = choose(array(scores))
    assert len(choice.image) == len(choice.percentile) == len(choice.score) == 0
    assert choice.silent + choice.unscored == len(scores)


def test_equal_scores_are_taken_in_the_order_given() -> None:
    assert choose(np.ones(11)).image.tolist() == list(range(11))


@given(values=SCORES, percentiles=st.lists(st.floats(0, 100), max_size=12))
def test_no_image_serves_twice_and_order_is_that_of_scores(
    values: list[float], percentiles: list[float]
) -> None:
    scores = array(values)
    choice = choose(scores, percentiles)
    assert len(set(choice.image.tolist())) == len(choice.image)
    assert len(choice.image) == min(len(percentiles), int((scores != 0).sum()))
    assert (np.diff(choice.score) >= 0).all()
    np.testing.assert_array_equal(scores[choice.image], choice.score)


def test_a_percentile_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 100"):
        choose(np.ones(3), (50, 101))


# -------------------- histograms


@given(values=SCORES, bins=st.integers(1, 9), seed=st.integers(0, 9))
def test_every_image_is_in_one_bin_of_one_histogram(
    values: list[float], bins: int, seed: int
) -> None:
    scores = array([*values, np.nan])
    present = np.random.default_rng(seed).random(len(scores)) < 0.5
    histogram = score_histogram(scores, present, bins)
    assert histogram.unscored == 1
    assert histogram.present.sum() == present[:-1].sum()
    assert histogram.absent.sum() == (~present[:-1]).sum()
    assert len(histogram.edges) == bins + 1


def test_a_histogram_by_hand() -> None:
    scores = array([0, 0, 1, 2, 3, 4])
    present = np.array([False, False, True, False, True, True])
    histogram = score_histogram(scores, present, 2)
    assert histogram.edges.tolist() == [0, 2, 4]
    assert histogram.present.tolist() == [1, 2]
    assert histogram.absent.tolist() == [2, 1]


@pytest.mark.parametrize(
    "values", [[], [np.nan], [3, 3, 3], [0.0, 5e-324], [1e20, 1e20], [1.0, 1 + 2e-16]]
)
def test_scores_that_hardly_differ_still_have_a_histogram(values: list[float]) -> None:
    scores = array(values)
    histogram = score_histogram(scores, np.ones(len(scores), dtype=np.bool_))
    assert histogram.present.sum() == np.isfinite(scores).sum()
    assert (np.diff(histogram.edges) > 0).all()


# -------------------- finding the concept


def test_found_without_ties_is_the_count_along_the_ranking() -> None:
    rng = np.random.default_rng(0)
    scores, present = rng.normal(size=50), rng.random(50) < 0.3
    result = retrieval(scores, present)
    for k in range(1, 51):
        best = sorted(range(50), key=lambda i: -scores[i])[:k]
        assert result.found[k - 1] == pytest.approx(present[best].sum())
    assert result.recall[-1] == 1


def test_found_with_ties_is_the_mean_over_all_orders() -> None:
    scores, present = array([2, 1, 1, 1, 0]), np.array([False, True, True, False, True])
    expected = np.zeros(5)
    orders = [o for o in itertools.permutations(range(5)) if (np.diff(scores[list(o)]) <= 0).all()]
    for order in orders:
        expected += np.cumsum(present[list(order)]) / len(orders)
    np.testing.assert_allclose(retrieval(scores, present).found, expected)


@given(values=SCORES, seed=st.integers(0, 99))
def test_the_order_of_the_images_does_not_count(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = array(values)
    present = rng.random(len(scores)) < 0.5
    order = rng.permutation(len(scores))
    one, other = retrieval(scores, present), retrieval(scores[order], present[order])
    np.testing.assert_allclose(one.found, other.found, atol=1e-9)
    assert one.status == other.status
    assert one.auc == pytest.approx(other.auc, nan_ok=True)


def test_the_area_is_the_chance_that_the_concept_scores_higher() -> None:
    scores, present = array([3, 2, 2, 1, 0]), np.array([True, False, True, False, True])
    wins = [
        (a > b) + (a == b) / 2 for a in scores[present].tolist() for b in scores[~present].tolist()
    ]
    result = retrieval(scores, present)
    assert result.auc == pytest.approx(np.mean(wins)) == roc_auc_score(present, scores)
    assert result.status == "ok"
    assert result.positives == 3


@pytest.mark.parametrize(
    ("scores", "present", "reason"),
    [
        ([1, 2], [False, False], "no image with the concept"),
        ([], [], "no image with the concept"),
        ([1, 2], [True, True], "no image without the concept"),
        ([2, 2], [True, False], "all images score the same"),
        ([1, np.nan], [True, False], "1 of 2 images have no finite score"),
    ],
)
def test_an_area_that_means_nothing_has_a_reason(
    scores: list[float], present: list[bool], reason: str
) -> None:
    result = retrieval(array(scores), np.array(present, dtype=np.bool_))
    assert np.isnan(result.auc)
    assert result.status == reason
    assert len(result.found) == len(scores)


def test_constant_scores_find_as_chance_does_and_missing_ones_nothing() -> None:
    present = np.array([True, False, False, True])
    np.testing.assert_allclose(retrieval(np.ones(4), present).recall, [0.25, 0.5, 0.75, 1])
    assert np.isnan(retrieval(array([1, np.nan, 0, 0]), present).found).all()
    assert np.isnan(retrieval(np.ones(4), np.zeros(4, dtype=np.bool_)).recall).all()
