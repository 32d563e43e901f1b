"""Pictures of the space of embeddings: map, similarities, tree, categories, comparisons.

All are made for twenty concepts as for a thousand. Where names would not fit, some are shown and
the figure says how many.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram, to_tree

from net2vec_pl.figures.style import CHANCE, MULTI, colour_of, new_figure

_NAMED_ROWS = 80
_LEAVES = 80
_SMALL = 7.0
# Where a name may stand beside its point: right, left, above, below, so many points away.
_SIDES = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
_GAP = 4.0


def map_figure(
    position: Float[np.ndarray, "C 2"],
    names: Sequence[str],
    categories: Sequence[str],
    note: str,
    axes: Axes | None = None,
) -> Figure:
    """Draw concepts in the plane, coloured by category, with the names that find room.

    Args:
        position: Points; concepts whose point is NaN are left out and counted.
        names: Name of each concept; where two would overlap, the earlier is shown.
        categories: Category of each.
        note: How the map was made, for the title.
        axes: Where to draw; a new figure if None.

    Returns:
        One axes without ticks, for the axes of such a map have no unit.
    """
    figure, (panel,) = new_figure(8.0, 7.2, axes=axes)
    shown = np.flatnonzero(np.isfinite(position).all(axis=1)).tolist()
    size = 22 if len(shown) <= 100 else 8
    for category, colour in colour_of(categories).items():
        members = [c for c in shown if categories[c] == category]
        if members:
            label = f"{category} ({len(members)})"
            x, y = position[members].T
            panel.scatter(x, y, s=size, color=colour, label=label, linewidths=0)
    panel.set(xticks=[], yticks=[])
    panel.margins(0.1)
    if len(shown) and axes is None:
        panel.legend(
            loc="upper left", bbox_to_anchor=(0, -0.01), ncols=6, fontsize=8, frameon=False
        )
    elif len(shown):
        panel.legend(fontsize=8)
    title = panel.set_title(_map_title(note, len(shown), len(names)), fontsize=9)
    named = _label_where_room(figure, panel, position[shown], [names[c] for c in shown])
    if named < len(shown):
        title.set_text(f"{title.get_text()}\nnames of {named} of them, where there is room")
    return figure


def _map_title(note: str, shown: int, given: int) -> str:
    left_out = f" ({given - shown} without a place left out)" if shown < given else ""
    return f"{shown} concepts{left_out}" + (f": {note}" if note else "")


def _label_where_room(
    figure: Figure, axes: Axes, points: Float[np.ndarray, "V 2"], names: Sequence[str]
) -> int:
    """Name points in turn, on the first side that is free, and return how many got a name."""
    figure.draw_without_rendering()  # fixes the axes, and so the size of text beside them
    inside, taken = np.array(axes.get_window_extent().extents), np.zeros((0, 4))
    ruler = axes.text(0, 0, "", fontsize=_SMALL)
    for point, name in zip(points, names, strict=True):
        ruler.set_text(_short(name, 24))
        size = ruler.get_window_extent()
        centre = axes.transData.transform(point)
        for side in _SIDES:
            reach = _GAP * figure.dpi / 72 + np.array([size.width, size.height]) / 2
            middle = centre + side * reach
            box = np.concatenate([middle - reach, middle + reach])
            if _is_free(box, inside, taken):
                taken = np.vstack([taken, box])
                _write(axes, ruler.get_text(), point, side)
                break
    ruler.remove()
    return len(taken)


def _is_free(
    box: Float[np.ndarray, "4"], inside: Float[np.ndarray, "4"], taken: Float[np.ndarray, "N 4"]
) -> bool:
    within = (box[:2] >= inside[:2]).all() and (box[2:] <= inside[2:]).all()
    apart = (taken[:, :2] >= box[2:]).any(axis=1) | (taken[:, 2:] <= box[:2]).any(axis=1)
    return bool(within and apart.all())


def _write(
    axes: Axes, name: str, point: Float[np.ndarray, "2"], side: Int64[np.ndarray, "2"]
) -> None:
    axes.annotate(
        name,
        (float(point[0]), float(point[1])),
        xytext=(float(_GAP * side[0]), float(_GAP * side[1])),
        textcoords="offset points",
        ha=("right", "center", "left")[int(side[0]) + 1],
        va=("top", "center", "bottom")[int(side[1]) + 1],
        fontsize=_SMALL,
        color="#222222",
        bbox={"facecolor": "white", "alpha": 0.65, "pad": 0.3, "linewidth": 0},
    )


def similarity_figure(
    cosine: Float[np.ndarray, "V V"],
    order: Int64[np.ndarray, "V"],
    names: Sequence[str],
    axes: Axes | None = None,
) -> Figure:
    """Draw the cosines of all pairs, alike beside alike.

    Args:
        cosine: Cosines in [-1, 1].
        order: Rows in the order in which to draw them, a tree's leaves say.
        names: Names of the V rows as they stand in ``cosine``.
        axes: Where to draw; a new figure if None.
    """
    side = float(np.clip(0.13 * len(names) + 2.5, 4.5, 9.5))
    figure, (axes,) = new_figure(side + 0.8, side, axes=axes)
    image = axes.imshow(cosine[np.ix_(order, order)], cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="cosine")
    every = max(1, -(-len(names) // _NAMED_ROWS))
    ticks = range(0, len(names), every)
    labels = [_short(names[order[i]], 20) for i in ticks]
    axes.set_xticks(ticks, labels, rotation=90, fontsize=_SMALL - 1)
    axes.set_yticks(ticks, labels, fontsize=_SMALL - 1)
    axes.grid(False)
    some = f"; one name in {every}" if every > 1 else ""
    axes.set_title(f"Cosines of {len(names)} concepts{some}", fontsize=10)
    return figure


def dendrogram_figure(
    linkage: Float[np.ndarray, "merges 4"], names: Sequence[str], axes: Axes | None = None
) -> Figure:
    """Draw the tree of concepts; of a large one, only the 80 topmost branches.

    Args:
        linkage: SciPy's linkage; empty if there is no tree.
        names: Names of its leaves.
        axes: Where to draw; a new figure if None.
    """
    leaves = min(len(names), _LEAVES)
    figure, (axes,) = new_figure(7.0, 1.6 + 0.15 * leaves, axes=axes)
    title = f"Average linkage of {len(names)} concepts"
    if len(linkage):
        nodes = to_tree(linkage, rd=True)[1]
        dendrogram(
            linkage,
            orientation="left",
            truncate_mode="lastp" if len(names) > _LEAVES else None,
            p=_LEAVES,
            leaf_label_func=lambda node: _leaf(nodes[node].pre_order(), names),
            color_threshold=0,
            above_threshold_color=MULTI,
            leaf_font_size=_SMALL,
            ax=axes,
        )
        if len(names) > _LEAVES:
            title += f"; its {_LEAVES} topmost branches"
    else:
        title = f"No tree of {len(names)} concepts"
        axes.set_yticks([])
    axes.set_xlabel("1 - cosine")
    axes.grid(False)
    axes.set_title(title, fontsize=10)
    return figure


def _leaf(members: Sequence[int], names: Sequence[str]) -> str:
    first = _short(names[members[0]], 28)
    return first if len(members) == 1 else f"{first} and {len(members) - 1} more"


def category_figure(
    share: Float[np.ndarray, "M M"],
    chance: Float[np.ndarray, "M M"],
    categories: Sequence[str],
    count: Int64[np.ndarray, "M"],
    k: int,
    axes: Axes | None = None,
) -> Figure:
    """Draw which categories the nearest concepts belong to, each share above that of chance.

    Args:
        share: Rows sum to 1; NaN for a category without concepts.
        chance: The column's share among all other concepts.
        categories: Names of rows and columns.
        count: Concepts of each.
        k: Neighbours looked at.
        axes: Where to draw; a new figure if None.
    """
    side = max(3.2, 0.75 * len(categories) + 1.2)
    figure, (axes,) = new_figure(side + 1.2, side, axes=axes)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of neighbours")
    for row, column in np.ndindex(share.shape):
        found = share[row, column]
        colour = "white" if found > 0.55 else "black"
        number = f"{found:.2f}\n({chance[row, column]:.2f})" if np.isfinite(found) else "-"
        axes.text(column, row, number, ha="center", va="center", fontsize=_SMALL, color=colour)
    ticks = range(len(categories))
    axes.set_xticks(ticks, categories, rotation=30, ha="right", fontsize=8)
    rows = [f"{name} ({number})" for name, number in zip(categories, count, strict=True)]
    axes.set_yticks(ticks, rows, fontsize=8)
    axes.set(xlabel="category of the neighbour", ylabel="category of the concept (concepts)")
    axes.grid(False)
    axes.set_title(f"The {k} nearest concepts; in brackets, chance", fontsize=10)
    return figure


def comparison_figure(
    value: Float[np.ndarray, "N S"],
    chance: Float[np.ndarray, "N S"],
    p: Sequence[Sequence[str]],
    pairs: Sequence[str],
    scores: Sequence[str],
    axes: Axes | None = None,
) -> Figure:
    """Draw scores of pairs of embeddings as bars, chance as a line across each.

    Args:
        value: Scores; NaN is drawn as "no score".
        chance: What permuted concepts give.
        p: How often they do as well, in words, by pair and score.
        pairs: What was compared, a bar each.
        scores: Names of the measures, a panel each with its own scale.
        axes: Where to draw; a new figure if None.
    """
    height = 1.5 + 0.38 * len(pairs)
    figure, panels = new_figure(1.6 + 2.4 * len(scores), height, 1, len(scores), axes=axes)
    rows = np.arange(len(pairs))
    for at, (panel, score) in enumerate(zip(panels, scores, strict=True)):
        bars = panel.barh(rows, np.nan_to_num(value[:, at]), height=0.6, color=MULTI)
        panel.vlines(chance[:, at], rows - 0.42, rows + 0.42, color=CHANCE, lw=2.5)
        furthest = np.fmax(value[:, at], chance[:, at]).clip(0)
        for row, _ in enumerate(bars):
            place = np.nan_to_num(furthest[row])
            text = _score_text(value[row, at], p[row][at])
            panel.annotate(
                text, (place, row), (4, 0), textcoords="offset points", va="center", fontsize=_SMALL
            )
        right = np.nanmax(furthest, initial=0.0)
        panel.set_xlim(right=1.9 * right if right else 1.0)  # room for the numbers
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.set_yticks(rows, [_short(pair, 32) for pair in pairs] if at == 0 else [])
        panel.set_ylim(len(pairs) - 0.5, -0.5)
        panel.grid(False, axis="y")
        panel.set_title(score, fontsize=9)
    note = "bar: the two embeddings; grey line: one of them shuffled"
    if axes is None:
        figure.supxlabel(note, fontsize=8)
    else:
        panels[0].set_xlabel(note, fontsize=8, loc="left")
    return figure


def _score_text(value: float, p: str) -> str:
    if np.isnan(value):
        return "no score"
    return f"{value:.0f}  ({p})" if abs(value) >= 100 else f"{value:.3f}  ({p})"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
