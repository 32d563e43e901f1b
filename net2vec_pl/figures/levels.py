"""What scores are worth: probes of every concept beside the best reference level."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import COLOURS, MULTI, legend_below, new_figure, short_name

_COLOURS = (MULTI, COLOURS[2], COLOURS[5])


def reference_levels(
    names: Sequence[str],
    level: Float64[np.ndarray, "C"],
    probes: Mapping[str, Float64[np.ndarray, "C"]],
    shown: int = 30,
    axes: Axes | None = None,
) -> Figure:
    """Draw the best reference level of every concept as a bar, and set IoU of probes as points.

    Args:
        names: Concepts.
        level: Set IoU of the best reference level; NaN where there is none.
        probes: Set IoU by the name of a probe, the run's own first; three at most.
        shown: At most so many concepts, those that differ most from their level.
        axes: Where to draw; a new figure if None.
    """
    own = next(iter(probes.values()))
    gain = own - level
    scored = np.flatnonzero(np.isfinite(gain))
    largest = scored[np.argsort(-np.abs(gain[scored]), kind="stable")[:shown]]
    rows = largest[np.argsort(gain[largest], kind="stable")]
    figure, (panel,) = new_figure(6.4, 1.4 + 0.2 * max(len(rows), 3), axes=axes)
    place = np.arange(len(rows))
    panel.barh(place, level[rows], height=0.7, color="#d9d9d9", label="best reference level")
    for (name, value), colour in zip(probes.items(), _COLOURS, strict=False):
        panel.plot(value[rows], place, "o", markersize=4, color=colour, label=name)
    panel.set_yticks(place, [short_name(names[row]) for row in rows])
    panel.set_ylim(-0.7, max(len(rows), 1) - 0.3)
    panel.set_xlim(left=0)
    panel.set_xlabel("set IoU on val")
    fewer = len(rows) < len(scored)
    which = f"The {len(rows)} largest of {len(scored)}" if fewer else f"All {len(scored)}"
    panel.set_title(f"{which} differences from the reference level", loc="left", fontsize=9)
    legend_below(figure, axes, 4)
    return figure
