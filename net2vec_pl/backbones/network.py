"""How to come by a network: ``model=``, ``model`` of a bank's header, or a live module."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from net2vec_pl.backbones.filled import built_network, filled_network, own_size_of, scaling_of
from net2vec_pl.backbones.frozen import FrozenBackbone, check_weights
from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.precision import Precision
from net2vec_pl.backbones.registry import architecture
from net2vec_pl.backbones.scaling import OWN, InputScaling
from net2vec_pl.backbones.torchvision_weights import USUAL_SIZE, builder_arguments, entry_of
from net2vec_pl.errors import BackboneError, ConfigError

LIVE = "live"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name or import path, with its weights and its input scaling.

    Args:
        plain: ``name``, ``weights``, ``seed``, ``scaling`` and ``default_layer``; a network of your
            own has ``_target_``, its import path, and ``kwargs`` too. Plain JSON, as it stands in
            the headers of banks. A scaling called ``own`` becomes that of the weights here, or of
            the network where it is timm's or Hugging Face's. Arguments with which torchvision
            builds the network for its weights are added as ``kwargs``. Both stay when the weights
            are others, random ones for instance.
    """

    plain: Mapping[str, Any]

    def __post_init__(self) -> None:
        found = {**self.plain}
        if found.get("scaling") == OWN:
            found["scaling"] = scaling_of(self.name, self.weights).plain()
        entry = None if "_target_" in found else entry_of(self.name, self.weights)
        if entry and (kwargs := builder_arguments(entry)):
            found["kwargs"] = {**kwargs, **found.get("kwargs", {})}
        object.__setattr__(self, "plain", found)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.plain["name"])

    @property
    def weights(self) -> str | None:
        """Name or file of its weights; None for random ones."""
        weights = self.plain.get("weights")
        return None if weights is None else str(weights)

    @property
    def seed(self) -> int:
        """Seed of random weights."""
        return int(self.plain.get("seed", 0))

    @property
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the images that it is made for; 224 x 224 where nothing says.

        Raises:
            BackboneError: If its library does not know it.
        """
        return own_size_of(self.name, self.weights, self.plain.get("kwargs"))

    def with_random_weights(self, seed: int | None = None) -> "NetworkSpec":
        """Return the same architecture with random weights, by default of the same seed."""
        other = self.seed if seed is None else seed
        return replace(self, plain={**self.plain, "weights": None, "seed": other})

    def build(self, image_size: tuple[int, int]) -> nn.Module:
        """Build the network with random weights.

        Args:
            image_size: (H, W) of the images to come.

        Raises:
            BackboneError: If there is no such network, or it cannot be built for such images.
        """
        target, kwargs = self.plain.get("_target_"), self.plain.get("kwargs", {})
        return built_network(self.name, image_size, target=target, kwargs=kwargs).float()

    def fill(self, image_size: tuple[int, int]) -> tuple[nn.Module, Leftover]:
        """Build the network and fill it, as far as its weights fit.

        Args:
            image_size: (H, W) of the images to come.

        Returns:
            The network, and what did not fit.

        Raises:
            BackboneError: If network or weights cannot be had.
        """
        return filled_network(
            self.name,
            self.weights,
            image_size,
            seed=self.seed,
            target=self.plain.get("_target_"),
            kwargs=self.plain.get("kwargs", {}),
        )

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
        own = InputScaling.parse(scaling or self.plain["scaling"])
        network, leftover = self.fill(image_size)
        everywhere = list(layers) == ["all"]
        backbone = FrozenBackbone(
            network,
            None if everywhere else layers[0],
            own,
            image_size,
            model=self.name,
            precision=Precision(precision),
            vectors=vectors,
        )
        if everywhere:
            backbones = _at_all(backbone)
        else:
            backbones = [backbone, *backbone.at_each(layers[1:])]
            _refuse_repeated(layers, backbones)
        check_weights(backbones, leftover, image_size)
        return backbones


def _refuse_repeated(layers: Sequence[str | None], backbones: Sequence[FrozenBackbone]) -> None:
    paths = [b.module_path for b in backbones]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"layer={list(layers)}: {path} is named more than once.")


@dataclass(frozen=True)
class LiveNetwork(NetworkSpec):
    """A network that exists already, with its weights.

    Whoever reads it works on a copy: the network itself keeps its mode, its weights, the device
    they are on, and whether they need gradients.

    Args:
        plain: As of any network; ``weights`` is ``live``, for no file holds them.
        network: The network.
    """

    network: nn.Module

    @classmethod
    def of(cls, network: nn.Module, scaling: Any = "torchvision") -> "LiveNetwork":
        """Describe a network.

        Args:
            network: The network.
            scaling: What :meth:`~net2vec_pl.backbones.InputScaling.parse` takes.
        """
        kind = type(network)
        plain = {
            "name": kind.__name__,
            "_target_": f"{kind.__module__}.{kind.__qualname__}",
            "kwargs": {},
            "default_layer": None,
            "weights": LIVE,
            "seed": 0,
            "scaling": scaling,
        }
        return cls(plain, network)

    @property
    def own_size(self) -> tuple[int, int]:
        """(H, W) of the images that it is made for, as timm and Hugging Face note it; or 224."""
        noted = getattr(self.network, "pretrained_cfg", None) or {}
        size = tuple(noted.get("input_size", ()))[1:]
        if len(size) == 2:
            return size[0], size[1]
        side = getattr(getattr(self.network, "config", None), "image_size", None)
        return (side, side) if isinstance(side, int) else USUAL_SIZE

    def with_random_weights(self, seed: int | None = None) -> "LiveNetwork":
        """Return a copy whose weights are drawn anew.

        Modules that have ``reset_parameters`` use it. Other parameters are drawn from a normal
        distribution of their own mean and spread.
        """
        other = self.seed if seed is None else seed
        network = copied(self.network).float()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(other)
            for module in network.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
                    continue
                for value in module.parameters(recurse=False):
                    noise = torch.randn(value.shape).to(value)
                    value.copy_(noise * value.std(correction=0) + value.mean())
        return replace(self, plain={**self.plain, "seed": other}, network=network)

    def build(self, image_size: tuple[int, int]) -> nn.Module:
        """Return a copy of the network."""
        return copied(self.network).float()

    def fill(self, image_size: tuple[int, int]) -> tuple[nn.Module, Leftover]:
        """Return a copy of the network, with its own weights."""
        return self.build(image_size), Leftover()


def copied(network: nn.Module) -> nn.Module:
    """Return a copy of a network, which may be frozen without touching the network itself.

    Args:
        network: The network.

    Raises:
        BackboneError: If it cannot be copied.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise BackboneError(
            "a TorchScript network has no layers that can be read: give the module it was made of."
        )
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever a module of the user's may hold
        kind = type(network).__name__
        raise BackboneError(
            f"{kind} cannot be copied, and a copy is what is read ({type(error).__name__}: "
            f"{error}). Modules that keep an activation, a lock or a file open, and the older "
            "weight_norm and spectral_norm, cannot: remove these first, or give a network fresh "
            "from its builder."
        ) from error


def _at_all(backbone: FrozenBackbone) -> list[FrozenBackbone]:
    backbones = backbone.at_all()
    read = {b.layer for b in backbones}
    if left_out := [name for name in architecture(backbone.model).layers if name not in read]:
        _log.info("layer=all skips layers without an activation map: %s", ", ".join(left_out))
    return backbones
