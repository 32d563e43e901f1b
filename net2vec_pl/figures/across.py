"""Many settings beside one another: over depth, concept by concept, two by two."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import CHANCE, colour_of, new_figure

_NAMED = 60  # rows of a heat map that can be read
_NAMED_COLUMNS = 40
_CELLS = 500  # cells in which a number can be read
_SMALL = 7.0
_OUTLIERS = 6
_NAME_LENGTH = 24
ALL = "all"


def curves_over_depth(
    panels: Mapping[str, Mapping[str, Float64[np.ndarray, "3 S"]]],
    labels: Sequence[str],
    series: Sequence[str],
) -> Figure:
    """Draw means over concepts, layer by layer: a panel per score, a line per category.

    Args:
        panels: Score -> category (or ``all``) -> value, lower and upper bound at every setting; NaN
            where there is none.
        labels: Labels of the settings.
        series: Name of each setting's series. Lines join the layers of one series; its settings
            stand side by side, in order of depth.

    Returns:
        A figure with two panels a row; intervals are drawn for ``all``, where there are any. Scores
        of one quantity, which their names have before a comma, have one scale.
    """
    columns = 2 if len(labels) <= 16 and len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    width = float(np.clip(1.5 + 0.45 * len(labels), 4.2, 16.0))
    longest = max((len(label) for label in labels), default=0)
    height = 2.4 + 0.05 * min(longest, 30)
    figure, axes = new_figure(width * columns, height * rows, rows, columns)
    place = _places(series)
    colours = {ALL: "#000000"} | colour_of(n for p in panels.values() for n in p if n != ALL)
    told = {name: name for name in colours}
    if any(np.isfinite(lines[ALL][1:]).any() for lines in panels.values() if ALL in lines):
        told[ALL] = f"{ALL}, 95 % interval"
    tops: dict[str, float] = {}
    for score, lines in panels.items():
        highest = max(map(_top, lines.values()))
        tops[_quantity(score)] = max(tops.get(_quantity(score), 0.0), highest)
    for panel, (score, lines) in zip(axes, panels.items(), strict=False):
        for name in sorted(lines, key=lambda name: name == ALL):
            _line(panel, place, lines[name], series, told[name], colours[name])
        _settings_axis(panel, place, labels)
        panel.set_title(score, loc="left", fontsize=9)
        panel.set_ylim(0, 1.06 * tops[_quantity(score)])
        panel.set_xlim(place.min(initial=0) - 0.4, place.max(initial=0) + 0.4)
    for panel in axes[len(panels) :]:
        panel.remove()
    handles = {
        name: handle
        for panel in axes[: len(panels)]
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if len(handles) > 1:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=6, frameon=False)
    return figure


def _quantity(score: str) -> str:
    return score.partition(",")[0]


def _places(series: Sequence[str]) -> Float64[np.ndarray, "S"]:
    """Place settings side by side, with a gap between series."""
    starts = [i > 0 and series[i] != series[i - 1] for i in range(len(series))]
    return np.arange(len(series)) + 0.6 * np.cumsum(starts)


def _line(
    axes: Axes,
    place: Float64[np.ndarray, "S"],
    curve: Float64[np.ndarray, "3 S"],
    series: Sequence[str],
    name: str,
    colour: str,
) -> None:
    whole = name.partition(",")[0] == ALL
    style: Any = {
        "color": colour,
        "markersize": 4 if whole else 3,
        "linewidth": 1.8 if whole else 1.1,
    }
    for i, of in enumerate(dict.fromkeys(series)):
        mine = np.array([s == of for s in series])
        label = name if i == 0 else None
        axes.plot(
            place[mine], curve[0, mine], "o-", label=label, zorder=3 if whole else 2,
            clip_on=False, **style,
        )  # fmt: skip
    if whole:
        reach = np.maximum(np.stack([curve[0] - curve[1], curve[2] - curve[0]]), 0.0)
        axes.errorbar(place, curve[0], reach, fmt="none", ecolor=colour, capsize=2, zorder=3)


def _settings_axis(axes: Axes, place: Float64[np.ndarray, "S"], labels: Sequence[str]) -> None:
    """Name the settings; one in so many where they stand close."""
    every = max(1, -(-len(labels) // _NAMED_COLUMNS))
    shown = [_short(label) for label in labels[::every]]
    axes.set_xticks(place[::every], shown)
    if sum(map(len, shown)) > 45 or every > 1:
        axes.tick_params(axis="x", rotation=90, labelsize=_SMALL)


def concept_heat_map(
    scores: Float64[np.ndarray, "C S"],
    concepts: Sequence[str],
    categories: Sequence[str],
    labels: Sequence[str],
    score: str,
) -> Figure:
    """Draw scores of concepts over settings; of many concepts, those that vary most.

    Args:
        scores: Finite.
        concepts: Names.
        categories: Category of each.
        labels: Labels of the settings.
        score: What is drawn.

    Returns:
        A figure whose rows are sorted by category, and in it by the mean score; its title says how
        many concepts it shows.
    """
    spread = np.ptp(scores, axis=1) if scores.size else np.zeros(len(scores))
    shown = np.argsort(-spread, kind="stable")[:_NAMED]
    order = list(dict.fromkeys(categories))
    rows = sorted(shown, key=lambda c: (order.index(categories[c]), -scores[c].mean()))
    width = float(np.clip(3.2 + 0.55 * len(labels), 5.0, 16.0))
    figure, (axes,) = new_figure(width, 1.6 + 0.17 * max(len(rows), 4))
    drawn = scores[rows]
    image = axes.imshow(drawn, aspect="auto", cmap="viridis", vmin=0, vmax=_top(drawn))
    figure.colorbar(image, ax=axes, shrink=0.6, label=score)
    if drawn.size <= _CELLS and len(labels) <= 12:
        _write_cells(axes, drawn)
    axes.set_yticks(range(len(rows)), [_short(concepts[c]) for c in rows], fontsize=_SMALL)
    _settings_axis(axes, np.arange(len(labels), dtype=np.float64), labels)
    axes.grid(False)
    _mark_categories(axes, [categories[c] for c in rows])
    which = (
        f"all {len(rows)}"
        if len(rows) == len(concepts)
        else (f"the {len(rows)} of {len(concepts)} that vary most")
    )
    axes.set_title(f"Concepts: {which}", loc="left", fontsize=9)
    return figure


def _top(values: Float64[np.ndarray, "..."]) -> float:
    return float(np.nanmax(values, initial=1e-6))


def _write_cells(axes: Axes, values: Float64[np.ndarray, "R S"], pattern: str = "{:.2f}") -> None:
    """Write every number into its cell, light on dark and dark on light."""
    low, high = np.nanmin(values), np.nanmax(values)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = value - low < 0.6 * (high - low)
            colour = "white" if dark else "black"
            text = pattern.format(value)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6.5)


def _mark_categories(axes: Axes, categories: Sequence[str]) -> None:
    """Part the rows of two categories by a line, and name them at the right."""
    for name in dict.fromkeys(categories):
        rows = [i for i, category in enumerate(categories) if category == name]
        if rows[0]:
            axes.axhline(rows[0] - 0.5, color="white", linewidth=2)
        middle = (rows[0] + rows[-1]) / 2
        turned = 270 if len(rows) > 3 else 0
        axes.annotate(
            name, (1.01, middle), xycoords=("axes fraction", "data"), rotation=turned,
            va="center", fontsize=_SMALL, annotation_clip=False,
        )  # fmt: skip


def concept_scatters(
    pairs: Sequence[tuple[str, str]],
    scores: Sequence[Float64[np.ndarray, "2 C"]],
    concepts: Sequence[str],
    categories: Sequence[str],
    score: str,
) -> Figure:
    """Draw two settings against each other, a point per concept; outliers have names.

    Args:
        pairs: Labels of the two settings of each panel.
        scores: Their scores.
        concepts: Names.
        categories: Category of each.
        score: What is drawn.

    Returns:
        A figure with a panel per pair; above the diagonal the second setting scores higher.
    """
    figure, panels = new_figure(4.2 * len(pairs), 4.4, 1, len(pairs))
    colours = colour_of(categories)
    top = 1.08 * max(_top(values) for values in scores)
    for axes, (first, second), (x, y) in zip(panels, pairs, scores, strict=True):
        axes.plot([0, top], [0, top], color=CHANCE, linewidth=1)
        for name, colour in colours.items():
            mine = np.array([category == name for category in categories])
            size = 16 if len(concepts) <= 200 else 6
            axes.scatter(x[mine], y[mine], size, colour, label=name, linewidths=0, alpha=0.8)
        _name_outliers(axes, x, y, concepts, top)
        axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axes.set_xlabel(f"{score}, {_short(first, 40)}")
        axes.set_ylabel(f"{score}, {_short(second, 40)}")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=6, frameon=False, scatterpoints=1,
        markerscale=1 if len(concepts) <= 200 else 2,
    )  # fmt: skip
    return figure


def _name_outliers(
    axes: Axes,
    x: Float64[np.ndarray, "C"],
    y: Float64[np.ndarray, "C"],
    concepts: Sequence[str],
    top: float,
) -> None:
    """Name the points furthest from the diagonal, but for those that a name would cover."""
    named: list[float] = []
    for c in np.argsort(-np.abs(x - y), kind="stable"):
        if len(named) == _OUTLIERS:
            break
        if any(abs(y[c] - height) < 0.04 * top for height in named):
            continue
        left = bool(x[c] > 0.6 * top)
        axes.annotate(
            _short(concepts[c]), (x[c], y[c]), (-4 if left else 4, 0), fontsize=_SMALL,
            textcoords="offset points", ha="right" if left else "left", va="center",
        )  # fmt: skip
        named.append(float(y[c]))


def distance_heat_maps(
    squares: Mapping[str, Float64[np.ndarray, "E E"]], labels: Sequence[str]
) -> Figure:
    """Draw measures of every two embeddings, a panel each.

    Args:
        squares: Measure -> symmetric matrix; NaN is left blank.
        labels: Labels of the embeddings.
    """
    side = float(np.clip(0.38 * len(labels) + 1.8, 3.6, 9.0))
    figure, panels = new_figure((side + 1.0) * len(squares), side + 0.9, 1, len(squares))
    place = np.arange(len(labels), dtype=np.float64)
    every = max(1, -(-len(labels) // _NAMED_COLUMNS))
    for i, (axes, (name, square)) in enumerate(zip(panels, squares.items(), strict=True)):
        image = axes.imshow(square, cmap="viridis")
        figure.colorbar(image, ax=axes, shrink=0.75)
        if len(labels) <= 12:
            _write_cells(axes, square, "{:#.2g}")
        _settings_axis(axes, place, labels)
        names = [_short(label) for label in labels[::every]]
        axes.set_yticks(place[::every], names if i == 0 else [], fontsize=_SMALL)
        axes.grid(False)
        axes.set_title(name, loc="left", fontsize=9)
    return figure


def _short(name: str, length: int = _NAME_LENGTH) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
