"""The figure of partial probes: its numbers, and what is left out of it."""

import numpy as np
from matplotlib.figure import Figure
from support.axes import lines

from net2vec_pl.figures.partial import partial_figure


def test_shares_and_what_is_left_are_drawn() -> None:
    shared = np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.2], [0.1, 0.2, 0.0]])
    left = np.array(
        [
            [[0.1, 0.0, 0.2], [-3.0, -4.0, -2.0]],
            [[0.3, np.nan, np.nan], [0.2, 0.1, 0.3]],
            [[np.nan] * 3, [np.nan] * 3],
        ]
    )
    matrix, points, *_ = partial_figure(["a", "b", "c"], shared, left, shown=2).axes
    np.testing.assert_allclose(np.asarray(matrix.images[0].get_array()), shared[:2, :2])
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["a", "b"]
    assert "2 of 3 concepts" in matrix.get_title(loc="left")
    drawn = lines(points)
    np.testing.assert_allclose(drawn["one other"].x, [0.1, 0.3])
    np.testing.assert_allclose(drawn["all others"].x, [-0.5, 0.2])  # far below stands at the edge


def test_a_single_concept_is_drawn() -> None:
    figure = partial_figure(["a"], np.zeros((1, 1)), np.full((1, 2, 3), np.nan))
    assert isinstance(figure, Figure)
