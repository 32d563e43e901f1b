"""One look for every figure, and how a figure becomes files.

Figures are made through matplotlib's objects, never through pyplot: no window, no global state.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def new_figure(
    width: float = 6.0, height: float = 4.0, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure in the project's style.

    Args:
        width: Inches.
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.

    Returns:
        The figure, and its axes row by row.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


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
