"""One look for every figure, and how a figure becomes files.

Figures are made through matplotlib's objects, never through pyplot: no window, no global state.
"""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from net2vec_pl.errors import ConfigError

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
SINGLE, MULTI, CHANCE = "#E69F00", "#0072B2", "#888888"
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "net2vec_pl",  # the same figure gives the same file
}
_NAME_LENGTH = 24
_SMALL_LEGEND = 7.5
_TITLE_TO_PANELS = 1, 16  # heights, where panels stand in the place of an axis


class NotebookFigure(Figure):
    """A figure that a notebook shows at the end of a cell.

    IPython shows a plain ``Figure`` as text, until the inline backend of pyplot is in use.
    """

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def new_figure(
    width: float = 6.0,
    height: float = 4.0,
    rows: int = 1,
    columns: int = 1,
    *,
    title: str = "",
    axes: Axes | None = None,
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure in the project's style, or the same panels in a place of another.

    Args:
        width: Inches; another figure keeps its own.
        height: Inches; likewise.
        rows: Rows of panels.
        columns: Columns of panels.
        title: Title above all panels.
        axes: Where to draw; a new figure if None. A lone panel without a title is drawn on them;
            others are put into their place, and the axes are removed.

    Returns:
        The figure, and its panels row by row.

    Raises:
        ConfigError: The axes would have to hold panels, but stand in no grid.
    """
    with mpl.rc_context(_STYLE):
        if axes is not None:
            figure, alone = axes.figure.figure, rows == columns == 1 and not title
            return figure, [_styled(axes)] if alone else _panels_in(axes, rows, columns, title)
        figure = NotebookFigure(figsize=(width, height), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    if title:
        figure.suptitle(title)
    return figure, panels


def _styled(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, alpha=_STYLE["grid.alpha"], linewidth=_STYLE["grid.linewidth"])
    return axes


def _panels_in(axes: Axes, rows: int, columns: int, title: str) -> list[Axes]:
    """Put panels into the place of axes, below their title."""
    place = axes.get_subplotspec()
    if place is None:
        raise ConfigError(
            "axes: this figure has panels of its own, so it needs axes in a grid, such as those of "
            "plt.subplots; those of add_axes are not."
        )
    figure = axes.figure
    axes.remove()
    if title:
        halves = place.subgridspec(2, 1, height_ratios=_TITLE_TO_PANELS)
        heading, place = figure.add_subplot(halves[0]), halves[1]
        heading.set_axis_off()
        heading.set_title(title, fontsize=11)
    grid = place.subgridspec(rows, columns)
    return [figure.add_subplot(grid[at]) for at in range(rows * columns)]


def legend_size(axes: Axes | None) -> float | None:
    """Return the size of a legend's text in points: small on axes of the user's, else the usual."""
    return None if axes is None else _SMALL_LEGEND


def legend_below(figure: Figure, axes: Axes | None, columns: int) -> Legend:
    """Put a legend below a figure; on axes of another figure, where it hides least of them.

    Args:
        figure: The figure.
        axes: The axes of the user, if it is drawn on them.
        columns: Columns of entries below a figure.
    """
    if axes is not None:
        return axes.legend(loc="best", fontsize=legend_size(axes))
    return figure.legend(loc="outside lower center", ncols=columns, frameon=False)


def colour_of(names: Iterable[str]) -> dict[str, str]:
    """Give every distinct name, a category's say, a colour, in order of appearance.

    Example:
        >>> colour_of(["part", "object", "part"])
        {'part': '#0072B2', 'object': '#E69F00'}
    """
    distinct = dict.fromkeys(names)
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(distinct)}


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for axes in figure.axes:  # made outside the style
        if (legend := axes.get_legend()) is not None:
            legend.set_frame_on(False)
    with mpl.rc_context(_STYLE):
        figure.savefig(folder / f"{name}.png")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def short_name(name: str) -> str:
    """Cut a name to what fits beside an axis.

    Example:
        >>> short_name("a concept with a very long name")
        'a concept with a very l…'
    """
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
