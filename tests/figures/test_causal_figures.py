"""Figures of the causal question show the numbers they are given."""

from typing import Any

import numpy as np

from net2vec_pl.figures.causal import before_and_after, dose_curves, effect_matrix


def test_dose_curves_are_by_concept_beside_all_else() -> None:
    curve = np.array([[1.0, 2.0], [0.5, 1.5], [1.5, 2.5]])
    other = {"car": np.array([0.1, 0.2])}
    figure = dose_curves([1.0, 4.0], {"car": curve}, other, (4.0, -0.1, 0.1), "read")
    left, right = figure.axes
    (container,) = left.containers
    points, _, (bars,) = container
    assert container.get_label() == "car"
    assert np.asarray(points.get_xydata()).tolist() == [[1, 1], [4, 2]]
    assert [s.tolist() for s in bars.get_segments()] == [[[1, 0.5], [1, 1.5]], [[4, 1.5], [4, 2.5]]]
    assert [np.asarray(line.get_ydata()).tolist() for line in right.lines] == [[0.1, 0.2]]
    assert "random directions" in left.get_legend_handles_labels()[1]


def test_a_matrix_has_rows_taken_out_and_columns_read() -> None:
    change = np.array([[-2.0, 0.5]])
    panel, _ = effect_matrix(["sky"], ["sky", "car"], change).axes
    (image,) = panel.images
    np.testing.assert_array_equal(np.asarray(image.get_array()), change)
    assert image.get_clim() == (-2, 2)
    assert [text.get_text() for text in panel.texts] == ["-2.00", "0.50"]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["sky", "car"]
    assert effect_matrix(["sky"], ["sky"], np.array([[np.nan]])).axes


def test_pictures_stand_beside_maps_or_classes() -> None:
    images = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    maps = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2)
    figure = before_and_after(images, ["a", "b"], maps=maps)
    titles = [axes.get_title(loc="left") for axes in figure.axes][:3]
    assert titles == ["a is taken out", "score of a before", "score of a after"]
    assert figure.axes[1].images[0].get_clim() == (0, 7)
    bars = [{"cat": (3.0, 1.0)}, {"dog": (2.0, 2.5)}]
    _, panel, *_ = before_and_after(images, ["a", "b"], bars=bars).axes
    bars_drawn: Any = panel.patches
    assert [bar.get_width() for bar in bars_drawn] == [3, 1]
