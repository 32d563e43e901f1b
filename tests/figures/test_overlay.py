"""Overlays show areas in their colours where they are, and nowhere else."""

import numpy as np
import pytest

from net2vec_pl.figures.colours import distinct_colours
from net2vec_pl.figures.overlay import draw_areas, draw_overlay


def test_an_area_is_tinted_where_it_is_and_the_rest_is_the_photograph() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 60, 500), dtype=np.uint8)
    labels = np.zeros((6, 50), dtype=np.uint8)
    labels[2:4, 10:12] = 2  # too narrow for a number at a fifth of its size, not here
    colours = distinct_colours(3)
    drawn = np.asarray(draw_overlay(image, labels, ["a", "b", "c"], colours))
    assert drawn.shape[1:] == (500, 3)
    assert drawn.shape[0] > 60
    outside = np.ones((60, 500), dtype=bool)
    outside[20:40, 100:120] = False
    assert np.array_equal(drawn[:60][outside], image.transpose(1, 2, 0)[outside])
    assert np.array_equal(drawn[20, 100:120], colours[[1] * 20])
    inside = drawn[22, 102].astype(float)
    grey = image[:, 22, 102] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(inside, 0.55 * colours[1] + 0.45 * grey, atol=1)
    legend = {tuple(pixel) for pixel in drawn[60:].reshape(-1, 3)}
    assert tuple(colours[1]) in legend
    assert tuple(colours[0]) not in legend


@pytest.mark.parametrize("shape", [(1, 1), (2, 1200), (1200, 2), (30, 40)])
def test_a_picture_of_any_shape_is_drawn(shape: tuple[int, int]) -> None:
    image, labels = np.zeros((3, *shape), np.uint8), np.ones(shape, np.uint8)
    drawn = draw_overlay(image, labels, ["a long name of a concept " * 30], distinct_colours(1))
    assert drawn.width >= shape[1]
    assert drawn.height > shape[0]
    assert draw_overlay(image, labels * 0, [], distinct_colours(0)).height > shape[0]


def test_what_is_unknown_is_hatched_and_the_rest_is_as_it_was() -> None:
    image = np.full((3, 40, 60), 100, dtype=np.uint8)
    unknown = np.zeros((4, 6), dtype=bool)
    unknown[1:3, 2:4] = True
    labels = np.zeros((4, 6), dtype=np.uint8)
    drawn = np.asarray(draw_areas(image, labels, distinct_colours(0), unknown))
    inside = drawn[10:30, 20:40]
    assert {*inside.ravel().tolist()} == {0, 100, 255}
    for value in (0, 255):
        assert 0.2 < (inside == value).mean() < 0.3
    outside = np.ones((40, 60), dtype=bool)
    outside[10:30, 20:40] = False
    assert (drawn[outside] == 100).all()


def test_colours_differ_and_stay_whatever_the_count() -> None:
    many = distinct_colours(255)
    assert len(np.unique(many, axis=0)) == 255
    for count in (0, 1, 7, 8, 20):
        assert np.array_equal(distinct_colours(count), many[:count])
    apart = np.abs(many[:20, None].astype(int) - many[None, :20]).sum(-1)
    assert apart[~np.eye(20, dtype=bool)].min() > 60
