"""What follows where directions are taken out of a layer, or put in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import CHANCE, COLOURS, new_figure, short_name

_BARS = 5  # classes beside a picture
_WRITTEN = 12  # rows and columns that leave room for numbers


def dose_curves(
    doses: Sequence[float],
    curves: Mapping[str, Float64[np.ndarray, "3 D"]],
    others: Mapping[str, Float64[np.ndarray, "D"]],
    random: tuple[float, float, float],
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw what rises with the dose of a direction, and what else moves.

    Args:
        doses: In standard deviations of a filter.
        curves: By concept, the change of what has to do with it, and its bounds.
        others: By concept, the mean size of the change of all else.
        random: A dose, and the range of the changes by random directions at it.
        title: What is read.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with two panels.
    """
    figure, (left, right) = new_figure(9.0, 3.8, columns=2, title=title, axes=axes)
    for i, (name, (value, low, high)) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        reach = np.nan_to_num([value - low, high - value])
        style: dict[str, Any] = {"color": colour, "markersize": 3}
        bars: dict[str, Any] = {"elinewidth": 0.8, "capsize": 2, "label": short_name(name)}
        left.errorbar(doses, value, reach, fmt="o-", **style, **bars)
        right.plot(doses, others[name], "o-", **style)
    dose, low_random, high_random = random
    if np.isfinite([low_random, high_random]).all():
        label = "random directions"
        left.vlines(dose, low_random, high_random, color=CHANCE, linewidth=4, label=label)
    left.axhline(0, color=CHANCE, linewidth=0.8)
    for panel, words in ((left, "change of what is related"), (right, "size of all other changes")):
        panel.set_xscale("log", base=2)
        panel.set_xticks(doses, [f"{dose:g}" for dose in doses])
        panel.set_xlabel("dose, in standard deviations of a filter")
        panel.set_ylabel("standard deviations")
        panel.set_title(words, loc="left", fontsize=9)
    if curves:
        drawn = left.get_legend_handles_labels()
        right.legend(*drawn, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def effect_matrix(
    out: Sequence[str],
    read: Sequence[str],
    change: Float64[np.ndarray, "O J"],
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw what moves what: a row is taken out, a column is read.

    Args:
        out: The concepts that are taken out.
        read: Those that are read.
        change: Mean change of each column's concept; NaN where it is not read.
        title: What is read.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure whose colours are the same above and below 0.
    """
    width, height = (2.4 + 0.42 * max(len(names), 2) for names in (read, out))
    figure, (panel,) = new_figure(width + 0.8, height, axes=axes)
    largest = float(np.nanmax(np.abs(change), initial=0.0)) or 1.0
    image = panel.imshow(change, cmap="RdBu_r", vmin=-largest, vmax=largest)
    panel.set_xticks(range(len(read)), list(map(short_name, read)), rotation=90, fontsize=7)
    panel.set_yticks(range(len(out)), list(map(short_name, out)), fontsize=7)
    panel.set_xlabel("what is read")
    panel.set_ylabel("what is taken out")
    panel.grid(False)
    if title:
        panel.set_title(title, loc="left", fontsize=9)
    if max(change.shape) <= _WRITTEN:
        for (row, column), value in np.ndenumerate(change):
            colour = "white" if abs(value) > 0.6 * largest else "black"
            words = f"{round(value, 2) + 0.0:.2f}" if np.isfinite(value) else ""
            panel.text(column, row, words, ha="center", va="center", color=colour, fontsize=6)
    figure.colorbar(image, ax=panel, label="change in standard deviations", shrink=0.8)
    return figure


def before_and_after(
    images: UInt8[np.ndarray, "n 3 H W"],
    captions: Sequence[str],
    maps: Float[np.ndarray, "n 2 h w"] | None = None,
    bars: Sequence[Mapping[str, tuple[float, float]]] = (),
    axes: Axes | None = None,
) -> Figure:
    """Show pictures, and what a network says of them before and after a change.

    Args:
        images: RGB, 0 to 255.
        captions: The concept that is taken out of each picture.
        maps: Scores at a later layer, before and after.
        bars: In their place, before and after of some classes by name.
        axes: Where to draw; a new figure if None.

    Returns:
        A figure with a row per picture.
    """
    columns = 2 if maps is None else 3
    figure, panels = new_figure(3.0 * columns, 2.5 * len(images), len(images), columns, axes=axes)
    for n, image in enumerate(images):
        first, *others = panels[columns * n : columns * (n + 1)]
        first.imshow(image.transpose(1, 2, 0))
        first.set_title(f"{short_name(captions[n])} is taken out", loc="left", fontsize=8)
        _bare(first)
        if maps is None:
            _draw_bars(others[0], bars[n])
            continue
        low, high = float(maps[n].min()), float(maps[n].max())
        for panel, scores, words in zip(others, maps[n], ("before", "after"), strict=True):
            panel.imshow(scores, cmap="viridis", vmin=low, vmax=high)
            score = f"score of {short_name(captions[n])} {words}"
            panel.set_title(score, loc="left", fontsize=8)
            _bare(panel)
    return figure


def _draw_bars(panel: Axes, bars: Mapping[str, tuple[float, float]]) -> None:
    some = dict(list(bars.items())[:_BARS])
    place = np.arange(len(some))[::-1]
    for shift, words, colour, which in ((0.2, "before", COLOURS[0], 0), (-0.2, "after", CHANCE, 1)):
        panel.barh(
            place + shift, [v[which] for v in some.values()], 0.38, color=colour, label=words
        )
    panel.set_yticks(place, [short_name(name) for name in some], fontsize=7)
    panel.set_xlabel("logit", fontsize=7)
    panel.legend(fontsize=7, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def _bare(panel: Axes) -> None:
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[:].set_visible(False)
