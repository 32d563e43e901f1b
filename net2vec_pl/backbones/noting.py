"""Run images of noise through a network, at two sizes, and note what every module gives."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from net2vec_pl.backbones.choosing import Shape, Size, echoes
from net2vec_pl.backbones.hooks import listening
from net2vec_pl.backbones.outputs import meant_key, tensors_of

IMAGES = 3  # one, and two that are in part the same
_STEP = (
    64  # pixels by which the other image is taller, at least; twice as many by which it is wider
)


@dataclass(frozen=True)
class Part:
    """One tensor in what a module gave.

    Args:
        count: Length of its first axis.
        shape: Its shape without the first axis.
        rectified: Whether no value was below zero.
        echo: See :class:`~net2vec_pl.backbones.choosing.Given`.
    """

    count: int
    shape: Shape
    rectified: bool
    echo: dict[str, Tensor]


@dataclass(frozen=True)
class Noted:
    """What a module gave, the last time it ran.

    Args:
        kind: Name of its class.
        calls: How often it ran.
        parts: The tensors, by their keys.
        meant: Key of the one that is meant by the module's path alone; None if that is not clear.
    """

    kind: str
    calls: int
    parts: dict[str, Part]
    meant: str | None


@dataclass
class Notes:
    """What one pass showed.

    Args:
        modules: Module path -> what it gave, in the order in which modules finish last.
        fault: What stopped the network, if anything did.
    """

    modules: dict[str, Noted] = field(default_factory=dict)
    fault: Exception | None = None


def note(network: nn.Module, images: Float[Tensor, "N 3 H W"]) -> Notes:
    """Run a network, in eval mode, and note every module's output."""
    notes = Notes()
    calls: Counter[str] = Counter()

    def hear(path: str, kind: str, output: Any) -> None:
        calls[path] += 1
        parts = {key: _part(value) for key, value in tensors_of(output).items() if value.dim()}
        notes.modules.pop(path, None)
        notes.modules[path] = Noted(kind, calls[path], parts, meant_key(output))

    ears = [
        (path, partial(hear, path, type(module).__name__))
        for path, module in network.named_modules()
        if path
    ]
    network.eval()
    parameter = next(network.parameters(), torch.zeros(0))
    try:
        with listening(network, ears), torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(images.to(parameter.device))
    except Exception as error:  # whatever a network of the user's may raise
        # A head may refuse a size that the layers before it take; they are enough to go on with.
        notes.fault = error
    return notes


def note_at_sizes(network: nn.Module, size: Size, patch: int | None) -> tuple[Notes, Notes, Size]:
    """Note what a network gives for images of a size, and of a larger one.

    Args:
        network: The network.
        size: (H, W).
        patch: Side of its patches, which the larger image is a multiple of.

    Returns:
        Both notes, and the larger size.
    """
    step = -(-_STEP // patch) * patch if patch else _STEP
    wider_size = (size[0] + step, size[1] + 2 * step)
    wider_noise = _noise(wider_size, 1)[0]
    wider = note(network, wider_noise)
    if wider.fault is not None:
        for other in _resized(network, wider_size):
            wider = note(other, wider_noise)
    return note(network, _alike_in_part(size)), wider, wider_size


def _resized(network: nn.Module, size: Size) -> Iterator[nn.Module]:
    """Yield a copy of a network of timm that takes images of another size, if it can be had."""
    if not callable(getattr(network, "set_input_size", None)):
        return
    other = copy.deepcopy(network)
    try:
        other.set_input_size(img_size=size)  # type: ignore[operator]
    except Exception:  # whatever stands against that size
        return
    yield other


def _noise(size: Size, count: int) -> list[Float[Tensor, "1 3 H W"]]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, *size, generator=random) for _ in range(count)]


def _alike_in_part(size: Size) -> Float[Tensor, "3 3 H W"]:
    """Return an image, one whose lower half differs, and one whose right half does."""
    image, other = _noise(size, 2)
    below, right = image.clone(), image.clone()
    height, width = size
    below[:, :, height // 2 :] = other[:, :, height // 2 :]
    right[:, :, :, width // 2 :] = other[:, :, :, width // 2 :]
    return torch.cat([image, below, right])


def _part(output: Tensor) -> Part:
    rectified = not output.is_complex() and bool((output >= 0).all())
    echo = echoes(output) if len(output) == IMAGES else {}
    return Part(len(output), tuple(output.shape[1:]), rectified, echo)
