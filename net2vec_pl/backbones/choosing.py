"""Decide how the outputs of a network's layers are laid out, and refuse where it is not certain.

A map has the image's proportions and grows with it: of an image that is a third taller and two
thirds wider it has a third more rows and two thirds more columns. Scores of attention grow with the
area along both axes, and the keys of a head along one. Values tell too: what changes below in the
image changes below in a map.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from jaxtyping import Float, Shaped
from torch import Tensor

from net2vec_pl.backbones.layouts import Layout, Tokens, channels_last, maps, vector
from net2vec_pl.backbones.patches import Patches

Size = tuple[int, int]
Shape = tuple[int, ...]
Key = tuple[str, str]  # path of a module, and which of its tensors

# How far a layer must move where the image changed, in terms of how far it moves elsewhere. Tokens
# in order move much further there at the first layers that have them, which see little of the
# image; tokens in an order of their own, and scores of attention, reach 1.4 along one side.
_CLEARLY, _RATHER = 2.0, 1.15
# Where filters, rows and columns are.
_AXES: dict[Layout, tuple[int, int, int]] = {maps: (0, 1, 2), channels_last: (2, 0, 1)}


@dataclass(frozen=True)
class Given:
    """What a tensor showed in a trace.

    Args:
        shape: Its shape for one image.
        wider: The same for an image of another size; None if the network takes no such image.
        echo: How far it moves at each place when the lower half of the image changes, and when the
            right half does: of tokens, or of either layout of a map.
        inner: Whether it comes from inside of attention or of a patch embedding.
    """

    shape: Shape
    wider: Shape | None = None
    echo: Mapping[str, Float[Tensor, "2 ..."]] = field(default_factory=dict)
    inner: bool = False

    @property
    def stays(self) -> bool:
        """Whether it has no other shape for another image, as far as is known."""
        return self.wider is None or self.wider == self.shape


@dataclass(frozen=True)
class Sizes:
    """(H, W) of the images of a trace, and of the other ones."""

    size: Size
    wider: Size

    @property
    def ratios(self) -> tuple[float, float]:
        """By how much the other image is taller, and wider."""
        return self.wider[0] / self.size[0], self.wider[1] / self.size[1]


def echoes(outputs: Shaped[Tensor, "3 ..."]) -> dict[str, Tensor]:
    """Return how far an output moves at its places; see :class:`Given`.

    Args:
        outputs: Of an image, of one whose lower half differs, and of one whose right half does.
    """
    if outputs.dim() not in (3, 4) or not outputs.is_floating_point():
        return {}
    moved = (outputs[1:] - outputs[:1]).abs()
    if outputs.dim() == 3:
        return {"tokens": moved.mean(2)}
    return {"maps": moved.mean(1), "channels_last": moved.mean(3)}


def choose_layouts(
    given: Mapping[Key, Given], sizes: Sizes, known: Patches
) -> dict[Key, Layout | None]:
    """Decide how tensors are laid out: tokens first, then maps.

    Args:
        given: What is known of each tensor.
        sizes: Of the images.
        known: What the network says of its tokens.

    Returns:
        The layout of each; None where none is certain.
    """
    proposed = {
        at: layout
        for at, one in given.items()
        if (layout := _token_layout(one, sizes, known)) is not None
    }
    loudest: dict[Tokens, float] = {}
    for at, layout in proposed.items():
        echo = given[at].echo["tokens"][:, layout.prefix :].reshape(2, *layout.grid)
        loudest[layout] = max(loudest.get(layout, 0), _loudness(echo))
    tokens = {at: layout for at, layout in proposed.items() if loudest[layout] > _CLEARLY}
    counts = frozenset(given[at].shape[0] for at in tokens)
    others = {at: one for at, one in given.items() if at not in tokens}
    return {**tokens, **{at: _map_layout(one, sizes, counts) for at, one in others.items()}}


def _token_layout(given: Given, sizes: Sizes, known: Patches) -> Tokens | None:
    """Return the only prefix and grid that fit the number of tokens; None if there is none."""
    if len(given.shape) != 2 or given.wider == given.shape:  # patches grow in number
        return None
    own = {(known.grid, known.grid)} if known.grid else set()
    found = {
        Tokens(prefix, grid)
        for grid, wider in _grids(sizes) | own
        if (prefix := given.shape[0] - math.prod(grid)) >= 0
        and math.prod(grid) > 1
        and (
            prefix in {0, known.prefix}
            if given.wider is None
            else given.wider == (prefix + math.prod(wider), given.shape[1])
        )
    }
    if len(found) > 1:
        found = {layout for layout in found if layout.prefix in {0, known.prefix}}
    return found.pop() if len(found) == 1 else None


def _map_layout(given: Given, sizes: Sizes, counts: frozenset[int]) -> Layout | None:
    """Return how a map, or a vector, is laid out; None if it is neither.

    Args:
        given: What is known of the tensor.
        sizes: Of the images.
        counts: How many tokens layers of the network have; none if it has no such layer.
    """
    shape = given.shape
    if len(shape) == 1:
        return vector
    if len(shape) != 3:
        return None
    if math.prod(shape[1:]) == 1:
        return maps
    if given.stays and given.inner:  # windows, or scores, of which some look like a map
        return None
    if not given.stays:
        return next((layout for layout in _AXES if _grows(layout, given, sizes)), None)
    images = [layout for layout in _AXES if _is_image(_cells(layout, shape), sizes.size)]
    if counts:  # then what stays as it is may be attention
        images = [one for one in images if not counts.intersection(_cells(one, shape))]
        candidates, least = images, _RATHER
    else:  # behind adaptive pooling a map need not have the image's proportions
        candidates, least = images or [maps], 1.0 if images else _RATHER
    placed = (one for one in candidates if _loudness(given.echo[one.__name__]) > least)
    return next(placed, None)


def _cells(layout: Layout, shape: Shape) -> Size:
    _, rows, columns = _AXES[layout]
    return shape[rows], shape[columns]


def _grows(layout: Layout, given: Given, sizes: Sizes) -> bool:
    """Return whether places change with the image as those of a map do, and filters not."""
    filters = _AXES[layout][0]
    if given.wider is None or len(given.wider) != 3 or given.shape[filters] != given.wider[filters]:
        return False
    before, after = _cells(layout, given.shape), _cells(layout, given.wider)
    # A network that brings images to a size of its own keeps their proportions.
    in_proportion = _is_image(before, sizes.size) and _is_image(after, sizes.wider)
    return in_proportion or all(
        _grows_as_side(cells, more, ratio, math.prod(sizes.ratios))
        for cells, more, ratio in zip(before, after, sizes.ratios, strict=True)
    )


def _grows_as_side(cells: int, more: int, ratio: float, area: float) -> bool:
    """Return whether an axis grows as a side of the image does rather than as its area.

    Example:
        >>> _grows_as_side(14, 18, 1.29, 2.0), _grows_as_side(196, 396, 1.29, 2.0)
        (True, False)
    """
    if more == cells:
        return cells == 1 or cells * (ratio - 1) < 1  # less than one cell more
    # In the geometric middle of both, with a cell for what is lost at the edges.
    return more > cells and (more - 1) ** 2 < ratio * area * (cells + 1) ** 2


@cache
def _grids(sizes: Sizes) -> frozenset[tuple[Size, Size]]:
    """Return the grids of square patches of every side, for both sizes, rounded down or up."""

    def grid(size: Size, side: int, rounded: Callable[[float], int]) -> Size:
        return rounded(size[0] / side), rounded(size[1] / side)

    return frozenset(
        (grid(sizes.size, side, rounded), grid(sizes.wider, side, rounded))
        for side in range(1, max(sizes.size) + 1)
        for rounded in (math.floor, math.ceil)
    )


def _loudness(echo: Float[Tensor, "2 h w"]) -> float:
    """Return how far a map moves where the image changed, in terms of how far elsewhere.

    Args:
        echo: How far it moves at each place, when the lower half of the image changes and when the
            right half does.

    Returns:
        Of both the lesser; infinite where nothing moves at all.
    """
    below, right = echo
    lines = [line for line in (below.mean(1), right.mean(0)) if len(line) > 1]
    halves = [(line[: len(line) // 2], line[-(len(line) // 2) :]) for line in lines]
    moved = [(float(before.mean()), float(behind.mean())) for before, behind in halves]
    return min(
        (behind / before if before else math.inf for before, behind in moved), default=math.inf
    )


def _is_image(cells: Shape, image_size: Size) -> bool:
    (h, w), (height, width) = cells, image_size
    return h * w > 1 and abs(h * width - w * height) <= max(image_size)  # to a cell
