import numpy as np
import pytest

from net2vec_pl.analysis.subsets import (
    cumulative_share,
    default_sizes,
    filters_needed,
    mean_curve,
    mean_curves,
    needed_intervals,
    sparsity_answer,
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
    found = filters_needed(scores, sizes, levels=[0.5, 0.75, 1.0])
    expected = [[1, 1, 8, 4, NAN, NAN], [2, 1, 8, 4, NAN, NAN], [4, 1, 8, 4, NAN, NAN]]
    np.testing.assert_array_equal(found.needed, expected)
    assert found.n_excluded == 2
    assert found.levels == (0.5, 0.75, 1.0)


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


def test_intervals_of_filters_needed_match_a_loop_over_the_same_draws() -> None:
    needed = np.array([[1.0, 2, 4, 8, 8, NAN], [2.0, 2, 8, 8, np.inf, NAN]])
    found = needed_intervals(needed, replicates=99, seed=3)
    rng = np.random.default_rng(3)
    drawn = [rng.integers(5, size=5) for _ in range(99)]
    medians = [np.median(needed[0, d]) for d in drawn]
    assert found.n_concepts == 5
    assert found.median.value.tolist() == [4, 8]
    assert found.mean.value.tolist() == [4.6, np.inf]
    assert found.median.low[0] == np.quantile(medians, 0.025, method="nearest")
    assert found.median.high[0] == np.quantile(medians, 0.975, method="nearest")
    assert found.mean.low[0] < 4.6 < found.mean.high[0]
    assert found.mean.high[1] == np.inf


def test_no_concept_needs_no_interval() -> None:
    found = needed_intervals(np.full((2, 3), NAN))
    assert np.isnan(found.mean.array()).all()
    assert found.n_concepts == 0


def test_sparsity_by_hand() -> None:
    nonzero = np.array([[8, 8, 8, 8], [3, 4, 5, 2], [1, 1, 0, 1]])
    scores = np.array([[0.4, 0.4, 0.2, 0.4], [0.35, NAN, 0.1, 0.4], [0.1, 0.39, 0.0, 0.4]])
    full = np.array([0.4, 0.4, 0.4, 0.0])
    found = sparsity_answer(nonzero, scores, full, level=0.8)
    np.testing.assert_array_equal(found.needed, [[3, 1, np.inf, NAN]])
    assert found.n_excluded == 1


def test_sparsity_counts_above_chance() -> None:
    nonzero, full = np.array([[8, 8], [2, 2]]), np.array([0.9, 0.5])
    scores = np.array([[0.9, 0.5], [0.83, 0.5]])
    found = sparsity_answer(nonzero, scores, full, level=0.8, chance=0.5)
    np.testing.assert_array_equal(found.needed, [[2, NAN]])  # 0.82 is enough


def test_bounds_of_filters_needed_are_those_of_the_level() -> None:
    needed = np.random.default_rng(0).integers(1, 500, size=(1, 40)).astype(np.float64)
    found = needed_intervals(needed, replicates=400, level=0.8, seed=3)
    rng = np.random.default_rng(3)
    drawn = [needed[0, rng.integers(40, size=40)] for _ in range(400)]
    for name, of in (("mean", np.mean), ("median", np.median)):
        values = [of(d) for d in drawn]
        bounds = np.quantile(values, [0.1, 0.9], method="nearest")
        assert getattr(found, name).array()[1:, 0].tolist() == pytest.approx(bounds.tolist())
