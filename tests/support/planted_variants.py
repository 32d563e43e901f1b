"""The planted network with four layers more, on which things are less simple than on ``early``.

On ``early`` no two filters tell of the same tile, so that each weight is learned as if alone, and
most scores are 1 or 1/2. On ``mixed`` a filter fires where any of five filters of ``early`` does.
``narrow`` has lost filter 5, which makes ears. On ``faint`` filter 6 is lost, and filter 1 tells of
cups and of noise: of six val tiles that are cup or light up, one is both. ``coarse`` has one
position for each tile, so that its maps are upsampled.
"""

from functools import cached_property

import numpy as np
from torch import Tensor, nn

from support.planted_run import FILTERS, TILE, PlantedNetwork, floor
from support.relearned import Bools, Floats, Layer

ALIVE = FILTERS - 1
# Filter k of mixed has these of early, counted from k on and around the end of those alive.
STEPS = (0, 1, 4, 9, 11)
NETWORK = "model._target_=support.planted_variants.VariedNetwork"


class VariedNetwork(PlantedNetwork):
    """The planted network and its further layers, which have no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = Mixed()
        self.narrow = Narrow()
        self.faint = Faint()
        self.coarse = nn.AvgPool2d(TILE)

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        layers = (self.mixed, self.narrow, self.faint, self.coarse)
        pooled: Tensor = sum(layer(early).mean((2, 3)) for layer in layers)
        return pooled


class Mixed(nn.Module):
    """Sums of filters."""

    def forward(self, x: Tensor) -> Tensor:
        mixed = x.clone()
        mixed[:, :ALIVE] = sum(x[:, :ALIVE].roll(-step, 1) for step in STEPS)
        return mixed


class Narrow(nn.Module):
    """All filters but one."""

    def forward(self, x: Tensor) -> Tensor:
        rest = x.clone()
        rest[:, 5] = 0
        return rest


class Faint(nn.Module):
    """A filter less, and one that tells of noise too."""

    def forward(self, x: Tensor) -> Tensor:
        faint = x.clone()
        faint[:, 6] = 0
        faint[:, 1] += x[:, 3] + x[:, 8]
        return faint


class FaintLayer(Layer):
    """What is where on ``faint``."""

    @cached_property
    def fired(self) -> Bools:
        fired = self.drawn.fired.copy()
        fired[:, 6] = False
        fired[:, 1] |= fired[:, 3] | fired[:, 8]
        return fired


class MixedLayer(Layer):
    """What is where on ``mixed``."""

    @cached_property
    def fired(self) -> Bools:
        fired = self.drawn.fired.copy()
        for step in STEPS[1:]:
            fired[:, :ALIVE] |= np.roll(self.drawn.fired[:, :ALIVE], -step, 1)
        return fired

    @cached_property
    def activation(self) -> Floats:
        activation = self.drawn.activation.copy()
        for step in STEPS[1:]:
            activation[:, :ALIVE] += np.roll(self.drawn.activation[:, :ALIVE], -step, 1)
        return activation

    @property
    def thresholds(self) -> list[float]:
        return [sum(floor((k + step) % ALIVE) for step in STEPS) for k in range(ALIVE)] + [0.0]
