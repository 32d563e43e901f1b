import numpy as np
import pytest

from net2vec_pl.analysis.subsets import (
    cumulative_share,
    default_sizes,
    filters_needed,
    mean_curve,
    mean_curves,
    needed_spread,
    sparsest,
    top_filters,
)
from net2vec_pl.errors import ConfigError

NAN = np.nan


def test_sizes_of_256_filters_are_the_papers() -> None:
    segmentation = [1, 2, 4, 8, 16, 32, 64, 128, 160, 192, 224, 256]
    assert default_sizes(256, "segmentation") == segmentation
    classification = [1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 80, 100, 128, 256]
    assert default_sizes(256, "classification") == classification


@pytest.mark.parametrize("target", ["segmentation", "classification"])
@pytest.mark.parametrize("k", [1, 2, 20, 64, 128, 192, 255, 257, 512, 832, 2048])
def test_sizes_rise_to_all_filters(k: int, target: str) -> None:
    sizes = default_sizes(k, target)
    assert sizes[-1] == k
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 1
    if target == "segmentation":
        assert len(sizes) <= 12
        assert len(sizes) == 12 or k < 256


def test_an_unknown_target_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'segmentaton'\. Did you mean 'segmentation'"):
        default_sizes(8, "segmentaton")


def test_top_filters_match_a_sort_by_weight_then_index() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, size=(20, 9)).astype(np.float64)  # many ties
    masks = top_filters(weight, [1, 4, 9])
    for c in range(20):
        order = sorted(range(9), key=lambda k: (-abs(weight[c, k]), k))
        for mask, size in zip(masks, [1, 4, 9], strict=True):
            assert set(np.flatnonzero(mask[c]).tolist()) == set(order[:size])


def test_a_row_without_an_embedding_keeps_nothing() -> None:
    weight = np.array([[0.0, 0.0, 0.0], [1.0, NAN, 2.0], [0.0, 0.0, -1.0]])
    assert top_filters(weight, [2]).sum(axis=2).tolist() == [[0, 0, 2]]
    assert top_filters(np.zeros((0, 3)), [2]).shape == (1, 0, 3)


@pytest.mark.parametrize("size", [0, 4, 10])
def test_more_filters_than_there_are_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot keep {size} filters: the layer has 3"):
        top_filters(np.ones((2, 3)), [1, size])


def test_filters_needed_by_hand() -> None:
    sizes = [1, 2, 4, 8]
    scores = np.array(
        # rising, falls again, needs all, a NaN on the way, nothing to reach, no full score
        [
            [0.2, 0.5, 0.0, NAN, 0.0, 0.1],
            [0.3, 0.1, 0.0, NAN, 0.0, 0.1],
            [0.4, 0.3, 0.1, 0.4, 0.0, 0.1],
            [0.4, 0.4, 0.4, 0.4, 0.0, NAN],
        ]
    )
    found = filters_needed(scores, sizes, levels=[0.5, 0.75, 1.0], floor=0.0)
    expected = [[1, 1, 8, 4, NAN, NAN], [2, 1, 8, 4, NAN, NAN], [4, 1, 8, 4, NAN, NAN]]
    np.testing.assert_array_equal(found.needed, expected)
    assert found.n_excluded == 2
    assert found.levels == (0.5, 0.75, 1.0)


def test_what_needs_no_filter_is_no_gain() -> None:
    # A mask of every pixel scores .4 at any size; of two others, one is above that, one is not.
    scores = np.array([[0.4, 0.42, 0.3], [0.4, 0.5, 0.3], [0.4, 0.5, 0.39]])
    floor = np.array([0.4, 0.4, 0.4])
    found = filters_needed(scores, [1, 2, 4], [0.8], floor)
    np.testing.assert_array_equal(found.needed, [[NAN, 2, NAN]])
    assert found.n_excluded == 2
    np.testing.assert_array_equal(filters_needed(scores, [1, 2, 4], [0.8], 0.0).needed, [[1, 1, 4]])
    unknown = filters_needed(scores, [1, 2, 4], [0.8], np.full(3, NAN))
    assert np.isnan(unknown.needed).all()
    assert unknown.n_excluded == 3


def test_filters_needed_match_a_loop_above_chance_and_in_any_order_of_sizes() -> None:
    rng = np.random.default_rng(0)
    sizes, levels, chance = [5, 1, 30, 10], [0.5, 0.8, 0.95, 1.0], 0.5
    scores = rng.uniform(0.4, 1.0, size=(4, 50))
    found = filters_needed(scores, sizes, levels, chance)
    for c in range(50):
        full = scores[2, c]
        for row, level in enumerate(levels):
            expected = float(NAN)
            if full > chance:
                expected = 30.0
                for size in sorted(sizes, reverse=True):
                    if scores[sizes.index(size), c] >= chance + level * (full - chance) - 1e-9:
                        expected = float(size)
            np.testing.assert_equal(found.needed[row, c], expected)
    assert found.n_excluded == (scores[2] <= chance).sum() > 0


