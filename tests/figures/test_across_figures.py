"""Figures of many settings stay legible, and say what they leave out."""

import numpy as np
import pytest

from net2vec_pl.figures.across import (
    concept_heat_map,
    concept_scatters,
    curves_over_depth,
    distance_heat_maps,
)

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(("settings", "concepts"), [(12, 60), (4, 1000), (1, 1), (100, 200)])
def test_a_heat_map_shows_what_varies_most_and_says_so(settings: int, concepts: int) -> None:
    scores = DRAW.uniform(0.4, 0.5, (concepts, settings))
    scores[-1, 0] = 1.0
    names = [f"concept {i}" for i in range(concepts)]
    kinds = [("object", "part")[i % 2] for i in range(concepts)]
    figure = concept_heat_map(scores, names, kinds, [f"conv{s}" for s in range(settings)], "IoU")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert len(rows) == min(concepts, 60)
    assert names[-1] in rows or settings == 1
    said = f"the 60 of {concepts} that vary most" if concepts > 60 else f"all {concepts}"
    assert said in axes.get_title(loc="left")
    assert len(axes.get_xticklabels()) <= 40


def test_rows_of_a_heat_map_stand_by_category_and_score() -> None:
    scores = np.array([[0.1, 0.2], [0.9, 0.8], [0.5, 0.6]])
    figure = concept_heat_map(
        scores, ["a", "b", "c"], ["part", "object", "part"], ["x", "y"], "IoU"
    )
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["c", "a", "b"]


def test_lines_join_the_layers_of_a_series_and_no_others() -> None:
    curve = np.stack([np.linspace(0.1, 0.5, 5), np.full(5, 0.05), np.full(5, 0.6)])
    panels = {"set IoU": {"object": curve, "all": curve}, "AP": {"all": curve}}
    labels = ["a 1", "a 2", "a 3", "b 1", "b 2"]
    figure = curves_over_depth(panels, labels, ["a", "a", "a", "b", "b"])
    figure.draw_without_rendering()
    lines = [
        line for line in figure.axes[0].get_lines() if len(np.asarray(line.get_xdata())) in (2, 3)
    ]
    lengths = sorted(
        len(np.asarray(line.get_xdata())) for line in lines if line.get_linestyle() == "-"
    )
    assert lengths == [2, 2, 3, 3]  # two series, two categories
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == labels
    assert len(figure.legends) == 1


def test_scores_of_one_quantity_have_one_scale() -> None:
    low, high = np.full((3, 2), 0.1), np.full((3, 2), 0.9)
    panels = {"set IoU, one": {"all": low}, "set IoU, several": {"all": high}, "AP": {"all": low}}
    figure = curves_over_depth(panels, ["conv4", "conv5"], ["a", "a"])
    one, several, other = [axes.get_ylim()[1] for axes in figure.axes]
    assert one == several > 0.9
    assert 0.1 < other < 0.2  # and a flat line does not lie on the edge


def test_outliers_have_names_and_points_lie_where_scores_say() -> None:
    x = np.linspace(0.1, 0.9, 30)
    y = x.copy()
    y[4] = 0.85
    figure = concept_scatters(
        [("conv4", "conv5")],
        [np.stack([x, y])],
        [f"c{i}" for i in range(30)],
        ["object"] * 30,
        "IoU",
    )
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.texts[0].get_text() == "c4"
    drawn = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(drawn, np.stack([x, y], axis=1))
    assert axes.get_xlabel() == "IoU, conv4"


@pytest.mark.parametrize("count", [2, 12, 100])
def test_distances_are_drawn_for_few_and_many(count: int) -> None:
    square = DRAW.random((count, count))
    np.fill_diagonal(square, np.nan)
    labels = [f"model conv{i} seed 0" for i in range(count)]
    figure = distance_heat_maps({"distance": square, "correlation": square}, labels)
    figure.draw_without_rendering()
    assert len(figure.axes[0].get_yticklabels()) <= 40
    assert bool(figure.axes[0].texts) == (count <= 12)
