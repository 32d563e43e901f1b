"""The planted network with a layer that has one position a tile, so that its maps are enlarged."""

from torch import Tensor, nn

from support.planted_run import TILE, PlantedNetwork


class CoarseNetwork(PlantedNetwork):
    """``coarse`` is the mean of ``early`` over every tile."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.AvgPool2d(TILE)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.late(self.coarse(self.early(x))).mean((2, 3))
        return pooled
