from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.figures.sharing import concepts_per_filter, failure_scatter, overlap_with_chance
from net2vec_pl.figures.style import save_figure
from net2vec_pl.figures.subsets import cumulative_filters, filter_curve

SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 160, 192, 224, 256]
Array = np.ndarray[Any, Any]


def labels(figure: Figure, panel: int = 0) -> list[str]:
    return figure.axes[panel].get_legend_handles_labels()[1]


def drawn(figure: Figure, folder: Path) -> Figure:
    save_figure(figure, folder, "figure")
    assert (folder / "figure.png").stat().st_size > 1000
    return figure


def curve(height: float, n: int = len(SIZES)) -> Array:
    return np.stack([np.linspace(0, height, n), np.full(n, 0.01)])


def intervals(gain: Array) -> tuple[Array, Array]:
    single = np.full(len(gain), 0.3)
    return tuple(np.stack([v, v - 0.02, v + 0.05]) for v in (single + gain, single))  # type: ignore[return-value]


@pytest.mark.parametrize(("num", "rows"), [(0, 0), (1, 1), (5, 5), (1200, 30)])
def test_the_largest_gains_and_losses_are_drawn_in_order(
    num: int, rows: int, tmp_path: Path
) -> None:
    gain = np.random.default_rng(0).uniform(-0.2, 0.2, num)
    names = [f"concept {i}" for i in range(num)]
    axes = drawn(gain_intervals(names, *intervals(gain)), tmp_path).axes[0]
    largest = sorted(range(num), key=lambda i: -abs(gain[i]))[:30]
    expected = [names[i] for i in sorted(largest, key=lambda i: gain[i])]
    assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert len(expected) == rows
    counted = "30 largest differences of 1200" if num > 30 else f"All {num} concepts"
    assert counted in axes.get_title(loc="left")


def test_concepts_without_a_score_are_counted_and_long_names_cut() -> None:
    several, single = intervals(np.array([0.1, 0.2, -0.1]))
    single[:, 1] = several[1:, 2] = np.nan  # no filter; no interval
    axes = gain_intervals(["a" * 60, "b", "c"], several, single).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["c", "a" * 23 + "…"]
    assert "1 not scored" in axes.get_title(loc="left")


def test_bounds_are_drawn_where_they_lie() -> None:
    axes = gain_intervals(["a"], *intervals(np.array([0.1]))).axes[0]
    ends = [bar.get_segments()[0][:, 0] for bar in axes.collections]  # type: ignore[attr-defined]
    np.testing.assert_allclose(ends, [[0.38, 0.45], [0.28, 0.35]])


def test_curves_stand_side_by_side_with_chance(tmp_path: Path) -> None:
    categories = {"object": curve(0.2), "part": curve(0.1)}
    figure = filter_curve(SIZES, curve(0.2), curve(0.1), categories, "accuracy on val", 0.5)
    drawn(figure, tmp_path)
    assert labels(figure, 0) == ["chance", "retrained", "masked only"]
    assert labels(figure, 1) == ["chance", "object", "part"]
    ticks = [int(t.get_text()) for t in figure.axes[0].get_xticklabels()]
    assert ticks[0] == 256
    assert min(ticks) == 1
    without = filter_curve(SIZES, curve(0.2), None, {})
    assert labels(without, 0) == ["retrained"]
    assert labels(without, 1) == []


def test_every_level_has_its_line(tmp_path: Path) -> None:
    share = np.stack([np.linspace(0, 1, len(SIZES)) ** p for p in (1, 2)])
    figure = drawn(cumulative_filters(SIZES, share, [0.8, 0.9]), tmp_path)
    assert labels(figure) == ["80%", "90%"]
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), share[1])


def test_every_layer_has_a_bar_in_every_bin(tmp_path: Path) -> None:
    bins = {"0": 0.25, "1": 0.5, "2–5": 0.25}
    axes = drawn(concepts_per_filter({"conv4": bins, "conv5": bins}), tmp_path).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.25, 0.5, 0.25] * 2  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(bins)
    assert axes.get_legend() is not None
    assert concepts_per_filter({"conv5": bins}).axes[0].get_legend() is None


def test_overlap_stands_beside_chance(tmp_path: Path) -> None:
    pairs, chance = np.array([0.5, 0.4, 0.1, 0.0]), np.array([0.9, 0.09, 0.01, 0.0])
    figure = drawn(overlap_with_chance(pairs, chance, mean=0.6), tmp_path)
    assert sorted(labels(figure)) == [
        "chance, given the filters' popularity",
        "concepts, mean 0.60",
    ]
    assert len(figure.axes[0].patches) == 4
    drawn(overlap_with_chance(np.full(4, np.nan), chance, np.nan), tmp_path)


def test_failures_have_their_colour_and_the_missing_are_counted(tmp_path: Path) -> None:
    gain = np.array([0.1, -0.1, np.nan, 0.0, 0.2])
    n_train = np.array([10, 100, 1000, 10, 0])
    figure = drawn(failure_scatter(n_train, gain, np.full(5, 0.1)), tmp_path)
    assert labels(figure) == ["combination at least as good (2)", "single better (1)"]
    assert "2 not scored" in figure.axes[0].get_title(loc="left")
    drawn(failure_scatter(n_train[:0], gain[:0], gain[:0]), tmp_path)
