"""Scene pictures: a backdrop in bands, and things that stand, swim or fly before it.

They carry colours, objects, parts and the name of the scene, as BRODEN's pictures from ADE20K do.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from net2vec_pl.datasets.shapes.objects import THINGS, Piece, Thing, box, polygon
from net2vec_pl.datasets.shapes.paints import Paint, draw_index, mix_paint, pick_paint
from net2vec_pl.datasets.shapes.picture import (
    FLAT,
    GRAINY,
    OVERSAMPLING,
    WAVY,
    Outline,
    Picture,
    Region,
    Sketch,
    add_finish,
    slanted_light,
)


class Band(NamedTuple):
    """A part of the backdrop: all of the picture below an edge, until the next band.

    Args:
        object: The object that it shows.
        paint: Key of the palettes.
        finish: ``FLAT``, ``GRAINY`` or ``WAVY``.
        top: Smallest and largest height of its upper edge, 0 at the picture's top, 1 at its bottom.
        ridge: Whether the upper edge is a mountain ridge.
        chance: Probability that the band is there.
        marks: ``stars`` or ``dashes`` upon it, if any.
    """

    object: str
    paint: str
    finish: int
    top: tuple[float, float] = (0.0, 0.0)
    ridge: bool = False
    chance: float = 1.0
    marks: str = ""


class Scene(NamedTuple):
    """A kind of place.

    Args:
        name: The scene's concept.
        weight: How common it is beside the others.
        bands: The backdrop from top to bottom; the first fills the picture.
        things: Things that have parts: (name, weight, the band they are on).
        decor: Things without parts, in the same form.
    """

    name: str
    weight: float
    bands: tuple[Band, ...]
    things: tuple[tuple[str, float, str], ...]
    decor: tuple[tuple[str, float, str], ...] = (("cloud", 2.0, "sky"), ("sun", 1.0, "sky"))


_SKY = Band("sky", "sky", FLAT)
_NIGHT_SKY = Band("sky", "dark sky", FLAT, marks="stars")
_HILLS = Band("mountain", "rock", GRAINY, (0.2, 0.34), ridge=True, chance=0.5)
_MEADOW = Band("grass", "meadow", GRAINY, (0.42, 0.6))

SCENES = (
    Scene(
        "street-s",
        0.30,
        (
            _SKY,
            Band("grass", "meadow", GRAINY, (0.42, 0.52), chance=0.5),
            Band("road", "road", FLAT, (0.56, 0.7), marks="dashes"),
        ),
        (
            ("house", 3.0, "road"),
            ("car", 3.0, "road"),
            ("person", 2.0, "road"),
            ("tree", 1.5, "road"),
            ("wheel", 0.4, "road"),
        ),
    ),
    Scene(
        "meadow-s",
        0.22,
        (_SKY, _HILLS, _MEADOW),
        (
            ("tree", 3.0, "grass"),
            ("flower", 2.5, "grass"),
            ("house", 1.5, "grass"),
            ("person", 1.5, "grass"),
            ("wheel", 0.2, "grass"),
        ),
    ),
    Scene(
        "seaside-s",
        0.20,
        (
            _SKY,
            Band("sea", "sea", WAVY, (0.38, 0.5)),
            Band("sand", "beach", GRAINY, (0.72, 0.86)),
        ),
        (
            ("boat", 3.0, "sea"),
            ("person", 1.5, "sand"),
            ("tree", 0.8, "sand"),
            ("wheel", 0.2, "sand"),
        ),
    ),
    Scene(
        "night-s",
        0.11,
        (
            _NIGHT_SKY,
            Band("road", "road", FLAT, (0.6, 0.75), chance=0.5),
            _MEADOW._replace(top=(0.76, 0.85)),
        ),
        (
            ("house", 3.0, "grass"),
            ("tree", 1.5, "grass"),
            ("person", 1.0, "grass"),
            ("rocket", 0.6, "sky"),
        ),
    ),
    Scene(
        "desert-s",
        0.10,
        (_SKY, _HILLS, Band("sand", "beach", GRAINY, (0.5, 0.66))),
        (
            ("car", 2.0, "sand"),
            ("person", 2.0, "sand"),
            ("rocket", 1.0, "sky"),
            ("wheel", 1.0, "sand"),
        ),
    ),
    Scene(
        "underwater-s",
        0.07,
        (
            Band("sea", "sea", WAVY),
            Band("sand", "beach", GRAINY, (0.76, 0.9), chance=0.7),
        ),
        (("fish", 5.0, "sea"), ("wheel", 0.3, "sea")),
        decor=(),
    ),
)


class _Ground(NamedTuple):
    """Where a band ended up: its upper and lower edge in picture units."""

    top: float
    bottom: float


class _Placed(NamedTuple):
    name: str
    x: float
    y: float
    depth: float


def compose_scene(size: int, with_things: bool, rng: np.random.Generator) -> Picture:
    """Compose a scene of two to five objects before a backdrop.

    Args:
        size: Side of the picture in pixels.
        with_things: Whether things with parts are there; otherwise clouds and the sun alone.
        rng: Source of all chance.
    """
    scenes = [scene for scene in SCENES if with_things or scene.decor]
    scene = scenes[draw_index([scene.weight for scene in scenes], rng)]
    sketch = Sketch(size)
    grounds = _draw_backdrop(sketch, scene.bands, rng)
    for placed in _place_things(scene, grounds, with_things, rng):
        _draw_thing(sketch, placed, rng)
    finish = np.array([region.finish for region in sketch.table], dtype=np.uint8)
    rough = add_finish(
        slanted_light(size, rng), finish[sketch.regions[::OVERSAMPLING, ::OVERSAMPLING]], rng
    )
    return Picture(sketch.regions, tuple(sketch.table), rough, (("scene", scene.name),))


def _draw_backdrop(
    sketch: Sketch, bands: tuple[Band, ...], rng: np.random.Generator
) -> dict[str, _Ground]:
    """Draw the bands that are there and return where each is."""
    present = [band for band in bands if rng.random() < band.chance]
    tops = [rng.uniform(*band.top) for band in present]
    grounds = {}
    for band, top, bottom in zip(present, tops, [*tops[1:], 1.0], strict=True):
        grounds[band.object] = _Ground(top, bottom)
        region = Region(pick_paint(band.paint, rng), band.object, finish=band.finish)
        sketch.fill(region, [_ridge(top, bottom, rng) if band.ridge else box(0.0, top, 1.0, 1.0)])
        if band.marks:
            mark = Region(mix_paint("white-c", rng), band.object)
            draw = _stars if band.marks == "stars" else _dashes
            sketch.fill(mark, draw(top, bottom, rng))
    return grounds


def _ridge(top: float, bottom: float, rng: np.random.Generator) -> Outline:
    """Return a ridge whose peaks reach up to ``top`` and whose valleys stay above ``bottom``."""
    x = np.linspace(0.0, 1.0, int(rng.integers(5, 10)))
    y = top + 0.8 * (bottom - top) * rng.random(x.size)
    return np.array([*zip(x, y, strict=True), (1.0, 1.0), (0.0, 1.0)])


def _stars(top: float, bottom: float, rng: np.random.Generator) -> list[Outline]:
    """Return small diamonds strewn over a band."""
    places = rng.random((int(rng.integers(8, 20)), 2)) * (1.0, bottom - top) + (0.0, top)
    diamond = 0.008 * polygon((-1.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0))
    return [diamond + place for place in places]


def _dashes(top: float, bottom: float, rng: np.random.Generator) -> list[Outline]:
    """Return the dashes of a road's middle line."""
    y = rng.uniform(top + 0.05, bottom - 0.05)
    starts = np.arange(rng.uniform(-0.2, 0.0), 1.0, 0.24).tolist()
    return [box(x, y, x + 0.12, y + 0.015) for x in starts]


