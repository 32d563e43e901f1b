"""Build a network, of ours or of another library, and fill it with weights."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from net2vec_pl.backbones.leftover import Leftover
from net2vec_pl.backbones.libraries import DEFAULT, library_network, library_of
from net2vec_pl.backbones.registry import build_custom, build_network
from net2vec_pl.backbones.scaling import InputScaling
from net2vec_pl.backbones.torchvision_weights import (
    USUAL_SIZE,
    builder_arguments,
    entry_of,
    finish,
    own_scaling,
    own_size,
)
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
        name: See :func:`built_network`.
        weights: See :func:`~net2vec_pl.backbones.weights.load_weights`; of a network of another
            library ``DEFAULT`` means the library's own.
        image_size: (H, W) of the images to come; lazy layers take their shapes from it.
        seed: Seed of the weights that are not loaded.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``, or for the library's builder; None takes those with which
            torchvision builds the network for these weights.

    Returns:
        The network, and what did not fit.

    Raises:
        BackboneError: If the network cannot be built, or the weights cannot be loaded.
    """
    entry = None if target else entry_of(name, weights)
    if kwargs is None and entry:
        kwargs = builder_arguments(entry)
    library = None if target else library_network(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if library and weights == DEFAULT:
            return library.build(image_size, kwargs or {}, pretrained=True)
        network = built_network(name, image_size, target=target, kwargs=kwargs)
        maker = library_of(network)
        adapt = partial(maker.adapted, network) if maker else None
        leftover = load_weights(network, weights, model=name, adapt=adapt)
        if entry:
            finish(network, entry)
        _finish_lazy_layers(network, image_size)
    return network, leftover


def built_network(
    name: str,
    image_size: tuple[int, int],
    *,
    target: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network with random weights from torch's generator.

    Args:
        name: A registered name, a torchvision model, ``timm/NAME``, ``hf/OWNER/NAME``, or any name
            for a network of your own.
        image_size: (H, W) of the images to come.
        target: Import path of a class or function that makes a ``torch.nn.Module``.
        kwargs: Arguments for ``target``, or for the library's builder.

    Raises:
        BackboneError: If there is no such network, or it cannot be built for such images.
    """
    if target:
        return build_custom(target, kwargs or {})
    if library := library_network(name):
        return library.build(image_size, kwargs or {})[0]
    return build_network(name, kwargs, image_size)


def scaling_of(name: str, weights: str | None) -> InputScaling:
    """Return the input scaling that a network was trained with.

    Args:
        name: Its name. Networks of timm and Hugging Face have a scaling of their own, whatever
            their weights are.
        weights: Name or file of its weights; torchvision's have a scaling each.

    Raises:
        BackboneError: If a library does not know the network, or its scaling.
    """
    library = library_network(name)
    return library.scaling if library else own_scaling(name, weights)


def own_size_of(
    name: str, weights: str | None, kwargs: Mapping[str, Any] | None = None
) -> tuple[int, int]:
    """Return (H, W) of the images that a network is made for; 224 x 224 where nothing says.

    Args:
        name: Its name.
        weights: Name or file of its weights; torchvision's have a size each.
        kwargs: Arguments with which the library builds it.

    Raises:
        BackboneError: If a library does not know the network.
    """
    library = library_network(name)
    size = library.own_size(kwargs or {}) if library else own_size(name, weights)
    return size or USUAL_SIZE


@torch.no_grad()
def _finish_lazy_layers(network: nn.Module, image_size: tuple[int, int]) -> None:
    """Give lazy layers that no weights have filled their shapes, and their random weights."""
    if not any(map(is_lazy, network.parameters())):
        return
    try:
        network.eval()(torch.zeros(1, 3, *image_size))
    except Exception as error:  # whatever a network of the user's may raise
        raise BackboneError(f"a network with lazy layers must run once, but: {error}") from error
