"""The combination against the best single filter, concept by concept, with intervals."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import MULTI, SINGLE, legend_below, new_figure, short_name


def gain_intervals(
    names: Sequence[str],
    multi: Float64[np.ndarray, "3 C"],
    single: Float64[np.ndarray, "3 C"],
    shown: int = 30,
    axes: Axes | None = None,
) -> Figure:
    """Draw both set IoUs of every concept with their intervals, the largest gain on top.

    Args:
        names: Concepts.
        multi: Value, lower and upper bound of the learned combinations; NaN where there is none.
        single: The same of the best single filters.
        shown: At most so many concepts, those with the largest gain or loss.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure whose title says how many concepts it shows and how many have no gain to show.
    """
    gain = multi[0] - single[0]
    scored = np.flatnonzero(np.isfinite(gain))
    largest = scored[np.argsort(-np.abs(gain[scored]), kind="stable")[:shown]]
    rows = largest[np.argsort(gain[largest], kind="stable")]
    figure, (panel,) = new_figure(6.4, 1.4 + 0.2 * max(len(rows), 3), axes=axes)
    place = np.arange(len(rows))
    _points(panel, multi[:, rows], place + 0.14, MULTI, "combination")
    _points(panel, single[:, rows], place - 0.14, SINGLE, "best single filter")
    panel.set_yticks(place, [short_name(names[row]) for row in rows])
    panel.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    panel.set_xlim(left=0)
    panel.set_xlabel("set IoU on val")
    panel.set_title(_title(len(rows), len(scored), len(names)), loc="left", fontsize=9)
    legend_below(figure, axes, 2)
    return figure


def _points(
    axes: Axes,
    scores: Float64[np.ndarray, "3 n"],
    place: Float64[np.ndarray, "n"],
    colour: str,
    label: str,
) -> None:
    value, low, high = scores
    # A percentile interval need not hold its estimate.
    reach = np.maximum(np.stack([value - low, high - value]), 0.0)
    axes.errorbar(
        value, place, xerr=reach, fmt="o", markersize=3.5, elinewidth=1.2, color=colour, label=label
    )


def _title(shown: int, scored: int, asked: int) -> str:
    which = f"The {shown} largest differences of {scored}" if shown < scored else f"All {scored}"
    missing = f"; {asked - scored} not scored" if scored < asked else ""
    return f"{which} concepts{missing}"
