"""Images that excite a concept more or less, and how well that finds the images that have it."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import CHANCE, COLOURS, MULTI, SINGLE, new_figure

_OUTSIDE = 0.2  # brightness outside a mask, as in the figures of Net2Vec's own code
_OUTLINE = "#F0E442"
_LINES = (MULTI, SINGLE, *COLOURS[2:])


def dim_outside(
    image: UInt8[np.ndarray, "3 H W"], mask: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Darken an image outside a mask; the mask is enlarged by nearest neighbours."""
    height, width = image.shape[1:]
    rows = np.arange(height) * mask.shape[0] // height
    columns = np.arange(width) * mask.shape[1] // width
    light = np.where(mask[rows][:, columns], 1.0, _OUTSIDE)
    return (image * light).transpose(1, 2, 0).astype(np.uint8)


def example_strip(
    images: UInt8[np.ndarray, "n 3 H W"],
    masks: Mapping[str, Bool[np.ndarray, "n _h _w"]],
    captions: Sequence[str],
    title: str,
    truth: Bool[np.ndarray, "n _h _w"] | None = None,
    unknown: Bool[np.ndarray, "n _h _w"] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Show images side by side, plain and then once per mask, dark outside it.

    Args:
        images: RGB, in the order to be shown; may be none. A dozen fit a page.
        masks: Name of a row -> its masks, at the resolution of the ground truth or any other.
        captions: Above each image, such as its percentile and score.
        title: Title of the figure, such as the concept.
        truth: Where the concept is, drawn as an outline in every row.
        unknown: Where it is unknown whether the concept is there, hatched in every row.
        axes: Where to draw; a new figure if None.
    """
    n, rows = len(images), 1 + len(masks)
    size = 1.25 * max(n, 3) + 0.5, 1.25 * rows + 0.8
    outlined = "" if truth is None else " (outlined: ground truth)"
    figure, panels = new_figure(*size, rows, max(n, 1), title=f"{title}{outlined}", axes=axes)
    for axis in panels:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
    if n == 0:
        panels[0].text(0.5, 0.5, "no image to show", ha="center", transform=panels[0].transAxes)
    plain = np.ones((n, 1, 1), dtype=np.bool_)
    for row, (name, shown) in enumerate({"image": plain, **masks}.items()):
        panels[row * max(n, 1)].set_ylabel(name)
        for column in range(n):
            axis = panels[row * n + column]
            axis.imshow(dim_outside(images[column], shown[column]))
            if unknown is not None:
                _hatch(axis, unknown[column], images.shape[2:])
            if truth is not None:
                _outline(axis, truth[column], images.shape[2:])
    for axis, caption in zip(panels, captions, strict=False):
        axis.set_title(caption, fontsize=8)
    return figure


def _outline(axis: Axes, mask: Bool[np.ndarray, "h w"], size: tuple[int, ...]) -> None:
    if not mask.any():
        return
    axis.contour(*_framed(mask, size), levels=[0.5], colors=_OUTLINE, linewidths=1.0)
    axis.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def _hatch(axis: Axes, mask: Bool[np.ndarray, "h w"], size: tuple[int, ...]) -> None:
    if not mask.any():
        return
    axis.contourf(*_framed(mask, size), levels=[0.5, 1.5], colors="none", hatches=["////"])
    axis.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def _framed(
    mask: Bool[np.ndarray, "h w"], size: tuple[int, ...]
) -> tuple[Float[np.ndarray, "_w"], Float[np.ndarray, "_h"], Float[np.ndarray, "_h _w"]]:
    """Return x, y and values of a mask on an image of a size, with a frame of background.

    The frame closes outlines at the border; samples lie in the middle of their cells.
    """
    y, x = (
        (np.arange(-1, m + 1) + 0.5) * s / m - 0.5 for m, s in zip(mask.shape, size, strict=True)
    )
    return x, y, np.pad(mask.astype(np.float64), 1)


def score_histograms(
    scores: Mapping[
        str,
        tuple[Float[np.ndarray, " _e"], Int64[np.ndarray, " _b"], Int64[np.ndarray, " _b"]],
    ],
    title: str,
    axes: Axes | None = None,
) -> Figure:
    """Draw how many images score how much, with the concept and without, a panel per direction.

    Counts are on a logarithmic axis: few images have the concept.

    Args:
        scores: Name of a direction -> edges of its bins, images with the concept, images without.
        title: Title of the figure, such as the concept.
        axes: Where to draw; a new figure if None.
    """
    columns = max(len(scores), 1)
    figure, panels = new_figure(3.4 * columns, 3.0, 1, columns, title=title, axes=axes)
    for axis, (name, (edges, present, absent)) in zip(panels, scores.items(), strict=False):
        for counts, label, colour in (
            (absent, "without the concept", CHANCE),
            (present, "with the concept", MULTI),
        ):
            axis.stairs(
                counts,
                edges,
                fill=True,
                alpha=0.55,
                color=colour,
                label=f"{label} ({counts.sum()})",
            )
        axis.set_yscale("symlog", linthresh=1)
        axis.set(title=name, xlabel="score of the image", ylim=(0, None))
        axis.legend(fontsize=7)
    panels[0].set_ylabel("images")
    return figure


def recall_curves(
    found: Mapping[str, Float[np.ndarray, " N"]],
    positives: int,
    title: str,
    axes: Axes | None = None,
) -> Figure:
    """Draw which share of the images with the concept is among the K that score most.

    Args:
        found: Name of a direction -> images with the concept among the first K, for K = 1 to N.
        positives: Images with the concept.
        title: Title of the figure, such as the concept.
        axes: Where to draw; a new figure if None.
    """
    figure, (axis,) = new_figure(4.6, 3.4, axes=axes)
    count = max((len(curve) for curve in found.values()), default=0)
    axis.set(title=title, xlabel="images looked at, K", ylabel="recall@K", ylim=(0, 1.03))
    if positives == 0 or count == 0:
        axis.text(0.5, 0.5, "no image has the concept", ha="center", transform=axis.transAxes)
        return figure
    k = np.arange(1, count + 1)
    for at, (name, curve) in enumerate(found.items()):
        colour = _LINES[at % len(_LINES)]
        axis.plot(k[: len(curve)], curve / positives, color=colour, label=name)
    axis.plot(k, np.minimum(k, positives) / positives, ":", color=CHANCE, label="best possible")
    axis.plot(k, k / count, "--", color=CHANCE, label="chance")
    axis.set_xscale("log")
    axis.legend(fontsize=8)
    return figure
