"""Pattern pictures: surfaces of materials, as in OpenSurfaces, and textures, as in DTD.

A pattern is a function of points: it says where the second of two paints goes, and how bright each
point is.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from net2vec_pl.datasets.shapes.objects import box, circle, polygon
from net2vec_pl.datasets.shapes.paints import Paint, mix_paint
from net2vec_pl.datasets.shapes.picture import (
    OVERSAMPLING,
    Outline,
    Picture,
    Region,
    Sketch,
    slanted_light,
)
from net2vec_pl.datasets.shapes.vocabulary import COLORS

Points = Float32[np.ndarray, "points"]
Second = Bool[np.ndarray, "points"]
Shade = Float32[np.ndarray, "points"]
Pattern = Callable[[Points, Points, np.random.Generator], tuple[Second, Shade]]


def _even(u: Points) -> Shade:
    return np.ones_like(u)


def _cell_shade(column: Points, row: Points, spread: float, rng: np.random.Generator) -> Shade:
    """Give each cell of a lattice a brightness of its own."""
    levels = 1.0 + spread * rng.uniform(-1.0, 1.0, 64).astype(np.float32)
    shade: Shade = levels[(7 * column.astype(np.int32) + 19 * row.astype(np.int32)) & 63]
    return shade


def draw_brick(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Lay bricks in running bond; the mortar takes the second paint."""
    row = np.floor(2.0 * v)
    across = u + 0.5 * (row % 2)
    column = np.floor(across)
    mortar = (across - column < 0.1) | (2.0 * v - row < 0.18)
    return mortar, _cell_shade(column, row, 0.16, rng)


