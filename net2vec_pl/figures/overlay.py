"""An image with coloured areas and a legend, drawn by PIL: fast, and at the image's size.

Areas lose the image's own colours, are outlined, and carry the number of their entry in the
legend, so that they can be told apart in grey print and by colour-blind readers.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

_TEXT, _MARGIN, _GAP = 15, 8, 20  # pixels
_LINE = _TEXT + 9
_NARROWEST = 420  # of a legend
_TINT = 0.55
_STRIPE = 2  # pixels, of the hatching
_SEARCHED = 160  # longer side of the map on which the place of a number is looked for
_GREY = np.array([0.299, 0.587, 0.114])


def draw_overlay(
    image: UInt8[np.ndarray, "3 H W"],
    labels: UInt8[np.ndarray, "h w"],
    names: Sequence[str],
    colours: UInt8[np.ndarray, "n 3"],
) -> Image.Image:
    """Draw areas over an image, and a legend of those that are there below it.

    Args:
        image: RGB, at the size wanted.
        labels: Number of the area of every pixel, 0 for none; enlarged by nearest neighbours.
        names: Names of areas 1, 2 and on.
        colours: Colour of each concept, by the same index.
    """
    height, width = image.shape[1:]
    picture = draw_areas(image, labels, colours)
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:]
    there = _largest_first(labels)
    entries = [f"{i + 1}  {names[i]}  {counts[i] / labels.size:.1%}" for i in there]
    legend = _legend(entries, colours[there], max(width, _NARROWEST))
    whole = Image.new("RGB", (legend.width, height + legend.height), "white")
    whole.paste(picture, ((legend.width - width) // 2, 0))
    whole.paste(legend, (0, height))
    return whole


def draw_areas(
    image: UInt8[np.ndarray, "3 H W"],
    labels: UInt8[np.ndarray, "h w"],
    colours: UInt8[np.ndarray, "n 3"],
    unknown: Bool[np.ndarray, "h w"] | None = None,
) -> Image.Image:
    """Draw areas over an image, each with its number, and hatch what is unknown.

    Args:
        image: RGB, at the size wanted.
        labels: Number of the area of every pixel, 0 for none; enlarged by nearest neighbours.
        colours: Colour of areas 1, 2 and on.
        unknown: Pixels to hatch in black and white.
    """
    height, width = image.shape[1:]
    areas = _enlarged(labels, width, height)
    pixels = _tinted(image.transpose(1, 2, 0), areas, colours)
    if unknown is not None:
        stripes = np.add.outer(np.arange(height), np.arange(width)) // _STRIPE % 4
        hatched = _enlarged(unknown.astype(np.uint8), width, height) > 0
        pixels[hatched & (stripes == 0)] = 255
        pixels[hatched & (stripes == 1)] = 0
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for i in _largest_first(labels):
        if (place := _widest(areas == i + 1)) is not None:
            draw.text(
                place, str(i + 1), fill="white", font=_font(), anchor="mm",
                stroke_width=2, stroke_fill="black",
            )  # fmt: skip
    return picture


def _enlarged(
    labels: UInt8[np.ndarray, "h w"], width: int, height: int
) -> UInt8[np.ndarray, "H W"]:
    enlarged = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(enlarged)


def _largest_first(labels: UInt8[np.ndarray, "h w"]) -> list[int]:
    """Return the areas that are there, by index, which is their number less 1."""
    counts = np.bincount(labels.ravel())[1:]
    return [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]


def _tinted(
    image: UInt8[np.ndarray, "H W 3"],
    areas: UInt8[np.ndarray, "H W"],
    colours: UInt8[np.ndarray, "n 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    table = np.concatenate([np.zeros((1, 3), np.uint8), colours])
    inside, tinted = areas > 0, image.copy()
    grey = (image[inside] @ _GREY)[:, None]
    tinted[inside] = (_TINT * table[areas[inside]] + (1 - _TINT) * grey).astype(np.uint8)
    outline = _outline(areas)
    tinted[outline] = table[areas[outline]]
    return tinted


def _outline(areas: UInt8[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Return the pixels of areas beside another area or none."""
    edge = np.zeros(areas.shape, dtype=np.bool_)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = areas[one] != areas[other]
        edge[one] |= differs
        edge[other] |= differs
    return edge & (areas > 0)


def _widest(area: Bool[np.ndarray, "H W"]) -> tuple[int, int] | None:
    """Return x and y of the middle of the widest place of an area; None if it is too narrow."""
    step = -(-max(area.shape) // _SEARCHED)
    depth = distance_transform_edt(np.pad(area[step // 2 :: step, step // 2 :: step], 1))
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    if depth[y, x] * step < _TEXT / 2:
        return None
    return int((x - 1) * step + step // 2), int((y - 1) * step + step // 2)


def _legend(entries: Sequence[str], colours: UInt8[np.ndarray, "n 3"], width: int) -> Image.Image:
    shown = list(entries) or ["no concept is found here"]
    swatch = _LINE if entries else 0
    each = int(max(_font().getlength(entry) for entry in shown)) + swatch + _GAP
    columns = max(1, (width - 2 * _MARGIN) // each)
    lines = -(-len(shown) // columns)
    legend = Image.new("RGB", (max(width, each + _MARGIN), lines * _LINE + 2 * _MARGIN), "white")
    draw = ImageDraw.Draw(legend)
    for at, entry in enumerate(shown):
        x, y = _MARGIN + at // lines * each, _MARGIN + at % lines * _LINE
        if entries:
            box = (x, y + 3, x + _TEXT, y + 3 + _TEXT)
            draw.rectangle(box, fill=tuple(colours[at].tolist()), outline="black")
        draw.text((x + swatch, y + _LINE // 2), entry, fill="black", font=_font(), anchor="lm")
    return legend


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return a font with the letters of many languages; matplotlib brings it."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), _TEXT)
