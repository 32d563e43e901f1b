"""Paints: which colours things prefer, and the shades that are mixed of them.

No colour alone gives a thing away: every paint can be any of the eleven colours.
"""

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from net2vec_pl.datasets.shapes.vocabulary import COLORS

_ANY_COLOR = 0.15

# The colours a paint prefers, the likeliest first; now and then it is any of the eleven.
PALETTES = {
    key: tuple(f"{name}-c" for name in names.split())
    for key, names in {
        "sky": "blue white grey orange pink purple",
        "dark sky": "black blue purple",
        "sea": "blue green grey purple",
        "meadow": "green yellow brown orange",
        "road": "grey black brown purple",
        "beach": "yellow white brown orange pink",
        "rock": "grey brown purple black green",
        "wall": "white yellow grey pink orange brown blue",
        "roof": "red brown grey black orange purple",
        "chimney": "brown red grey",
        "door": "brown green red blue white black",
        "knob": "yellow black white",
        "glass": "blue white black grey yellow",
        "body": "red blue white green yellow orange black purple",
        "tyre": "black grey brown",
        "hub": "white grey yellow red",
        "lamp": "yellow white",
        "bark": "brown black grey",
        "leaves": "green yellow red orange brown",
        "skin": "pink brown orange yellow black",
        "eye": "black blue white",
        "shirt": "red blue yellow white green purple pink orange",
        "trousers": "blue black grey brown green purple",
        "sail": "white red yellow orange pink",
        "hull": "brown red white blue grey black",
        "petal": "pink red yellow purple white orange blue",
        "heart": "yellow brown orange black",
        "flame": "orange yellow red",
        "fin": "orange red yellow blue purple pink",
        "nose": "red orange black yellow",
        "scales": "orange yellow blue red purple grey green",
        "cheek": "white orange yellow pink grey",
        "cloud": "white grey pink",
        "sun": "yellow orange red white",
    }.items()
}


class Paint(NamedTuple):
    """A colour by name and the shade of it that is used.

    Args:
        color: One of the eleven names, such as ``red-c``.
        rgb: The shade, each of red, green and blue from 0 to 255.
    """

    color: str
    rgb: tuple[int, int, int]


def draw_index(weights: list[float], rng: np.random.Generator) -> int:
    """Draw an index with these relative weights."""
    edges = list(accumulate(weights))
    return bisect_right(edges, rng.random() * edges[-1], hi=len(edges) - 1)


def mix_paint(color: str, rng: np.random.Generator) -> Paint:
    """Mix a shade of a colour: about a tenth lighter or darker, and slightly off in hue."""
    gain, *offsets = rng.random(4).tolist()
    red, green, blue = (
        int(min(max((0.86 + 0.22 * gain) * middle + 28.0 * (offset - 0.5), 0.0), 255.0))
        for middle, offset in zip(COLORS[color], offsets, strict=True)
    )
    return Paint(color, (red, green, blue))


def pick_paint(palette: str, rng: np.random.Generator) -> Paint:
    """Mix a paint: mostly a colour that the palette prefers, now and then any of the eleven."""
    if rng.random() < _ANY_COLOR:
        return mix_paint(list(COLORS)[int(rng.integers(len(COLORS)))], rng)
    names = PALETTES[palette]
    return mix_paint(
        names[draw_index([1.0 / (1.5 + rank) for rank in range(len(names))], rng)], rng
    )
