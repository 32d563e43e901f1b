"""How to build a network: ``model=`` of the command line, ``model`` of a bank's header."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from net2vec_pl.backbones.frozen import FrozenBackbone, build_backbone
from net2vec_pl.backbones.precision import Precision
from net2vec_pl.backbones.registry import architecture, build_custom, build_network
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name or import path, with its weights and its input scaling.

    Args:
        plain: ``name``, ``weights``, ``seed``, ``scaling`` and ``default_layer``; a network of your
            own has ``_target_``, its import path, and ``kwargs`` too. Plain JSON, as it stands in
            the headers of banks.
    """

    plain: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.plain["name"])

    @property
    def weights(self) -> str | None:
        """Name or file of its weights; None for random ones."""
        weights = self.plain["weights"]
        return None if weights is None else str(weights)

    @property
    def seed(self) -> int:
        """Seed of random weights."""
        return int(self.plain.get("seed", 0))

    def with_random_weights(self, seed: int | None = None) -> "NetworkSpec":
        """Return the same architecture with random weights, by default of the same seed."""
        other = self.seed if seed is None else seed
        return replace(self, plain={**self.plain, "weights": None, "seed": other})

    def build(self) -> nn.Module:
        """Build the network with random weights.

        Raises:
            BackboneError: If there is no such network.
        """
        if target := self.plain.get("_target_"):
            return build_custom(target, self.plain["kwargs"]).float()
        return build_network(self.name).float()

    def freeze(
        self,
        layers: Sequence[str | None],
        image_size: tuple[int, int],
        *,
        scaling: str | None = None,
        precision: str = "tf32",
        vectors: bool = False,
    ) -> list[FrozenBackbone]:
        """Build the network with its weights, and freeze it at each of some layers.

        Args:
            layers: Names or module paths; ``["all"]`` for all with a name, None for the last one
                that gives an activation map.
            image_size: (H, W) of the images to come.
            scaling: Input scaling in place of its own.
            precision: Precision of its products; see :class:`Precision`.
            vectors: Whether layers may give vectors.

        Raises:
            ConfigError: If a layer is named twice.
            BackboneError: If network, weights or layer cannot be had.
        """
        everywhere = list(layers) == ["all"]
        backbone = build_backbone(
            name=self.name,
            image_size=image_size,
            layer=None if everywhere else layers[0],
            weights=self.weights,
            seed=self.seed,
            target=self.plain.get("_target_"),
            kwargs=self.plain.get("kwargs"),
            scaling=InputScaling.parse(scaling or self.plain["scaling"]),
            precision=Precision(precision),
            vectors=vectors,
        )
        if everywhere:
            return _at_all(backbone)
        backbones = [backbone, *(backbone.at(name) for name in layers[1:])]
        paths = [b.module_path for b in backbones]
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigError(f"layer={list(layers)}: {path} is named more than once.")
        return backbones


def _at_all(backbone: FrozenBackbone) -> list[FrozenBackbone]:
    backbones = backbone.at_all()
    read = {b.layer for b in backbones}
    if left_out := [name for name in architecture(backbone.model).layers if name not in read]:
        _log.info("layer=all skips layers without an activation map: %s", ", ".join(left_out))
    return backbones
