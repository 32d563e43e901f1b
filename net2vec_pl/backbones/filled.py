"""Build a network and fill it with weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.registry import build_custom, build_network
from net2vec_pl.backbones.torchvision_weights import builder_arguments, entry_of
from net2vec_pl.backbones.weights import load_weights
from net2vec_pl.errors import BackboneError


def filled_network(
    name: str,
    weights: str | None,
    image_size: tuple[int, int],
    *,
    seed: int = 0,
    target: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> tuple[nn.Module, Leftover]:
    """Build a network and fill it, as far as its weights fit.

    Args:
        name: A registered name, a torchvision model, or any name for a network of your own.
        weights: See :func:`~net2vec_pl.backbones.weights.load_weights`.
        image_size: (H, W) of the images to come; lazy layers take their shapes from it.
        seed: Seed of the weights that are not loaded.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``, or for torchvision's builder; None takes those with which
            torchvision builds the network for these weights.

    Returns:
        The network, and what did not fit.

    Raises:
        BackboneError: If the network cannot be built, or the weights cannot be loaded.
    """
    if kwargs is None and (entry := None if target else entry_of(name, weights)):
        kwargs = builder_arguments(entry)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_custom(target, kwargs or {}) if target else build_network(name, kwargs)
        leftover = load_weights(network, weights, model=name)
        _finish_lazy_layers(network, image_size)
    return network, leftover


@torch.no_grad()
def _finish_lazy_layers(network: nn.Module, image_size: tuple[int, int]) -> None:
    """Give lazy layers that no weights have filled their shapes, and their random weights."""
    if not any(map(is_lazy, network.parameters())):
        return
    try:
        network.eval()(torch.zeros(1, 3, *image_size))
    except Exception as error:  # whatever a network of the user's may raise
        raise BackboneError(f"a network with lazy layers must run once, but: {error}") from error
