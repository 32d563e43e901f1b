"""Scores of closed forms over the number of filters, and over the number of train images."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import CHANCE, COLOURS, MULTI, colour_of, legend_size, new_figure
from net2vec_pl.figures.subsets import curve, log2_sizes

_STYLES = ("o-", "o--")  # of the two ways to choose filters


def selection_curves(
    sizes: Sequence[int],
    curves: Mapping[str, Float64[np.ndarray, "F"]],
    level: float,
    reached: Mapping[str, Float64[np.ndarray, "L F"]],
    levels: Sequence[float],
    axes: Axes | None = None,
) -> Figure:
    """Draw mean set IoU over the number of filters, and for how many concepts they are enough.

    Args:
        sizes: Numbers of filters, F.
        curves: Mean set IoU by how filters are chosen; two of them.
        level: Mean of the reference levels; NaN where there are none.
        reached: Share of concepts that reach each level of their gain, by how filters are chosen.
        levels: Shares of the gain.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels, which share their kinds of lines; without the right one where
        ``reached`` is empty.
    """
    both = bool(reached)
    figure, (left, *right) = new_figure(9.0 if both else 5.0, 3.6, columns=1 + both, axes=axes)
    for (name, scores), style in zip(curves.items(), _STYLES, strict=False):
        left.plot(sizes, scores, style, color=MULTI, markersize=3, label=name)
    _level(left, level)
    log2_sizes(left, sizes)
    left.set_ylabel("mean set IoU on val")
    left.set_ylim(bottom=0)
    left.set_title("LDA over filters chosen by", loc="left", fontsize=9)
    left.legend(loc="lower right", fontsize=legend_size(axes))
    for panel in right:
        _reached(panel, sizes, reached, levels)
    return figure


def _reached(
    axes: Axes,
    sizes: Sequence[int],
    reached: Mapping[str, Float64[np.ndarray, "L F"]],
    levels: Sequence[float],
) -> None:
    for share, style in zip(reached.values(), _STYLES, strict=False):
        for row, at, colour in zip(share, levels, COLOURS[1:], strict=False):
            label = f"{at:.0%}" if style is _STYLES[0] else None
            axes.plot(sizes, row, style, color=colour, markersize=3, label=label)
    log2_sizes(axes, sizes)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("share of concepts")
    axes.set_title("concepts that reach a share of their gain", loc="left", fontsize=9)
    axes.legend(title="of the gain over\nthe reference level", loc="upper left")


def learning_figure(
    share: Float64[np.ndarray, "S"],
    whole: Float64[np.ndarray, "2 S"],
    by_category: Mapping[str, Float64[np.ndarray, "S"]],
    level: float,
    axes: Axes | None = None,
) -> Figure:
    """Draw mean set IoU against the share of the train images.

    Args:
        share: Of the train images, rising.
        whole: Mean over all concepts, and its standard deviation over choices of images.
        by_category: Mean over the concepts of each category.
        level: Mean of the reference levels; NaN where there are none.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels.
    """
    figure, (left, right) = new_figure(9.0, 3.6, columns=2, axes=axes)
    percent = (100 * share).tolist()
    curve(left, percent, whole, MULTI, "LDA, and its spread over choices")
    _level(left, level)
    for name, colour in colour_of(by_category).items():
        right.plot(percent, by_category[name], "o-", color=colour, markersize=3, label=name)
    for panel, title in ((left, "all concepts"), (right, "by category")):
        log2_sizes(panel, percent, "share of the train images", "{:.3g} %")
        panel.set_ylabel("mean set IoU on val")
        panel.set_ylim(bottom=0)
        panel.set_title(title, loc="left", fontsize=9)
        panel.legend(loc="lower right", fontsize=legend_size(axes))
    return figure


def _level(axes: Axes, level: float) -> None:
    if np.isfinite(level):
        label = "best reference level"
        axes.axhline(level, color=CHANCE, linestyle=":", linewidth=1.2, label=label)
