"""Figures of filters, intervals and embeddings draw the right numbers under the right names."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from scipy.cluster.hierarchy import linkage

from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.figures.sharing import concepts_per_filter, failure_scatter, overlap_with_chance
from net2vec_pl.figures.space import (
    category_figure,
    comparison_figure,
    dendrogram_figure,
    map_figure,
    similarity_figure,
)
from net2vec_pl.figures.subsets import cumulative_filters, filter_curve

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#888888"
Array = np.ndarray[Any, Any]


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def colour(artist: Any) -> str:
    (found,) = {to_hex(c) for c in np.atleast_2d(artist.get_facecolor())}
    return found


def error_bars(figure: Figure, panel: int = 0) -> dict[str, tuple[str, Array, Array, Array]]:
    """Colour, x, y and ends of the bars of every series, by its name."""
    series = {}
    for bars in figure.axes[panel].containers:
        if isinstance(bars, ErrorbarContainer):
            line, _, (lines,) = bars.lines
            ends = np.array(lines.get_segments())
            series[str(bars.get_label())] = (
                to_hex(line.get_color()),
                np.asarray(line.get_xdata()),
                np.asarray(line.get_ydata()),
                ends,
            )
    return series


# -------------------- several filters and one


def test_both_methods_have_their_colour_row_and_bounds() -> None:
    several = np.array([[0.5, 0.2, np.nan, 0.6], [0.4, 0.1, np.nan, 0.5], [0.7, 0.5, np.nan, 0.8]])
    single = np.array([[0.3, 0.4, 0.1, 0.5], [0.2, 0.3, 0.0, 0.1], [0.35, 0.7, 0.2, 0.6]])
    figure = gain_intervals(["a", "b", "c", "d"], several, single, shown=2)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "The 2 largest differences of 3 concepts; 1 not scored"
    assert texts(axes.get_yticklabels()) == ["b", "a"]
    series = error_bars(figure)
    assert list(series) == ["combination", "best single filter"]
    for (found, x, y, ends), scores, wanted, side in zip(
        series.values(), (several, single), (BLUE, ORANGE), (0.14, -0.14), strict=True
    ):
        assert found == wanted
        np.testing.assert_allclose(x, scores[0, [1, 0]])
        np.testing.assert_allclose(y, np.arange(2) + side)
        np.testing.assert_allclose(ends[:, :, 0], scores[1:, [1, 0]].T)


def test_curves_of_filters_have_their_means_errors_and_panels() -> None:
    sizes = [1, 2, 4, 8]
    retrained = np.array([[0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]])
    masked = retrained / 2
    kinds = {"part": retrained / 3, "object": retrained / 4}
    figure = filter_curve(sizes, retrained, masked, kinds, "accuracy on val", 0.3)
    left = {"retrained": (retrained, BLUE), "masked only": (masked, ORANGE)}
    right = {"part": (kinds["part"], BLUE), "object": (kinds["object"], ORANGE)}
    titles = ("all concepts", "by category, retrained")
    for panel, (expected, title) in enumerate(zip((left, right), titles, strict=True)):
        axes, series = figure.axes[panel], error_bars(figure, panel)
        assert list(series) == list(expected)
        for name, (curve, wanted) in expected.items():
            found, x, y, ends = series[name]
            assert found == wanted
            np.testing.assert_array_equal(x, sizes)
            np.testing.assert_allclose(y, curve[0])
            np.testing.assert_allclose(
                ends[:, :, 1], np.stack([curve[0] - curve[1], curve[0] + curve[1]], 1)
            )
        (guess,) = [line for line in axes.lines if line.get_label() == "chance"]
        assert list(guess.get_ydata()) == [0.3, 0.3]  # type: ignore[arg-type]
        assert axes.get_title(loc="left") == title
        assert axes.get_ylabel() == "mean accuracy on val"
        assert axes.get_xscale() == "log"
        assert dict(zip(axes.get_xticks(), texts(axes.get_xticklabels()), strict=True)) == {
            size: str(size) for size in sizes
        }


def test_shares_of_concepts_are_percents_of_their_level() -> None:
    share = np.array([[0.1, 0.5, 1.0], [0.0, 0.25, 1.0]])
    (axes,) = cumulative_filters([1, 2, 4], share, [0.5, 0.8]).axes
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines) == ["50%", "80%"]
    for line, row, wanted in zip(lines.values(), share, (BLUE, ORANGE), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 4])
        assert to_hex(line.get_color()) == wanted
    assert axes.yaxis.get_major_formatter()(0.25) == "25%"


# -------------------- shared filters


def test_layers_stand_side_by_side_in_their_colours() -> None:
    shares = {"conv4": {"0": 0.25, "1": 0.75}, "conv5": {"0": 0.5, "1": 0.5}}
    (axes,) = concepts_per_filter(shares).axes
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches]  # type: ignore[attr-defined]
    np.testing.assert_allclose(bars, [(-0.2, 0.25), (0.8, 0.75), (0.2, 0.5), (1.2, 0.5)])
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [BLUE, BLUE, ORANGE, ORANGE]
    legend = axes.get_legend()
    assert legend is not None
    assert texts(legend.get_texts()) == ["conv4", "conv5"]


def test_filters_in_common_are_bars_and_chance_is_a_line() -> None:
    pairs, chance = np.array([0.5, 0.4, 0.0, 0.1]), np.array([0.9, 0.09, 0.01, 0.0])
    (axes,) = overlap_with_chance(pairs, chance, mean=0.6).axes
    assert [bar.get_height() for bar in axes.patches] == pairs.tolist()  # type: ignore[attr-defined]
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {BLUE}
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])  # of what chance never gives, none
    np.testing.assert_array_equal(line.get_ydata(), chance[:3])
    handles, names = axes.get_legend_handles_labels()
    label = "chance, given the filters' popularity"
    assert dict(zip(names, map(type, handles), strict=True))[label] is type(line)
    assert set(names) == {label, "concepts, mean 0.60"}
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "filters in common, of 3 each"


def test_failures_lie_where_their_numbers_say_as_large_as_their_concept() -> None:
    gain, n_train = np.array([0.1, -0.2, 0.0, np.nan]), np.array([10, 100, 1000, 5])
    size = np.array([0.5, 0.04, 0.001, 0.1])
    (axes,) = failure_scatter(n_train, gain, size).axes
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("train images", "gain in set IoU on val")
    assert axes.get_title(loc="left") == "area: mean share of a picture; 1 not scored"
    for points, mine, label, wanted in zip(
        axes.collections,
        ([0, 2], [1]),
        ("combination at least as good (2)", "single better (1)"),
        (BLUE, ORANGE),
        strict=True,
    ):
        offsets = np.stack([n_train[mine], gain[mine]], 1)
        np.testing.assert_allclose(np.asarray(points.get_offsets()), offsets)
        np.testing.assert_allclose(points.get_sizes(), np.maximum(500 * size[mine], 4))  # type: ignore[attr-defined]
        assert points.get_label() == label
        assert colour(points) == wanted


# -------------------- the space of embeddings


def test_a_map_puts_every_name_and_colour_at_its_point() -> None:
    position = np.array([[np.nan, np.nan], [0.0, 1.0], [2.0, 0.0], [1.0, 5.0], [3.0, 3.0]])
    names, kinds = ["a", "b", "c", "d", "e"], ["part", "part", "object", "color", "object"]
    (axes,) = map_figure(position, names, kinds, "t-SNE").axes
    groups = {"part (1)": [1], "object (2)": [2, 4], "color (1)": [3]}
    assert [points.get_label() for points in axes.collections] == list(groups)
    for points, mine, wanted in zip(
        axes.collections, groups.values(), (BLUE, ORANGE, GREEN), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(points.get_offsets()), position[mine])
        assert colour(points) == wanted
    named = {t.get_text(): t.xy for t in axes.texts if isinstance(t, Annotation)}
    assert named == {names[c]: tuple(position[c]) for c in range(1, 5)}
    assert axes.get_title() == "4 concepts (1 without a place left out): t-SNE"


def test_similar_is_red_and_opposite_blue() -> None:
    cosine = np.array([[1.0, 0.2, -0.9], [0.2, 1.0, 0.1], [-0.9, 0.1, 1.0]])
    axes = similarity_figure(cosine, np.array([1, 2, 0]), ["a", "b", "c"]).axes[0]
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == ["b", "c", "a"]
    (image,) = axes.images
    assert image.get_clim() == (-1, 1)
    red, _, blue, _ = image.cmap(1.0)
    assert red > blue


def test_a_branch_of_a_large_tree_bears_the_name_of_its_first_concept() -> None:
    at = np.arange(81.0)
    places = np.append(1.5 * at + 0.01 * at**2, 1.5 * 7 + 0.01 * 49 + 0.1)  # 81 is the twin of 7
    merges = linkage(places[:, None], "single")
    (axes,) = dendrogram_figure(merges, [f"concept {c}" for c in range(82)]).axes
    labels = {text for text in texts(axes.get_yticklabels()) if " and " in text}
    assert labels == {"concept 7 and 1 more", "concept 0 and 1 more"}
    assert axes.get_xlabel() == "1 - cosine"


def test_shares_of_categories_stand_at_their_row_and_column() -> None:
    share, chance = np.array([[0.7, 0.3], [0.1, 0.9]]), np.array([[0.4, 0.6], [0.2, 0.8]])
    axes = category_figure(share, chance, ["object", "part"], np.array([5, 3]), 4).axes[0]
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), share)
    assert {t.get_position(): t.get_text() for t in axes.texts} == {
        (j, i): f"{share[i, j]:.2f}\n({chance[i, j]:.2f})" for i, j in np.ndindex(2, 2)
    }
    assert texts(axes.get_xticklabels()) == ["object", "part"]
    assert texts(axes.get_yticklabels()) == ["object (5)", "part (3)"]
    assert axes.get_xlabel() == "category of the neighbour"
    assert axes.get_ylabel() == "category of the concept (concepts)"
    assert axes.get_title() == "The 4 nearest concepts; in brackets, chance"


@pytest.mark.parametrize("panel", [0, 1])
def test_the_first_comparison_is_on_top_with_its_own_chance_and_p(panel: int) -> None:
    value, chance = np.array([[0.5, 0.8], [0.25, -0.2]]), np.array([[0.3, 0.1], [0.2, 0.05]])
    p = [["p <= 0.01", "p = 0.02"], ["p = 0.3", "p = 0.9"]]
    figure = comparison_figure(value, chance, p, ["one", "two"], ["overlap", "CKA"])
    axes = figure.axes[panel]
    assert axes.get_title() == ("overlap", "CKA")[panel]
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert texts(figure.axes[0].get_yticklabels()) == ["one", "two"]
    assert [bar.get_width() for bar in axes.patches] == value[:, panel].tolist()  # type: ignore[attr-defined]
    lines = axes.collections[0].get_segments()  # type: ignore[attr-defined]
    assert [line[0][0] for line in lines] == chance[:, panel].tolist()
    expected = [f"{value[i, panel]:.3f}  ({p[i][panel]})" for i in range(2)]
    assert texts(t for t in axes.texts if isinstance(t, Annotation)) == expected