def _place_things(
    scene: Scene, grounds: dict[str, _Ground], with_things: bool, rng: np.random.Generator
) -> list[_Placed]:
    """Choose two to five things and their places; the farthest comes first, decor before all."""
    placed = []
    for number in range(int(rng.integers(2, 6))):
        decor = not with_things or (number > 0 and scene.decor and rng.random() < 0.25)
        choice = [c for c in (scene.decor if decor else scene.things) if c[2] in grounds]
        name, _, band = choice[draw_index([weight for _, weight, _ in choice], rng)]
        ground = grounds[band]
        share = rng.uniform(0.1, 0.9)
        y = ground.top + share * (ground.bottom - ground.top)
        placed.append(_Placed(name, rng.uniform(0.08, 0.92), y, -1.0 if decor else y))
    return sorted(placed, key=lambda thing: thing.depth)


def _draw_thing(sketch: Sketch, placed: _Placed, rng: np.random.Generator) -> None:
    """Draw one thing, each of its pieces over the one before."""
    thing = THINGS[placed.name]
    paints: dict[str, Paint] = {}
    pieces = thing.draw(rng)
    to_picture = _placement(thing, placed, rng)
    for start, stop in _runs(pieces):
        piece = pieces[start]
        if piece.paint not in paints:
            paints[piece.paint] = pick_paint(piece.paint, rng)
        region = Region(paints[piece.paint], placed.name, piece.part, piece.nested)
        sketch.fill(region, [to_picture(p.outline) for p in pieces[start:stop]])


def _runs(pieces: list[Piece]) -> list[tuple[int, int]]:
    """Return (start, stop) of the runs of pieces that look alike, so that they share a region."""
    alike = [piece[1:] for piece in pieces]
    starts = [0, *(i for i in range(1, len(pieces)) if alike[i] != alike[i - 1])]
    return list(zip(starts, [*starts[1:], len(pieces)], strict=True))


def _placement(
    thing: Thing, placed: _Placed, rng: np.random.Generator
) -> Callable[[Outline], Outline]:
    """Return the map from a thing's units to the picture's: mirrored, stretched and turned.

    What stands nearer is larger.
    """
    scale = rng.uniform(*thing.size) * (1.0 if placed.depth < 0.0 else 0.7 + 0.5 * placed.y)
    width = scale * rng.uniform(0.88, 1.14) * rng.choice([-1.0, 1.0])
    tilt = thing.tilt * rng.uniform(-1.0, 1.0)
    cos, sin = np.cos(tilt), np.sin(tilt)
    turned = np.array([[width * cos, -width * sin], [-scale * sin, -scale * cos]])
    offset = (placed.x, placed.y)
    return lambda outline: outline @ turned + offset
