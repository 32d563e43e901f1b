"""The things a scene holds: houses, cars, trees, people ... as outlines that know their part.

A thing is drawn in its own units: x to the right and y up; what stands on the ground stands on
y = 0 and is about 1 high; what floats or flies has its middle at (0, 0). Every drawing varies;
pieces come in painter's order.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from net2vec_pl.datasets.shapes.picture import Outline


class Piece(NamedTuple):
    """One outline of a thing.

    Args:
        outline: Corners in the thing's units.
        paint: Key of the palettes; equal keys of one thing get equal paint.
        part: Name of the part that it shows, if any.
        nested: Name of the part of the part, if any.
    """

    outline: Outline
    paint: str
    part: str = ""
    nested: str = ""


class Thing(NamedTuple):
    """A kind of object.

    Args:
        draw: Draws one, each time another.
        size: Smallest and largest length of its unit, as a share of the picture's side.
        tilt: Largest turn to either side, in radians.
    """

    draw: Callable[[np.random.Generator], list[Piece]]
    size: tuple[float, float]
    tilt: float


def polygon(*corners: tuple[float, float]) -> Outline:
    """Return the outline through these corners."""
    return np.array(corners, dtype=np.float64)


def box(left: float, bottom: float, right: float, top: float) -> Outline:
    """Return an upright rectangle."""
    return polygon((left, bottom), (right, bottom), (right, top), (left, top))


_ANGLES = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Outline:
    """Return an ellipse about (x, y), turned counterclockwise by ``turn`` radians."""
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    outline: Outline = _CIRCLE * (rx, ry) @ rotation + (x, y)
    return outline


def circle(x: float, y: float, radius: float) -> Outline:
    """Return a circle about (x, y)."""
    return ellipse(x, y, radius, radius)


def draw_house(rng: np.random.Generator) -> list[Piece]:
    """Draw a house: walls, a gable or a hip roof, a chimney, a door and windows."""
    half, eaves = rng.uniform(0.42, 0.68), rng.uniform(0.52, 0.64)
    ridge = rng.choice([0.0, 0.55]) * half
    chimney_x = rng.uniform(-0.6, 0.4) * half
    pieces = [
        Piece(box(chimney_x, eaves, chimney_x + 0.13, 1.02), "chimney"),
        Piece(box(-half, 0.0, half, eaves), "wall", "wall"),
        Piece(
            polygon((-half - 0.1, eaves), (-ridge, 1.0), (ridge, 1.0), (half + 0.1, eaves)),
            "roof",
            "roof",
        ),
    ]
    slots = np.linspace(-half, half, 4).tolist()
    door = rng.integers(3)
    for slot, (left, right) in enumerate(pairwise(slots)):
        middle = 0.5 * (left + right)
        if slot == door:
            pieces += [
                Piece(box(middle - 0.11, 0.0, middle + 0.11, 0.38), "door", "door"),
                Piece(circle(middle + 0.06, 0.18, 0.032), "knob", "door", "knob"),
            ]
        elif rng.random() < 0.85:
            width = min(0.11, 0.36 * (right - left))
            pieces.append(Piece(box(middle - width, 0.17, middle + width, 0.4), "glass", "window"))
    return pieces


def draw_wheel(x: float, y: float, radius: float, part: str) -> list[Piece]:
    """Draw a wheel; its hub is nested where the wheel itself is a part."""
    hub = (part, "hub") if part else ("hub", "")
    return [
        Piece(circle(x, y, radius), "tyre", part),
        Piece(circle(x, y, 0.5 * radius), "hub", *hub),
    ]


def draw_car(rng: np.random.Generator) -> list[Piece]:
    """Draw a car from the side: a body, a cabin with windows and two wheels."""
    half, waist, top = rng.uniform(0.88, 1.12), rng.uniform(0.5, 0.58), rng.uniform(0.85, 1.0)
    rear, front = rng.uniform(-0.95, -0.55) * half, rng.uniform(0.25, 0.55) * half
    radius = rng.uniform(0.2, 0.25)
    axle = 0.56 * half
    cabin = polygon((rear, waist), (rear + 0.14, top), (front - 0.26, top), (front, waist))
    pillar = rng.uniform(0.4, 0.6) * (rear + front)
    return [
        Piece(cabin, "body"),
        Piece(
            polygon((-half, 0.17), (-half, waist), (0.9 * half, waist), (half, 0.4), (half, 0.17)),
            "body",
        ),
        Piece(
            polygon(
                (rear + 0.1, waist),
                (rear + 0.19, top - 0.08),
                (pillar - 0.04, top - 0.08),
                (pillar - 0.04, waist),
            ),
            "glass",
            "window",
        ),
        Piece(
            polygon(
                (pillar + 0.04, waist),
                (pillar + 0.04, top - 0.08),
                (front - 0.3, top - 0.08),
                (front - 0.1, waist),
            ),
            "glass",
            "window",
        ),
        Piece(box(half - 0.14, 0.3, half, 0.4), "lamp"),
        *draw_wheel(-axle, radius, radius, "wheel"),
        *draw_wheel(axle, radius, radius, "wheel"),
    ]


def draw_lone_wheel(rng: np.random.Generator) -> list[Piece]:
    """Draw a wheel that lies about alone."""
    return draw_wheel(0.0, 0.5, 0.5, part="")


def draw_tree(rng: np.random.Generator) -> list[Piece]:
    """Draw a tree: a trunk under a round, a clumpy or a pointed crown."""
    width, fork = rng.uniform(0.05, 0.08), rng.uniform(0.3, 0.45)
    spread = rng.uniform(0.24, 0.36)
    crowns = {
        0: [ellipse(0.0, 0.5 * (1.0 + fork) - 0.06, spread, 0.5 * (1.0 - fork) + 0.06)],
        1: [
            circle(-0.6 * spread, fork + 0.16, 0.2),
            circle(0.6 * spread, fork + 0.14, 0.2),
            circle(rng.uniform(-0.06, 0.06), 0.76, 0.24),
        ],
        2: [
            polygon((-spread, base), (spread, base), (0.0, tip))
            for base, tip in ((fork - 0.1, fork + 0.36), (fork + 0.14, 1.0))
        ],
    }[int(rng.integers(3))]
    trunk = polygon((-1.4 * width, 0.0), (1.4 * width, 0.0), (width, 0.6), (-width, 0.6))
    return [
        Piece(trunk, "bark", "trunk"),
        *(Piece(crown, "leaves", "crown") for crown in crowns),
    ]


def draw_person(rng: np.random.Generator) -> list[Piece]:
    """Draw a person from the front, with legs apart and arms at any height."""
    stance, shoulder = rng.uniform(0.03, 0.12), rng.uniform(0.13, 0.17)
    pieces = []
    for side in (-1.0, 1.0):
        hand_x, hand_y = side * rng.uniform(0.2, 0.36), rng.uniform(0.4, 0.8)
        foot, hip, arm = side * stance, side * 0.055, side * shoulder
        pieces += [
            Piece(
                polygon(
                    (foot - 0.05, 0.0), (foot + 0.05, 0.0), (hip + 0.055, 0.45), (hip - 0.055, 0.45)
                ),
                "trousers",
                "leg",
            ),
            Piece(
                polygon(
                    (0.7 * arm, 0.76),
                    (0.9 * arm, 0.66),
                    (hand_x, hand_y - 0.04),
                    (hand_x, hand_y + 0.05),
                ),
                "skin",
                "arm",
            ),
        ]
    torso = polygon((-0.11, 0.42), (0.11, 0.42), (shoulder, 0.77), (-shoulder, 0.77))
    return [
        *pieces,
        Piece(torso, "shirt", "torso"),
        Piece(circle(0.0, 0.88, 0.12), "skin", "head"),
        Piece(circle(-0.045, 0.9, 0.026), "eye", "head", "eye"),
        Piece(circle(0.045, 0.9, 0.026), "eye", "head", "eye"),
    ]


def draw_boat(rng: np.random.Generator) -> list[Piece]:
    """Draw a sailing boat: a hull, a mast and one or two sails."""
    half, deck = rng.uniform(0.42, 0.6), rng.uniform(0.18, 0.26)
    mast, top = rng.uniform(-0.12, 0.12), rng.uniform(0.9, 1.0)
    pieces = [
        Piece(box(mast - 0.015, deck, mast + 0.015, top), "bark"),
        Piece(
            polygon((mast + 0.04, deck + 0.06), (mast + 0.04, top), (0.85 * half, deck + 0.06)),
            "sail",
            "sail",
        ),
    ]
    if rng.random() < 0.6:
        jib = polygon(
            (mast - 0.04, deck + 0.08), (mast - 0.04, 0.85 * top), (-0.8 * half, deck + 0.08)
        )
        pieces.append(Piece(jib, "sail", "sail"))
    hull = polygon((-half, deck), (half, deck), (0.7 * half, 0.0), (-0.65 * half, 0.0))
    return [*pieces, Piece(hull, "hull", "hull")]


def draw_flower(rng: np.random.Generator) -> list[Piece]:
    """Draw a flower: four to seven petals about a heart, on a stem with a leaf."""
    bend, length = rng.uniform(-0.15, 0.15), rng.uniform(0.19, 0.24)
    count = int(rng.integers(4, 8))
    turns = rng.uniform(0.0, 2.0) + 2.0 * np.pi * np.arange(count) / count
    petals = [
        ellipse(bend + length * np.cos(t), 0.7 + length * np.sin(t), 0.8 * length, 0.5 * length, t)
        for t in turns.tolist()
    ]
    side = rng.choice([-1.0, 1.0])
    stem = polygon((-0.035, 0.0), (0.035, 0.0), (bend + 0.03, 0.7), (bend - 0.03, 0.7))
    return [
        Piece(stem, "leaves", "stem"),
        Piece(ellipse(0.16 * side, 0.22, 0.15, 0.06, 0.6 * side), "leaves"),
        *(Piece(petal, "petal", "petal") for petal in petals),
        Piece(circle(bend, 0.7, 0.5 * length), "heart"),
    ]


def draw_rocket(rng: np.random.Generator) -> list[Piece]:
    """Draw a rocket in flight: fins, a hull with windows, a nose and a flame."""
    half = rng.uniform(0.12, 0.17)
    flame = rng.uniform(-0.75, -0.58)
    pieces = [Piece(polygon((-0.7 * half, -0.4), (0.7 * half, -0.4), (0.0, flame)), "flame")]
    for side in (-1.0, 1.0):
        fin = polygon((side * half, -0.1), (side * (half + 0.17), -0.48), (side * half, -0.38))
        pieces.append(Piece(fin, "fin", "fin"))
    pieces += [
        Piece(box(-half, -0.42, half, 0.2), "hull", "hull"),
        Piece(
            polygon((-half, 0.2), (half, 0.2), (0.3 * half, 0.44), (0.0, 0.5), (-0.3 * half, 0.44)),
            "nose",
        ),
    ]
    ports = rng.integers(1, 3)
    return pieces + [
        Piece(circle(0.0, 0.08 - 0.24 * port, 0.55 * half), "glass", "window")
        for port in range(ports)
    ]


def draw_fish(rng: np.random.Generator) -> list[Piece]:
    """Draw a fish from the side: a tail, fins, a body and a head with an eye."""
    height = rng.uniform(0.2, 0.3)
    body = ellipse(0.0, 0.0, 0.42, height)
    cut = rng.uniform(0.1, 0.18)
    return [
        Piece(polygon((-0.34, 0.0), (-0.62, 0.24), (-0.54, 0.0), (-0.62, -0.24)), "fin", "tail"),
        Piece(
            polygon((-0.22, 0.6 * height), (-0.1, 1.6 * height), (0.14, 0.8 * height)), "fin", "fin"
        ),
        Piece(
            polygon((-0.14, -0.7 * height), (-0.12, -1.4 * height), (0.1, -0.8 * height)),
            "fin",
            "fin",
        ),
        Piece(body, "scales"),
        Piece(np.maximum(body, [[cut, -1.0]]), "cheek", "head"),
        Piece(circle(0.27, 0.3 * height, 0.06), "eye", "head", "eye"),
    ]


def draw_cloud(rng: np.random.Generator) -> list[Piece]:
    """Draw a cloud of three to five puffs."""
    places = np.linspace(-0.55, 0.55, int(rng.integers(3, 6))).tolist()
    return [
        Piece(ellipse(x, rng.uniform(-0.05, 0.12), 0.3, rng.uniform(0.16, 0.26)), "cloud")
        for x in places
    ]


def draw_sun(rng: np.random.Generator) -> list[Piece]:
    """Draw the sun, with or without rays."""
    rays = [ellipse(0.0, 0.0, 1.0, 0.09, turn) for turn in np.arange(6) * np.pi / 6.0]
    disc = Piece(circle(0.0, 0.0, 0.62), "sun")
    return [*(Piece(ray, "sun") for ray in rays), disc] if rng.random() < 0.5 else [disc]


THINGS = {
    "house": Thing(draw_house, (0.34, 0.52), 0.02),
    "car": Thing(draw_car, (0.18, 0.26), 0.08),
    "tree": Thing(draw_tree, (0.38, 0.62), 0.06),
    "person": Thing(draw_person, (0.3, 0.52), 0.10),
    "boat": Thing(draw_boat, (0.3, 0.5), 0.15),
    "flower": Thing(draw_flower, (0.26, 0.46), 0.25),
    "rocket": Thing(draw_rocket, (0.4, 0.62), 0.5),
    "fish": Thing(draw_fish, (0.24, 0.46), 0.35),
    "wheel": Thing(draw_lone_wheel, (0.13, 0.24), 0.5),
    "cloud": Thing(draw_cloud, (0.16, 0.3), 0.05),
    "sun": Thing(draw_sun, (0.1, 0.17), 0.5),
}
