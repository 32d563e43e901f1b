"""Other networks on the planted images."""

from torch import Tensor, nn

from support.planted_run import TILE, PlantedNetwork, planted_weights


class CoarseNetwork(PlantedNetwork):
    """``coarse`` is the mean of ``early`` over every tile, so that its maps are enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.AvgPool2d(TILE)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.late(self.coarse(self.early(x))).mean((2, 3))
        return pooled


class OwnWeights(PlantedNetwork):
    """The planted network as nobody need load it: its weights are always those planted."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(planted_weights())
