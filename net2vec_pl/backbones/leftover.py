"""What a file of weights and a network do not share, and which layers can do without."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from net2vec_pl.backbones.hooks import listening
from net2vec_pl.errors import BackboneError, shorten

_SHOWN = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leftover:
    """What did not fit when a network was filled.

    Args:
        weights: How a message names the weights.
        model: The network's name, for messages.
        absent: Entries of the network that the file lacks -> how a message names them.
        misshapen: Entries that have another shape in the file -> how a message names them.
        extra: Entries of the file that the network lacks.
    """

    weights: str = ""
    model: str = ""
    absent: Mapping[str, str] = field(default_factory=dict)
    misshapen: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()

    @property
    def unfilled(self) -> dict[str, str]:
        """Entries of the network that keep the values they were built with."""
        return {**self.absent, **self.misshapen}

    def __str__(self) -> str:
        return self._listed(self.absent, self.misshapen, self.extra)

    def check(self, network: nn.Module, layer: str, read: Callable[[], Tensor]) -> None:
        """Refuse a layer that depends on what did not fit; what lies behind the layer need not fit.

        Entries that were not filled become NaN for good, so that no layer that depends on them can
        be read unnoticed.

        Args:
            network: The network.
            layer: The layer's name, for messages.
            read: Reads the layer for some image, and runs nothing behind it.

        Raises:
            BackboneError: If an unfilled entry reaches the layer, or if the file has entries for
                modules that run before it which the network lacks.
        """
        if not self.unfilled and not self.extra:
            return
        left = _blank(network, self.unfilled)
        run = _Run(network)
        spoilt = run.is_spoilt(read)
        absent, misshapen, extra, left = (
            [name for name in names if run.has_used(name)]
            for names in (self.absent, self.misshapen, self.extra, left)
        )
        if spoilt or left or extra:
            if not (absent or misshapen or extra):
                absent, misshapen = [*self.absent], [*self.misshapen]
            raise BackboneError(
                f"{self.weights} do not match {self.model}, and layer {layer!r} needs it: "
                f"{self._listed(absent, misshapen, extra)}."
            )
        level = logging.WARNING if self.unfilled else logging.INFO
        text = "%s do not match %s behind layer %s, where nothing is read: %s"
        _log.log(level, text, self.weights, self.model, layer, self)

    def _listed(self, absent: Iterable[str], misshapen: Iterable[str], extra: Iterable[str]) -> str:
        parts = [
            f"{label}: {shorten(texts, _SHOWN)}"
            for label, texts in (
                ("absent", [self.absent[name] for name in absent]),
                ("not in the network", [*extra]),
                ("of another shape", [self.misshapen[name] for name in misshapen]),
            )
            if texts
        ]
        return "; ".join(parts)


@torch.no_grad()
def _blank(network: nn.Module, names: Iterable[str]) -> list[str]:
    """Set entries to NaN, and return the names of those that cannot be."""
    state, left = network.state_dict(), []
    for name in names:
        value = state[name]
        if isinstance(value, Tensor) and value.is_floating_point():
            value.fill_(torch.nan)
        else:
            left.append(name)
    return left


class _Run:
    """Which modules begin and end while a layer is read."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._begun, self._ended = {""}, set[str]()

    def is_spoilt(self, read: Callable[[], Tensor]) -> bool:
        """Read the layer, and return whether any value of it is NaN."""
        paths = [path for path, _ in self._network.named_modules()]
        ears = [(path, lambda _, path=path: self._ended.add(path)) for path in paths]
        starts = [(path, partial(self._begun.add, path)) for path in paths]
        try:
            with listening(self._network, ears, starts):
                return bool(read().isnan().any())
        except BackboneError:
            raise
        except Exception:  # a network may refuse NaN in any way
            return True

    def has_used(self, name: str) -> bool:
        """Return whether the module of an entry took part.

        A module that did not begin counts as a part of the one around it, if that one has ended.
        Around the layer lie modules that have not: what they did not begin comes later.
        """
        owner = path = name.rpartition(".")[0]
        while path not in self._begun:
            path = path.rpartition(".")[0]
        return path in self._ended or path == owner
