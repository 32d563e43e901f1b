"""How much of concepts is other concepts: what is left of each, and which two go together."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import MULTI, new_figure, short_name


def partial_figure(
    names: Sequence[str],
    shared: Float64[np.ndarray, "C C"],
    left: Mapping[str, tuple[float, float, float]],
    shown: int = 30,
    axes: Axes | None = None,
) -> Figure:
    """Draw which share of each concept every other takes alone, and what all of them leave.

    Args:
        names: Concepts.
        shared: The share of the squared distance of inside and outside that one other takes.
        left: By name, the share of the gain over the reference level that others leave, with the
            bounds of its interval; concepts without one are left out of the panel.
        shown: At most so many concepts, those that share most with another one.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels: a matrix, and a point for each concept.
    """
    rows = np.sort(np.argsort(-shared.max(1, initial=0.0), kind="stable")[:shown])
    size = 1.6 + 0.2 * max(len(rows), 4)
    figure, (matrix, points) = new_figure(size + 4.2, size, columns=2, axes=axes)
    drawn = matrix.imshow(shared[np.ix_(rows, rows)], cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(drawn, ax=matrix, shrink=0.6, format="{x:.0%}")
    labels = [short_name(names[row]) for row in rows]
    matrix.set_xticks(range(len(rows)), labels, rotation=90, fontsize=7)
    matrix.set_yticks(range(len(rows)), labels, fontsize=7)
    matrix.grid(visible=False)
    fewer = f"the {len(rows)} largest of {len(names)}" if len(rows) < len(names) else "all concepts"
    matrix.set_title(f"Distance that goes with one other: {fewer}", loc="left", fontsize=9)
    for place, row in enumerate(rows):
        value, low, high = left.get(names[row], (np.nan,) * 3)
        points.plot([low, high], [place, place], "-", color=MULTI, linewidth=1.2)
        points.plot([value], [place], "o", color=MULTI, markersize=4)
    points.set_yticks(range(len(rows)), labels, fontsize=7)
    points.set_ylim(len(rows) - 0.5, -0.5)
    points.axvline(0.0, color="#888888", linewidth=0.8)
    points.set_xlim(-0.25, 1.25)
    points.xaxis.set_major_formatter("{x:.0%}")
    points.set_title("Gain left without the others", loc="left", fontsize=9)
    points.set_xlabel("of the gain over the reference level")
    return figure
