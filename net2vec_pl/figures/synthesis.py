"""Synthesised images of concepts, those of an embedding beside those of its best filter."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from net2vec_pl.figures.style import new_figure

_SHOWN, _COLUMNS = 24, 6


def synthesis_grid(
    names: Sequence[str],
    images: Float[np.ndarray, "C V 3 H W"],
    captions: Sequence[Sequence[str]],
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Show V images of each concept side by side, the concepts one after another.

    Args:
        names: Names of the concepts.
        images: RGB in [0, 1], in the order of the names; V variants, such as embedding and filter.
        captions: Under each image, such as its objective and what noise reaches.
        title: Title of the figure.
        axes: Where to draw; a new figure if None.

    Returns:
        A grid with the first 24 concepts; the title says if there are more.
    """
    shown, variants = min(len(names), _SHOWN), images.shape[1]
    blocks = max(min(_COLUMNS // max(variants, 1), shown), 1)
    rows, columns = max(-(-shown // blocks), 1), blocks * max(variants, 1)
    more = f" (the first {shown} of {len(names)})" if len(names) > shown else ""
    heading = f"{title}{more}" if shown else f"{title}: no image to show"
    size = 1.5 * columns, 2.0 * rows + 0.4
    figure, panels = new_figure(*size, rows, columns, title=heading, axes=axes)
    for axis in panels:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)
    for at in range(shown * variants):
        concept, variant = divmod(at, variants)
        panels[at].imshow(images[concept, variant].transpose(1, 2, 0).clip(0, 1))
        panels[at].set_xlabel(captions[concept][variant], fontsize=7)
        if variant == 0:
            panels[at].set_title(names[concept], loc="left", fontsize=9)
    return figure
