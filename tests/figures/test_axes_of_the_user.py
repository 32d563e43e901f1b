"""Every figure on axes of the user's: in their place, the same, and with no trace elsewhere."""

from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from support.recipes import ONE_PANEL, PANELS

from net2vec_pl.errors import ConfigError

ALL = ONE_PANEL | PANELS
TITLED = {
    "scores": "sky",
    "examples": "sky (outlined: ground truth)",
    "synthesis": "made to excite",
}
every = pytest.mark.parametrize("recipe", ALL.values(), ids=ALL)
panels = pytest.mark.parametrize("recipe", PANELS.values(), ids=PANELS)
Pixels = npt.NDArray[np.uint8]


def four_axes(layout: str | None) -> tuple[Figure, list[Axes]]:
    """A figure with curves in three of its four places, far from each other."""
    figure = Figure(figsize=(13, 11), dpi=50, layout=layout)  # type: ignore[arg-type]
    spaces = {} if layout else {"wspace": 0.6, "hspace": 0.6}
    axes = list(figure.subplots(2, 2, gridspec_kw=spaces).flat)
    for other in axes[1:]:
        other.plot([0, 1], [0, 1], label="mine")
        other.set_title("mine")
        other.legend(loc="center")
    return figure, axes


def pixels(figure: Figure, shown: list[Axes]) -> list[Pixels]:
    """What the figure shows at some of its axes and their labels."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1].copy()
    boxes = [axes.get_tightbbox() for axes in shown]
    corners = [[round(at) for at in box.extents] for box in boxes if box is not None]
    return [picture[y0:y1, x0:x1] for x0, y0, x1, y1 in corners]


def artists(axes: Axes) -> list[Any]:
    """What was drawn on axes, as kinds and plain data; names that look for room are left out."""
    named = [axes.get_title(where) for where in ("left", "right")]
    lines = [(str(line.get_label()), np.asarray(line.get_xydata()).tolist()) for line in axes.lines]
    bars = [np.asarray(patch.get_path().vertices).tolist() for patch in axes.patches]
    spots = [np.asarray(found.get_offsets()).tolist() for found in axes.collections]
    images = [np.asarray(image.get_array()).tolist() for image in axes.images]
    scales = [axes.get_xscale(), axes.get_yscale()]
    place = axes.get_subplotspec()
    spans = [place.rowspan, place.colspan] if place else []
    legend = axes.get_legend()
    entries = [text.get_text() for text in legend.get_texts()] if legend else []
    return [*named, lines, bars, spots, images, scales, spans, entries]


@every
def test_a_figure_stays_in_its_place_and_leaves_other_axes_as_they_were(
    recipe: partial[Figure],
) -> None:
    figure, (mine, *others) = four_axes(None)
    before = pixels(figure, others)
    place = mine.get_position()
    assert recipe(axes=mine) is figure
    for axes in figure.axes:
        x0, y0, x1, y1 = axes.get_position().extents
        inside = x0 >= place.x0 - 1e-9 and x1 <= place.x1 + 1e-9
        assert axes in others or (inside and y0 >= place.y0 - 1e-9 and y1 <= place.y1 + 1e-9)
    for seen, now in zip(before, pixels(figure, others), strict=True):
        np.testing.assert_array_equal(now, seen)
    assert not figure.legends
    assert not figure.texts


@every
def test_axes_of_a_figure_with_a_layout_show_what_the_figure_alone_does(
    recipe: partial[Figure],
) -> None:
    figure, (mine, *others) = four_axes("constrained")
    alone = recipe().axes
    recipe(axes=mine)
    drawn = [axes for axes in figure.axes if axes not in others and axes.axison]
    shown = [artists(axes) for axes in drawn]
    own = [artists(axes) for axes in alone]
    if not alone[0].get_legend():  # it is the figure's
        shown, own = ([found[:-1] for found in each] for each in (shown, own))
    assert shown == own


@pytest.mark.parametrize(("name", "title"), TITLED.items())
def test_panels_keep_their_title_in_their_place(name: str, title: str) -> None:
    figure, (mine, *others) = four_axes(None)
    PANELS[name](axes=mine)
    (heading,) = (axes for axes in figure.axes if not axes.axison)
    assert heading.get_title() == title
    figure.draw_without_rendering()
    above = heading.get_tightbbox()
    assert above is not None
    for axes in figure.axes:
        if axes not in others and axes is not heading:
            box = axes.get_tightbbox()
            assert box is not None
            assert box.y1 <= above.y0


@pytest.mark.parametrize("name", ["levels", "intervals", "failures"])
def test_a_legend_below_a_figure_stands_inside_the_axes(name: str) -> None:
    (outside,) = ONE_PANEL[name]().legends
    figure, (mine, *_) = four_axes(None)
    ONE_PANEL[name](axes=mine)
    legend = mine.get_legend()
    assert legend is not None
    assert words(legend.get_texts()) == words(outside.get_texts())
    figure.draw_without_rendering()
    assert mine.bbox.contains(*legend.get_window_extent().min)
    assert mine.bbox.contains(*legend.get_window_extent().max)


def words(texts: list[Text]) -> list[str]:
    return [text.get_text() for text in texts]


@every
def test_a_figure_inside_a_figure_is_drawn_there(recipe: partial[Figure]) -> None:
    figure = Figure(figsize=(14, 10), layout="constrained")
    grid = figure.add_gridspec(1, 2)
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    left.subplots().plot([0, 1])
    (mine, _) = right.subplots(2, 1)
    assert recipe(axes=mine) is figure
    assert len(left.axes) == 1
    assert not [*left.texts, *right.texts, *left.legends, *right.legends]
    figure.draw_without_rendering()


@every
def test_the_settings_of_matplotlib_stay_as_they_are(recipe: partial[Figure]) -> None:
    before = dict(mpl.rcParams)
    recipe(axes=Figure().add_subplot())
    assert dict(mpl.rcParams) == before


@panels
def test_panels_need_axes_in_a_grid(recipe: partial[Figure]) -> None:
    with pytest.raises(ConfigError, match=r"axes in a grid, such as those of plt\.subplots"):
        recipe(axes=Figure().add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize("recipe", ONE_PANEL.values(), ids=ONE_PANEL)
def test_a_single_panel_is_drawn_on_any_axes_in_the_projects_style(
    recipe: partial[Figure],
) -> None:
    mine = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    recipe(axes=mine)
    assert mine.has_data()
    assert not mine.spines["top"].get_visible()
    assert not mine.spines["right"].get_visible()


def test_a_new_figure_shows_itself_in_a_notebook() -> None:
    figure: Any = ONE_PANEL["recall"]()
    assert figure._repr_png_().startswith(b"\x89PNG")
