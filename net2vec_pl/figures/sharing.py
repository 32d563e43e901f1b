"""Concepts of a filter, filters that concepts share, and the concepts that lose."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator, ScalarFormatter

from net2vec_pl.figures.style import CHANCE, COLOURS, MULTI, SINGLE, legend_below, new_figure

_AREA = 500.0  # square points of a marker for a concept that covers whole pictures


def concepts_per_filter(
    histograms: Mapping[str, Mapping[str, float]], axes: Axes | None = None
) -> Figure:
    """Draw how many filters are the best one of how many concepts.

    Args:
        histograms: By layer, share of its filters in every bin of concepts.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with a group of bars per bin, and a bar per layer in it.
    """
    figure, (axes,) = new_figure(6.0, 3.4, axes=axes)
    width = 0.8 / max(len(histograms), 1)
    for i, (layer, shares) in enumerate(histograms.items()):
        left = np.arange(len(shares)) + (i - (len(histograms) - 1) / 2) * width
        axes.bar(left, list(shares.values()), width, color=COLOURS[i % len(COLOURS)], label=layer)
        axes.set_xticks(range(len(shares)), list(shares))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("concepts whose best filter it is")
    axes.set_ylabel("share of filters")
    if len(histograms) > 1:
        axes.legend()
    return figure


def overlap_with_chance(
    pairs: Float64[np.ndarray, "G"],
    chance: Float64[np.ndarray, "G"],
    mean: float,
    axes: Axes | None = None,
) -> Figure:
    """Draw how many of their filters two concepts share, beside what random choices would.

    Args:
        pairs: Share of the pairs of concepts that have 0 to F filters in common.
        chance: The same, were the choices random but filters as popular as they are.
        mean: Mean over pairs, of both.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure on a logarithmic scale, since both fall by orders of magnitude.
    """
    figure, (axes,) = new_figure(6.0, 3.6, axes=axes)
    common = np.arange(len(pairs))
    axes.bar(common, pairs, 0.8, color=MULTI, label=f"concepts, mean {mean:.2f}")
    some = chance > 1e-12
    axes.plot(
        common[some],
        chance[some],
        "o-",
        color=CHANCE,
        markersize=3,
        label="chance, given the filters' popularity",
    )
    smallest = pairs[pairs > 0].min(initial=1.0)
    axes.set_yscale("log")
    axes.set_ylim(min(smallest / 3, 0.1), 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"filters in common, of {len(pairs) - 1} each")
    axes.set_ylabel("share of pairs")
    axes.legend()
    return figure


def failure_scatter(
    n_train: Int64[np.ndarray, "C"],
    gain: Float64[np.ndarray, "C"],
    size: Float64[np.ndarray, "C"],
    axes: Axes | None = None,
) -> Figure:
    """Draw the gain of the combination against the number of train images.

    Args:
        n_train: Train images of every concept.
        gain: Combination minus single, val set IoU; NaN where either is missing.
        size: Mean share of a picture that the concept covers, the area of its marker.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure on which the failures, below zero, have a colour of their own.
    """
    figure, (panel,) = new_figure(6.4, 4.4, axes=axes)
    drawn = np.isfinite(gain) & np.isfinite(size) & (n_train > 0)
    for side, colour, label in (
        (gain >= 0, MULTI, "combination at least as good"),
        (gain < 0, SINGLE, "single better"),
    ):
        at = drawn & side
        area = np.maximum(_AREA * size[at], 4.0)
        panel.scatter(
            n_train[at],
            gain[at],
            area,
            colour,
            alpha=0.55,
            linewidths=0.3,
            edgecolors="white",
            label=f"{label} ({at.sum()})",
        )
    panel.axhline(0, color=CHANCE, linewidth=1)
    panel.set_xscale("log" if drawn.any() else "linear")
    if drawn.any():  # 300, not 3 x 10^2
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.5)))
    panel.set_xlabel("train images")
    panel.set_ylabel("gain in set IoU on val")
    missing = f"; {(~drawn).sum()} not scored" if not drawn.all() else ""
    panel.set_title(f"area: mean share of a picture{missing}", loc="left", fontsize=9)
    for handle in legend_below(figure, axes, 2).legend_handles:
        assert isinstance(handle, PathCollection)
        handle.set_sizes([30.0])
    return figure
