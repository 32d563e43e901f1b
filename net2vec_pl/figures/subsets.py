"""Scores against the number of filters, and how many filters concepts need."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import (
    CHANCE,
    COLOURS,
    MULTI,
    SINGLE,
    colour_of,
    legend_size,
    new_figure,
)


def filter_curve(
    sizes: Sequence[int],
    retrained: Float64[np.ndarray, "2 F"],
    masked: Float64[np.ndarray, "2 F"] | None,
    by_category: Mapping[str, Float64[np.ndarray, "2 F"]],
    score: str = "set IoU on val",
    floor: float = np.nan,
    floor_name: str = "chance",
    axes: Axes | None = None,
) -> Figure:
    """Draw the mean score against the number of filters: all concepts, and by category.

    Args:
        sizes: Numbers of filters, F.
        retrained: Mean and standard error of embeddings learned anew on the F filters.
        masked: The same of the full embedding, all but its F largest weights set to zero.
        by_category: The same as ``retrained``, of the concepts of each category.
        score: What is drawn.
        floor: Mean score of what needs no filter; NaN draws none.
        floor_name: What that is.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels.
    """
    figure, (left, right) = new_figure(9.0, 3.6, columns=2, axes=axes)
    curve(left, sizes, retrained, MULTI, "retrained")
    if masked is not None:
        curve(left, sizes, masked, SINGLE, "masked only")
    for name, colour in colour_of(by_category).items():
        curve(right, sizes, by_category[name], colour, name)
    for panel, title in ((left, "all concepts"), (right, "by category, retrained")):
        if np.isfinite(floor):
            panel.axhline(floor, color=CHANCE, linestyle="--", linewidth=1, label=floor_name)
        log2_sizes(panel, sizes)
        panel.set_ylabel(f"mean {score}")
        panel.set_title(title, loc="left", fontsize=9)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="lower right", fontsize=legend_size(axes))
    return figure


def cumulative_filters(
    sizes: Sequence[int],
    share: Float64[np.ndarray, "L F"],
    levels: Sequence[float],
    axes: Axes | None = None,
) -> Figure:
    """Draw the share of concepts that reach each level of their gain with F filters.

    Args:
        sizes: Numbers of filters, F.
        share: Shares of concepts, in [0, 1].
        levels: Shares of what all filters gain over the reference level, or over chance.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with a line per level.
    """
    figure, (axes,) = new_figure(5.6, 3.8, axes=axes)
    for row, level, colour in zip(share, levels, COLOURS, strict=False):
        axes.plot(sizes, row, "o-", color=colour, markersize=3, label=f"{level:.0%}")
    log2_sizes(axes, sizes)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("share of concepts")
    axes.legend(title="of the gain", loc="lower right")
    return figure


def curve(
    axes: Axes,
    sizes: Sequence[int] | Sequence[float],
    points: Float64[np.ndarray, "2 F"],
    colour: str,
    label: str,
) -> None:
    """Draw values with their errors against numbers of filters, or other sizes."""
    value, error = points
    axes.errorbar(sizes, value, error, fmt="o-", color=colour, markersize=3, capsize=2, label=label)


def log2_sizes(
    axes: Axes,
    sizes: Sequence[int] | Sequence[float],
    label: str = "filters",
    pattern: str = "{:g}",
) -> None:
    """Scale by powers of two; the label of a size is left out where it would touch the next.

    Args:
        axes: The axes.
        sizes: What is on the x axis.
        label: What it is.
        pattern: How a size is written.
    """
    axes.set_xscale("log", base=2)
    labels: list[float] = []
    for size in sorted(sizes, reverse=True):
        if not labels or size <= 0.55 * labels[-1]:
            labels.append(size)
    axes.set_xticks(labels, [pattern.format(size) for size in labels])
    axes.minorticks_off()
    axes.set_xlabel(label)
