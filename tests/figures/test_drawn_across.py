"""Figures of many settings draw the numbers given, in their places, scales and colours."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Annotation

from net2vec_pl.figures.across import (
    concept_heat_map,
    concept_scatters,
    curves_over_depth,
    distance_heat_maps,
)

BLACK, BLUE, ORANGE = "#000000", "#0072b2", "#e69f00"


def texts(labels: Any) -> list[str]:
    return [label.get_text() for label in labels]


def test_curves_have_their_numbers_bounds_places_and_colours() -> None:
    whole = np.array([[0.2, 0.3, 0.5], [0.15, 0.28, 0.4], [0.3, 0.31, 0.52]])
    part = np.array([[0.1, 0.2, 0.6], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    panels = {
        "set IoU, several": {"all": whole, "part": part, "object": part / 2},
        "set IoU, one": {"all": whole / 2, "part": part / 2, "object": part / 4},
    }
    figure = curves_over_depth(panels, ["a 1", "a 2", "b 1"], ["a", "a", "b"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(panels)
    # The first of two scores of one quantity reaches higher, and both have its scale.
    assert [axes.get_ylim()[1] for axes in figure.axes] == [1.06] * 2
    places, styles = [0, 1, 2.6], {"part": BLUE, "object": ORANGE, "all, 95 % interval": BLACK}
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == list(styles)
    for axes, given in zip(figure.axes, panels.values(), strict=True):
        lines = {str(line.get_label()): line for line in axes.lines if line.get_marker() == "o"}
        assert [name for name in lines if not name.startswith("_")] == list(styles)
        by_colour = {to_hex(line.get_color()): [] for line in lines.values()}  # type: ignore[var-annotated]
        for line in axes.lines:
            if line.get_marker() == "o":
                points = zip(line.get_xdata(), line.get_ydata(), strict=True)  # type: ignore[arg-type]
                by_colour[to_hex(line.get_color())] += list(points)
        for name, colour in styles.items():
            values = given[name.partition(",")[0]][0]
            np.testing.assert_allclose(by_colour[colour], np.stack([places, values], 1))
        (bars,) = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
        ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
        np.testing.assert_allclose(ends, given["all"][1:].T)


def heat_map() -> Axes:
    scores = np.array([[0.1, 0.2], [0.4, 0.3], [0.05, 0.6], [0.2, 0.15]])
    kinds = ["part", "object", "part", "part"]
    figure = concept_heat_map(scores, ["a", "b", "c", "d"], kinds, ["x", "y"], "accuracy")
    assert figure.axes[1].get_ylabel() == "accuracy"
    return figure.axes[0]


def test_a_heat_map_writes_every_score_into_its_cell() -> None:
    axes = heat_map()
    assert texts(axes.get_yticklabels()) == ["c", "d", "a", "b"]
    expected = [[0.05, 0.6], [0.2, 0.15], [0.1, 0.2], [0.4, 0.3]]
    image = axes.images[0]
    np.testing.assert_array_equal(np.asarray(image.get_array()), expected)
    assert image.get_clim() == (0, 0.6)
    cells = {t.get_position(): t.get_text() for t in axes.texts if not isinstance(t, Annotation)}
    assert cells == {
        (j, i): f"{v:.2f}" for i, row in enumerate(expected) for j, v in enumerate(row)
    }
    assert axes.get_title(loc="left") == "Concepts: all 4"


def test_a_heat_map_parts_its_categories_and_names_them_in_the_middle() -> None:
    axes = heat_map()
    (line,) = axes.lines
    np.testing.assert_allclose(np.asarray(line.get_ydata()), 2.5)
    named = {t.get_text(): t.xy[1] for t in axes.texts if isinstance(t, Annotation)}
    assert named == {"part": 1.0, "object": 3.0}


def test_points_have_the_colour_of_their_category_and_outliers_stand_by_their_point() -> None:
    scores = np.array([[0.1, 0.4, 0.9], [0.5, 0.4, 0.2]])
    pairs = [("first", "second"), ("third", "fourth")]
    figure = concept_scatters(
        pairs, [scores, scores[::-1]], ["a", "b", "c"], ["part", "object", "part"], "IoU"
    )
    for axes, (x, y), (first, second) in zip(
        figure.axes, (scores, scores[::-1]), pairs, strict=True
    ):
        assert (axes.get_xlabel(), axes.get_ylabel()) == (f"IoU, {first}", f"IoU, {second}")
        for points, name, mine, colour in zip(
            axes.collections, ("part", "object"), ([0, 2], [1]), (BLUE, ORANGE), strict=True
        ):
            assert points.get_label() == name
            assert to_hex(np.atleast_2d(points.get_facecolor())[0], keep_alpha=False) == colour
            np.testing.assert_allclose(
                np.asarray(points.get_offsets()), np.stack([x[mine], y[mine]], 1)
            )
        notes = [t for t in axes.texts if isinstance(t, Annotation)]
        assert texts(notes) == ["c", "a", "b"]  # the furthest from the diagonal first
        assert [note.xy for note in notes] == [(x[c], y[c]) for c in (2, 0, 1)]


def test_distances_stand_in_their_cells_and_names_at_the_left() -> None:
    squares = {
        "distance": np.array([[np.nan, 3.0], [4.0, np.nan]]),
        "correlation": np.array([[np.nan, 0.25], [0.5, np.nan]]),
    }
    figure = distance_heat_maps(squares, ["x", "y"])
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == list(squares)
    assert ["".join(texts(axes.get_yticklabels())) for axes in panels] == ["xy", ""]
    for axes, square in zip(panels, squares.values(), strict=True):
        np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), square)
        cells = {text.get_position(): text.get_text() for text in axes.texts}
        assert cells == {(1, 0): f"{square[0, 1]:#.2g}", (0, 1): f"{square[1, 0]:#.2g}"}
