"""A drawn picture: a map of regions, and a table that says what each region is.

All maps of a picture are look-ups in its region map, so a pixel's colour, object and part agree by
construction, and what lies behind something else is labelled nowhere. Regions are drawn at twice
the picture's size: the picture averages two by two of them (smooth edges), a label map takes some,
evenly spaced.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8
from PIL import Image, ImageDraw

from net2vec_pl.datasets.shapes.paints import Paint
from net2vec_pl.datasets.shapes.vocabulary import NUMBERS

OVERSAMPLING = 2
FLAT, GRAINY, WAVY = range(3)
_MAX_REGIONS = 256

# Corners in picture units: (0, 0) is the upper left corner of the picture, (1, 1) the lower right.
Outline = Float[np.ndarray, "_ 2"]


class Region(NamedTuple):
    """What all pixels of one region are; an empty name leaves them unlabelled.

    Args:
        paint: Colour and shade.
        object: Name of the object seen there.
        part: Name of the part of that object.
        nested: Name of the part of that part, such as the hub of a wheel.
        material: Name of the material.
        finish: ``FLAT``, ``GRAINY`` or ``WAVY``; see :func:`add_finish`.
    """

    paint: Paint
    object: str = ""
    part: str = ""
    nested: str = ""
    material: str = ""
    finish: int = 0


@dataclass(frozen=True)
class Picture:
    """A picture of S x S pixels before it is rendered.

    Args:
        regions: Row of ``table`` for each of the drawn dots, 2S by 2S.
        table: What each region is.
        light: Brightness that multiplies the paint, 1 where it stays as it is.
        image_labels: (category, name) of what holds for the whole picture, the dominant first.
    """

    regions: UInt8[np.ndarray, "dots dots"]
    table: tuple[Region, ...]
    light: Float32[np.ndarray, "S S"]
    image_labels: tuple[tuple[str, str], ...]

    def label_map(self, layer: str, size: tuple[int, int]) -> Int32[np.ndarray, "sh sw"]:
        """Return the label numbers of ``color`` or of a field of :class:`Region`.

        Args:
            layer: ``color``, or the name of the field.
            size: (sh, sw), at most :func:`most_dots` of the picture's side each.
        """
        names = [r.paint.color if layer == "color" else getattr(r, layer) for r in self.table]
        numbers = np.array([NUMBERS[name] for name in names], dtype=np.int32)
        dots = most_dots(self.light.shape[0])
        rows, columns = (np.arange(length) * dots // length for length in size)
        labels: Int32[np.ndarray, "sh sw"] = numbers[self.regions[np.ix_(rows, columns)]]
        return labels

    def render(self, rng: np.random.Generator, noise: float = 4.0) -> UInt8[np.ndarray, "3 S S"]:
        """Paint the regions, light them and add grey noise of this standard deviation."""
        dots = Image.fromarray(self.regions)
        dots.putpalette([level for region in self.table for level in region.paint.rgb])
        rgb = np.asarray(dots.convert("RGB").reduce(OVERSAMPLING)).transpose(2, 0, 1)
        grain = noise * rng.standard_normal(self.light.shape, dtype=np.float32)
        lit = rgb * self.light + grain
        pixels: UInt8[np.ndarray, "3 S S"] = np.clip(lit, 0.0, 255.0, out=lit).astype(np.uint8)
        return pixels


def most_dots(size: int) -> int:
    """Return how many dots the side of a picture of S pixels has that masks may show.

    An odd S leaves out the last pixel, so that masks of half its size show every fourth dot.

    Example:
        >>> most_dots(96), most_dots(33)
        (192, 64)
    """
    return 2 * OVERSAMPLING * (size // 2)


@dataclass
class Sketch:
    """Collects outlines, the farthest first, into a map of regions.

    Args:
        size: Side S of the picture in pixels.
    """

    size: int
    table: list[Region] = field(default_factory=list)

    def __post_init__(self) -> None:
        side = OVERSAMPLING * self.size
        self._dots = Image.new("L", (side, side))
        self._pen = ImageDraw.Draw(self._dots)

    def fill(self, region: Region, outlines: Iterable[Outline]) -> None:
        """Cover these outlines, and whatever was drawn there before, with one new region."""
        assert len(self.table) < _MAX_REGIONS, "a dot holds one byte"
        for outline in outlines:
            corners = np.rint(outline * (OVERSAMPLING * self.size)).astype(np.int64)
            self._pen.polygon(corners.ravel().tolist(), fill=len(self.table))
        self.table.append(region)

    @property
    def regions(self) -> UInt8[np.ndarray, "dots dots"]:
        """The region of each dot: its position in :attr:`table`."""
        return np.asarray(self._dots)


def slanted_light(size: int, rng: np.random.Generator) -> Float32[np.ndarray, "S S"]:
    """Light a picture from a random side, at most a quarter up or down from its middle."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    strength = rng.uniform(0.05, 0.18)
    ramp = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    light: Float32[np.ndarray, "S S"] = (rng.uniform(0.88, 1.04) + strength * slope).astype(
        np.float32
    )
    return light


def add_finish(
    light: Float32[np.ndarray, "S S"], finish: UInt8[np.ndarray, "S S"], rng: np.random.Generator
) -> Float32[np.ndarray, "S S"]:
    """Roughen the light where the ground is grainy, and ripple it where it is wavy."""
    rough: Float32[np.ndarray, "S S"] = light.copy()
    grainy, wavy = finish == GRAINY, finish == WAVY
    rough[grainy] *= 1.0 + 0.09 * rng.standard_normal(int(grainy.sum()), dtype=np.float32)
    ramp = np.linspace(0.0, 1.0, light.shape[0], dtype=np.float32)
    bend = 1.5 * np.sin(rng.uniform(12.0, 24.0) * ramp + rng.uniform(0.0, 6.0))
    y, x = np.nonzero(wavy)
    rough[wavy] *= 1.0 + 0.1 * np.sin(rng.uniform(60.0, 100.0) * ramp[y] + bend[x])
    return rough
