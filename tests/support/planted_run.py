"""A planted dataset and network for whole runs: every score follows from what was drawn.

An image is a grid of tiles, each of one thing. A thing lights certain filters on its whole tile,
and is (part of) certain concepts. Grid, masks and images have one size, so nothing is interpolated,
and a set IoU is a ratio of tiles, to be counted by hand:

========  ========  ==========================================================================
concept   category  planted so that
========  ========  ==========================================================================
ball      object    filter 0 is exactly it: one filter is enough, several are no better
cup       object    filter 1 or 6; of train tiles 3 in 4 are of filter 1, of val tiles 1 in 4
dog       object    filter 2, 7 or 12, a third each, two of the three in an image
ear       part      filter 5 or 10 on train, filter 5 alone on val: several fail there
fin       part      half of what filter 11 lights: as many false as true pixels, whoever looks
red-c     color     ball, and as much again that no filter sees
grey-c    color     on tiles that no filter sees: nothing can find it
park-s    scene     images with a cup; no masks
========  ========  ==========================================================================

Filters 3, 8 and 13 light up where there is no concept, 4, 9 and 14 never do, and 15 is dead.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample
from net2vec_pl.formats.broden_writer import write_broden

TILE, SIDE = 4, 3  # pixels of a tile's side; tiles of an image's side
SIZE = TILE * SIDE
FILTERS = 16
_LEVELS = (55, 105, 155, 205, 255)  # of brightness: filter k is level k % 5 of channel k // 5
# The filters of the second layer: not the dead one, nor one of those that make a dog.
LATE = [k for k in reversed(range(FILTERS - 1)) if k != 7]
CONCEPTS = {
    "ball": (3, "object"),
    "cup": (300, "object"),
    "dog": (7, "object"),
    "ear": (11, "part"),
    "fin": (5, "part"),
    "red-c": (13, "color"),
    "grey-c": (2, "color"),
    "park-s": (17, "scene"),
}
# Thing -> its filters, and the concepts it is.
THINGS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "nothing": ((), ()),
    "noise 3": ((3,), ()),
    "noise 8, 13": ((8, 13), ()),
    "ball": ((0,), ("ball", "red-c")),
    "red": ((), ("red-c",)),
    "cup 1": ((1,), ("cup",)),
    "cup 6": ((6,), ("cup",)),
    "dog 2": ((2,), ("dog",)),
    "dog 7": ((7,), ("dog",)),
    "dog 12": ((12,), ("dog",)),
    "ear 5": ((5,), ("ear",)),
    "ear 10": ((10,), ("ear",)),
    "false ear": ((10,), ()),
    "fin": ((11,), ("fin",)),
    "false fin": ((11,), ()),
    "grey": ((), ("grey-c",)),
}
_PARK = ["ball", "red", "noise 3", "noise 8, 13"]
_YARD = ["ear 5", "grey", "noise 3"]
_POND = ["fin", "false fin", "ball", "red", "ear 5"]
# How many train and val images there are of each kind, and the tiles of one on train and on val.
KINDS: list[tuple[int, int, list[str], list[str]]] = [
    (12, 8, [*_PARK, "cup 1", "cup 1", "cup 1", "cup 6"],
            [*_PARK, "cup 1", "cup 6", "cup 6", "cup 6", "false fin"]),
    (4, 3, [*_YARD, "dog 2", "dog 7", "ear 10"], [*_YARD, "dog 2", "dog 7", "false ear"]),
    (4, 3, [*_YARD, "dog 7", "dog 12", "ear 10"], [*_YARD, "dog 7", "dog 12", "false ear"]),
    (4, 3, [*_YARD, "dog 12", "dog 2", "ear 10"], [*_YARD, "dog 12", "dog 2", "false ear"]),
    (4, 2, [*_POND, "ear 10"], [*_POND, "false ear"]),
]  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """What lies where in the planted images.

    Args:
        fired: Whether a filter fires, (N, K, h, w).
        masks: Whether a concept is there, (N, C, h, w); of a scene the whole image.
        dimmer: By how many steps of brightness all of an image is dimmer, 0 to 15.
        is_train: The split.
    """

    fired: npt.NDArray[np.bool_]
    masks: npt.NDArray[np.bool_]
    dimmer: npt.NDArray[np.int64]
    is_train: npt.NDArray[np.bool_]

    @cached_property
    def activation(self) -> npt.NDArray[np.float64]:
        """What ``early`` answers, (N, K, h, w)."""
        floors, gains = (np.array([of(k) for k in range(FILTERS)]) for of in (floor, gain))
        strength = (1 - self.dimmer / 32)[:, None, None, None] * self.fired
        return floors[:, None, None] + gains[:, None, None] * strength

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """Whether an image has a concept, (N, C)."""
        return np.asarray(self.masks.any((2, 3)))


def draw(seed: int = 0) -> Drawn:
    """Draw the planted images: kinds in any order, tiles in any place."""
    rng = np.random.default_rng(seed)
    tiles = [
        (split, things)
        for train, val, on_train, on_val in KINDS
        for split, count, things in ((True, train, on_train), (False, val, on_val))
        for _ in range(count)
    ]
    order = rng.permutation(len(tiles))
    fired = np.zeros((len(tiles), FILTERS, SIZE, SIZE), dtype=np.bool_)
    masks = np.zeros((len(tiles), len(CONCEPTS), SIZE, SIZE), dtype=np.bool_)
    names = list(CONCEPTS)
    for n, at in enumerate(order):
        things = tiles[at][1] + ["nothing"] * (SIDE**2 - len(tiles[at][1]))
        for place, thing in zip(rng.permutation(SIDE**2), things, strict=True):
            row, column = divmod(int(place), SIDE)
            tile = np.s_[TILE * row : TILE * (row + 1), TILE * column : TILE * (column + 1)]
            for k in THINGS[thing][0]:
                fired[n, k][tile] = True
            for concept in THINGS[thing][1]:
                masks[n, names.index(concept)][tile] = True
        masks[n, names.index("park-s")] = "cup 1" in things
    is_train = np.array([tiles[at][0] for at in order])
    return Drawn(fired, masks, rng.integers(16, size=len(tiles)), is_train)


class PlantedImages(ConceptReader):
    """The planted images: of every filter, one brightness of one colour channel."""

    def __init__(self, drawn: Drawn | None = None) -> None:
        self.drawn = drawn or draw()
        self.name = "planted"
        kinds = dict.fromkeys(category for _, category in CONCEPTS.values())
        self.categories = tuple(Category(name, name != "scene") for name in kinds)
        self.vocabulary = Vocabulary(
            Concept(number, name, category, (category,), category != "scene")
            for name, (number, category) in CONCEPTS.items()
        )
        self.image_names = [f"{n:02d}.png" for n in range(len(self.drawn.fired))]
        self.is_train = self.drawn.is_train
        self.annotated = np.ones((len(self), len(kinds)), dtype=bool)
        self.image_size = self.mask_size = (SIZE, SIZE)

    def __getitem__(self, row: int) -> Sample:
        image = np.zeros((3, SIZE, SIZE), dtype=np.int64)
        dimmer = int(self.drawn.dimmer[row])
        for k, fires in enumerate(self.drawn.fired[row]):
            if fires.any():
                image[k // 5][fires] = _LEVELS[k % 5] - dimmer
        maps, labels = [], []
        for category in (c.name for c in self.categories if c.pixels):
            layer = np.zeros((SIZE, SIZE), dtype=np.int32)
            for (number, of), mask in zip(CONCEPTS.values(), self.drawn.masks[row], strict=True):
                if of == category:
                    layer[mask] = number
            maps.append(layer)
        labels = [
            (category, number)
            for (number, category), here in zip(
                CONCEPTS.values(), self.drawn.present[row], strict=True
            )
            if category == "scene" and here
        ]
        pixels = tuple(c.name for c in self.categories if c.pixels)
        return Sample(
            torch.from_numpy(image).to(torch.uint8),
            torch.from_numpy(np.stack(maps)),
            pixels,
            tuple(labels),
        )

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])


class PlantedNetwork(nn.Module):
    """Filter k of ``early`` is the brightness ``k % 5`` of channel ``k // 5``, above a floor.

    ``late`` has those filters of ``early`` that ``LATE`` names, in its order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.early = Filters()
        self.late = nn.Conv2d(FILTERS, len(LATE), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.late(self.early(x)).mean((2, 3))
        return pooled


class Filters(nn.Module):
    """Bumps over brightness, mixed by a convolution that has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(FILTERS, FILTERS, 1)

    def forward(self, x: Tensor) -> Tensor:
        pixels = 255 * x
        bumps = [
            (1 - (pixels[:, k // 5] - _LEVELS[k % 5]).abs() / 32).relu() for k in range(FILTERS - 1)
        ]
        mixed: Tensor = self.mix(torch.stack([*bumps, torch.zeros_like(bumps[0])], 1))
        return mixed


def floor(k: int) -> float:
    """Return the activation of a filter where it does not fire: its threshold."""
    return k / 64 if k < FILTERS - 1 else 0.0


def gain(k: int) -> float:
    """Return by how much a filter's activation rises where it fires in the brightest images."""
    return (1 + k) / 4 if k < FILTERS - 1 else 0.0


def planted_weights() -> dict[str, Tensor]:
    """Return the weights of the network."""
    late = torch.zeros(len(LATE), FILTERS, 1, 1)
    for row, k in enumerate(LATE):
        late[row, k] = 1
    own = torch.diag(torch.tensor([gain(k) for k in range(FILTERS)]))
    state = {
        "early.mix.weight": own[:, :, None, None],
        "early.mix.bias": torch.tensor([floor(k) for k in range(FILTERS)]),
        "late.weight": late,
    }
    return {k: v.contiguous() for k, v in state.items()}


def write_world(folder: Path) -> None:
    """Write ``data/`` and ``network.safetensors``."""
    write_broden(PlantedImages(), folder / "data")
    safetensors.torch.save_file(planted_weights(), folder / "network.safetensors")


OPTIONS = [
    "data=broden",
    "data.root=data",
    "model=custom",
    "model._target_=support.planted_run.PlantedNetwork",
    "model.weights=network.safetensors",
    "model.scaling=unit",
    "protocol.tau=0.3",  # no filter fires on so many tiles, so that its floor is its threshold
    "loader.workers=0",
    "callbacks.progress=false",
    "trainer=cpu",
    "beside=[]",
]