def test_cumulative_share_counts_the_unreached_and_not_the_excluded() -> None:
    needed = np.array([[1, 2, 2, 8, np.inf, NAN], [NAN] * 6])
    share = cumulative_share(needed, [1, 2, 4, 8])
    np.testing.assert_allclose(share[0], [0.2, 0.6, 0.6, 0.8])
    assert np.isnan(share[1]).all()


def test_mean_curve_matches_a_loop() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((3, 8))
    scores[0, 2] = scores[1, :7] = NAN
    curve = mean_curve(scores)
    for f in (0, 2):
        finite = [x for x in scores[f] if np.isfinite(x)]
        assert curve.mean[f] == pytest.approx(np.mean(finite))
        assert curve.error[f] == pytest.approx(np.std(finite, ddof=1) / len(finite) ** 0.5)
    assert curve.mean[1] == scores[1, 7]
    assert np.isnan(curve.error[1])
    assert curve.n.tolist() == [7, 1, 8]
    assert np.isnan(mean_curve(np.full((2, 3), NAN)).mean).all()


def test_curves_by_category_take_their_own_concepts() -> None:
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.7]])
    curves = mean_curves(scores, ["part", "object", "part"])
    assert list(curves) == ["part", "object"]
    np.testing.assert_allclose(curves["part"].mean, [0.2, 0.55])
    assert curves["object"].n.tolist() == [1, 1]


def test_the_spread_of_filters_needed_is_that_of_some_concept() -> None:
    needed = np.array([[1.0, 2, 4, 8, 8, NAN], [2.0, 2, 8, np.inf, np.inf, NAN]])
    found = needed_spread(needed)
    assert found.n_concepts == 5
    assert found.median.tolist() == [4, 8]
    assert found.low.tolist() == [2, 2]
    assert found.high.tolist() == [8, np.inf]
    assert found.text(0) == "4 (middle half of the concepts: 2 to 8)"


def test_no_concept_has_no_spread() -> None:
    found = needed_spread(np.full((2, 3), NAN))
    assert np.isnan([found.median, found.low, found.high]).all()
    assert found.n_concepts == 0


def test_sparsest_by_hand() -> None:
    nonzero = np.array([[1, 1, 0, 1, 2], [3, 4, 5, 2, 2], [8, 8, 8, 8, 8]])
    scores = np.array(
        [[0.1, 0.39, 0.0, 0.4, 0.4], [0.35, NAN, 0.1, 0.4, 0.4], [0.4, 0.4, 0.2, 0.4, 0.1]]
    )
    full = np.array([0.4, 0.4, 0.4, 0.0, 0.4])
    found = sparsest(nonzero, scores, full, 0.8, 0.0)
    assert found.point.tolist() == [1, 0, -1, -1, 0]  # of two equals, the stronger penalty
    np.testing.assert_array_equal(found.filters, [3, 1, np.inf, NAN, 2])
    np.testing.assert_array_equal(found.at_least, [3, 1, 8, NAN, 2])


def test_sparsest_counts_above_the_floor_of_each_concept() -> None:
    nonzero, full = np.array([[2, 2, 2], [8, 8, 8]]), np.array([0.9, 0.5, 0.9])
    scores, floor = np.array([[0.83, 0.5, 0.83], [0.9, 0.5, 0.9]]), np.array([0.5, 0.5, 0.7])
    found = sparsest(nonzero, scores, full, 0.8, floor)  # goals 0.82, none, 0.86
    np.testing.assert_array_equal(found.filters, [2, NAN, 8])


def test_sparsest_matches_a_loop() -> None:
    rng = np.random.default_rng(0)
    nonzero = rng.integers(0, 9, size=(4, 60))
    scores, full, floor = rng.random((4, 60)), rng.random(60), rng.random(60) * 0.5
    found = sparsest(nonzero, scores, full, 0.8, floor)
    for c in range(60):
        enough = [
            int(nonzero[p, c])
            for p in range(4)
            if scores[p, c] >= floor[c] + 0.8 * (full[c] - floor[c])
        ]
        if full[c] <= floor[c]:
            assert np.isnan(found.filters[c])
            continue
        assert found.filters[c] == min(enough, default=np.inf)
        assert found.at_least[c] == min(enough, default=nonzero[:, c].max())
        assert (found.point[c] >= 0) == bool(enough)