def draw_wood(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Join planks with a wavy grain along them."""
    plank = np.floor(0.7 * v)
    bend = 0.35 * np.sin(0.9 * u + 2.4 * plank) + 0.08 * np.sin(3.1 * u)
    grain = np.sin(np.float32(2 * np.pi) * (2.6 * v + bend)) + 0.5 * np.sin(31.0 * v + 1.3 * u)
    seam = 0.7 * v - plank < 0.05
    shade = _cell_shade(np.zeros_like(u), plank, 0.12, rng) + 0.13 * grain - 0.4 * seam
    return np.zeros(u.shape, dtype=np.bool_), shade.astype(np.float32)


def draw_tile(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Set square tiles, each with a gloss towards one corner; the grout takes the second paint."""
    column, row = np.floor(0.8 * u), np.floor(0.8 * v)
    x, y = 0.8 * u - column, 0.8 * v - row
    gloss = 0.16 * (x + y - 1.0)
    return (x < 0.08) | (y < 0.08), (_cell_shade(column, row, 0.06, rng) + gloss).astype(np.float32)


def draw_fabric(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Weave threads: warp over weft and weft over warp in turn."""
    pitch = np.float32(3.0)
    over = (np.floor(pitch * u) + np.floor(pitch * v)) % 2 == 0
    rounding = np.where(over, np.sin(np.pi * pitch * u) ** 2, np.sin(np.pi * pitch * v) ** 2)
    second = ~over if rng.random() < 0.5 else np.zeros(u.shape, dtype=np.bool_)
    return second, (0.72 + 0.4 * rounding).astype(np.float32)


def draw_metal(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Brush metal: fine streaks along u under broad bright reflections."""
    streaks = rng.uniform(-0.09, 0.09, 256).astype(np.float32)
    reflection = np.sin(0.55 * u + 0.25 * v + rng.uniform(0.0, 6.0))
    shade = (
        0.95 + 0.34 * reflection * np.abs(reflection) + streaks[(9.0 * v).astype(np.int32) & 255]
    )
    return np.zeros(u.shape, dtype=np.bool_), shade.astype(np.float32)


def draw_stone(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Pave with round stones of many sizes; the gaps take the second paint."""
    jitter = rng.uniform(0.25, 0.75, (16, 16, 2)).astype(np.float32)
    column, row = np.floor(u - 0.5), np.floor(v - 0.5)
    nearest = np.full(u.shape, np.inf, dtype=np.float32)
    stone = np.zeros(u.shape, dtype=np.int32)
    for step_u, step_v in ((0, 0), (1, 0), (0, 1), (1, 1)):
        i, j = (column + step_u).astype(np.int32) & 15, (row + step_v).astype(np.int32) & 15
        du, dv = u - column - step_u - jitter[i, j, 0], v - row - step_v - jitter[i, j, 1]
        distance = du**2 + dv**2
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        stone = np.where(closer, 7 * i + 19 * j, stone)
    levels = rng.uniform(0.85, 1.15, 64).astype(np.float32)
    return nearest > 0.24, levels[stone & 63] - np.float32(0.9) * nearest


def draw_stripes(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Stripe the picture across v."""
    return v % 1.0 < rng.uniform(0.35, 0.6), _even(u)


def draw_dots(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Dot the picture on a square or a staggered lattice."""
    shifted = u + 0.5 * (np.floor(v) % 2) if rng.random() < 0.5 else u
    radius = rng.uniform(0.24, 0.36)
    return (shifted % 1.0 - 0.5) ** 2 + (v % 1.0 - 0.5) ** 2 < radius**2, _even(u)


def draw_chequers(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Chequer the picture."""
    return (np.floor(1.4 * u) + np.floor(1.4 * v)) % 2 == 0, _even(u)


def draw_zigzag(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Fold stripes into zigzags."""
    fold = np.abs(u % 1.0 - 0.5) * rng.uniform(1.2, 2.0)
    return (v + fold) % 1.0 < 0.5, _even(u)


def draw_grid(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Cross thin lines at right angles."""
    width = rng.uniform(0.14, 0.24)
    return (u % 1.0 < width) | (v % 1.0 < width), _even(u)


def draw_spiral(u: Points, v: Points, rng: np.random.Generator) -> tuple[Second, Shade]:
    """Wind a band about a point."""
    turn = np.arctan2(v, u) / np.float32(2 * np.pi)
    return (np.hypot(u, v) + turn) % 1.0 < 0.5, _even(u)


# How common each pattern is beside the others of its kind.
MATERIALS: dict[str, tuple[Pattern, float]] = {
    "brick": (draw_brick, 0.24),
    "wood": (draw_wood, 0.24),
    "tile": (draw_tile, 0.18),
    "fabric": (draw_fabric, 0.16),
    "metal": (draw_metal, 0.12),
    "stone": (draw_stone, 0.06),
}
TEXTURES: dict[str, tuple[Pattern, float]] = {
    "striped": (draw_stripes, 0.26),
    "dotted": (draw_dots, 0.22),
    "chequered": (draw_chequers, 0.20),
    "zigzagged": (draw_zigzag, 0.14),
    "grid": (draw_grid, 0.12),
    "spiralled": (draw_spiral, 0.06),
}


def compose_surfaces(size: int, rng: np.random.Generator) -> Picture:
    """Compose two to four surfaces of different materials."""
    names = _choose(MATERIALS, int(rng.integers(2, 5)), rng)
    sketch = Sketch(size)
    blank = Region(mix_paint("black-c", rng))
    sketch.fill(blank, [box(0.0, 0.0, 1.0, 1.0)])
    for number in range(1, len(names)):
        sketch.fill(blank, [_half_plane(rng) if number == 1 else _item(rng)])
    regions, shade, table = _fill_patches(sketch.regions, names, MATERIALS, "material", rng)
    return Picture(regions, table, slanted_light(size, rng) * shade, ())


def compose_texture(size: int, rng: np.random.Generator) -> Picture:
    """Compose one texture, or two side by side; both then hold for the whole picture."""
    names = _choose(TEXTURES, 1 + int(rng.random() < 0.3), rng)
    sketch = Sketch(size)
    blank = Region(mix_paint("black-c", rng))
    sketch.fill(blank, [box(0.0, 0.0, 1.0, 1.0)])
    if len(names) == 2:
        sketch.fill(blank, [_half_plane(rng)])
    regions, shade, table = _fill_patches(sketch.regions, names, TEXTURES, "texture", rng)
    shares = np.bincount(sketch.regions.ravel(), minlength=len(names))
    order = np.argsort(-shares, kind="stable").tolist()
    labels = tuple(("texture", names[patch]) for patch in order)
    return Picture(regions, table, slanted_light(size, rng) * shade, labels)


def _choose(
    patterns: dict[str, tuple[Pattern, float]], count: int, rng: np.random.Generator
) -> list[str]:
    """Choose different patterns, the common ones more often."""
    weights = np.array([weight for _, weight in patterns.values()])
    names = list(patterns)
    chosen = rng.choice(len(names), count, replace=False, p=weights / weights.sum())
    return [names[index] for index in chosen.tolist()]


def _half_plane(rng: np.random.Generator) -> Outline:
    """Return one side of a line that passes near the middle of the picture."""
    turn = rng.uniform(0.0, 2.0 * np.pi)
    along, beyond = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    foot = rng.uniform(0.36, 0.64, 2)
    corners = [
        foot + 2 * along,
        foot - 2 * along,
        foot - 2 * along + 2 * beyond,
        foot + 2 * along + 2 * beyond,
    ]
    return np.array(corners)


def _item(rng: np.random.Generator) -> Outline:
    """Return a disc or a slanted rectangle that lies upon the other surfaces."""
    place = rng.uniform(0.25, 0.75, 2)
    if rng.random() < 0.5:
        return circle(place[0], place[1], rng.uniform(0.16, 0.28))
    across, turn = rng.uniform(0.14, 0.3, 2), rng.uniform(0.0, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    corners = polygon((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)) * across
    outline: Outline = corners @ np.array([[cos, sin], [-sin, cos]]) + place
    return outline


def _fill_patches(
    patches: UInt8[np.ndarray, "dots dots"],
    names: list[str],
    patterns: dict[str, tuple[Pattern, float]],
    kind: str,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "dots dots"], Float32[np.ndarray, "S S"], tuple[Region, ...]]:
    """Fill each patch with its pattern in two paints.

    Args:
        patches: The patch of each dot, its position in ``names``.
        names: The pattern of each patch.
        patterns: All patterns by name.
        kind: Whether they are ``material`` or ``texture``.
        rng: Source of all chance.

    Returns:
        Two regions per patch, the brightness, and the table of the regions.
    """
    second = np.zeros(patches.size, dtype=np.uint8)
    shade = np.ones(patches.size, dtype=np.float32)
    table: list[Region] = []
    for patch, name in enumerate(names):
        here = np.flatnonzero(patches == patch)
        u, v = _pattern_grid(patches.shape[0], rng)
        draw, _ = patterns[name]
        second[here], shade[here] = draw(u[here], v[here], rng)
        material = name if kind == "material" else ""
        table += [Region(paint, material=material) for paint in _two_paints(rng)]
    pixels = shade.reshape(patches.shape)[::OVERSAMPLING, ::OVERSAMPLING]
    return 2 * patches + second.reshape(patches.shape), pixels, tuple(table)


def _pattern_grid(side: int, rng: np.random.Generator) -> tuple[Points, Points]:
    """Turn, scale and shift all dots, row by row, into (u, v), in which a cell is about 1 wide."""
    turn = rng.uniform(-0.5, 0.5) + 0.5 * np.pi * rng.integers(2)
    ramp = rng.uniform(4.0, 8.0) * np.linspace(-0.5, 0.5, side)
    x, y = ramp + rng.uniform(-1.0, 1.0), ramp[:, None] + rng.uniform(-1.0, 1.0)
    along, across = (np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))
    u, v = (
        (cos * x).astype(np.float32) + (sin * y).astype(np.float32) for cos, sin in (along, across)
    )
    return u.ravel(), v.ravel()


def _two_paints(rng: np.random.Generator) -> tuple[Paint, Paint]:
    """Mix two paints of different colours."""
    names = list(COLORS)
    first = int(rng.integers(len(names)))
    other = (first + int(rng.integers(1, len(names)))) % len(names)
    return mix_paint(names[first], rng), mix_paint(names[other], rng)
