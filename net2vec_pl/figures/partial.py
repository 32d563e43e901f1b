"""How much of concepts is other concepts: which two go together, and what is left of each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import CHANCE, COLOURS, MULTI, legend_size, new_figure, short_name

_FROM, _TO = -0.5, 1.25  # shares that are drawn; what is beyond stands at the edge
_SERIES = (("one other", MULTI, -0.15), ("all others", COLOURS[5], 0.15))


def partial_figure(
    names: Sequence[str],
    shared: Float64[np.ndarray, "C C"],
    left: Float64[np.ndarray, "C 2 3"],
    shown: int = 30,
    axes: Axes | None = None,
) -> Figure:
    """Draw which share of each concept every other takes alone, and what others leave of its gain.

    Args:
        names: Concepts.
        shared: The share of the squared distance of inside and outside that one other takes.
        left: The share of the gain over the reference level that is left without the other that
            takes most, and without all, each with the bounds of its interval; NaN where unknown.
        shown: At most so many concepts, those that share most with another one.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels: a matrix, and two points for each concept.
    """
    rows = np.sort(np.argsort(-shared.max(1, initial=0.0), kind="stable")[:shown])
    size = 1.8 + 0.2 * max(len(rows), 4)
    figure, (matrix, points) = new_figure(size + 4.6, size, columns=2, axes=axes)
    drawn = matrix.imshow(
        shared[np.ix_(rows, rows)], cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto"
    )
    bar = figure.colorbar(drawn, ax=matrix, shrink=0.6, format="{x:.0%}")
    bar.ax.tick_params(labelsize=7)
    labels = [short_name(names[row]) for row in rows]
    matrix.set_xticks(range(len(rows)), labels, rotation=90, fontsize=7)
    matrix.set_yticks(range(len(rows)), labels, fontsize=7)
    matrix.grid(visible=False)
    fewer = f": {len(rows)} of {len(names)} concepts" if len(rows) < len(names) else ""
    matrix.set_title(f"squared correlation of two scores{fewer}", loc="left", fontsize=9)
    for series, (label, colour, shift) in enumerate(_SERIES):
        place = np.arange(len(rows)) + shift
        value, low, high = left[rows, series].T
        points.hlines(place, low, high, color=colour, linewidth=1.2)
        points.plot(value.clip(_FROM), place, "o", color=colour, markersize=4, label=label)
    points.set_yticks(range(len(rows)), labels, fontsize=7)
    points.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    points.axvline(0.0, color=CHANCE, linewidth=0.8)
    points.set_xlim(_FROM, _TO)
    points.xaxis.set_major_formatter("{x:.0%}")
    points.set_title("what is left without", loc="left", fontsize=9)
    points.set_xlabel("share of the gain over the reference level")
    points.legend(loc="lower left", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=legend_size(axes))
    return figure
