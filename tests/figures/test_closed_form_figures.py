"""Curves of closed forms: the numbers drawn, with few sizes and many, with and without levels."""

import numpy as np
from support.axes import lines

from net2vec_pl.figures.closed_form import learning_figure, selection_curves

LEVELS = (0.5, 0.9)


def test_both_choices_and_the_shares_of_concepts_are_drawn() -> None:
    sizes = [1, 2, 4, 576]
    curves = {name: np.linspace(0, end, 4) for name, end in (("forward", 0.5), ("largest", 0.4))}
    reached = {name: np.array([[0, 0.5, 1, 1], [0, 0, y[-1], 1]]) for name, y in curves.items()}
    figure = selection_curves(sizes, curves, 0.2, reached, LEVELS)
    left, right = figure.axes
    drawn = lines(left)
    for name, scores in curves.items():
        np.testing.assert_allclose(drawn[name].x, sizes)
        np.testing.assert_allclose(drawn[name].y, scores)
    np.testing.assert_allclose(drawn["best reference level"].y, 0.2)
    np.testing.assert_allclose(lines(right)["90%"].y, reached["forward"][1])
    assert [text.get_text() for text in left.get_xticklabels()] == ["576", "4", "2", "1"]


def test_without_a_level_there_is_one_panel() -> None:
    curves = {"forward": np.array([0.1, 0.2]), "largest": np.array([0.1, 0.2])}
    figure = selection_curves([1, 5], curves, np.nan, {}, LEVELS)
    (axes,) = figure.axes
    assert set(lines(axes)) == {"forward", "largest"}


def test_a_learning_curve_has_percents_and_a_line_for_each_category() -> None:
    share = np.array([0.05, 0.8, 1.0])
    whole = np.array([[0.1, 0.2, 0.3], [0.01, 0.01, np.nan]])
    figure = learning_figure(share, whole, {"color": whole[0] / 2, "object": whole[0]}, 0.05)
    left, right = figure.axes
    np.testing.assert_allclose(lines(right)["color"].y, whole[0] / 2)
    np.testing.assert_allclose(lines(right)["color"].x, [5, 80, 100])
    assert [text.get_text() for text in left.get_xticklabels()] == ["100 %", "5 %"]
