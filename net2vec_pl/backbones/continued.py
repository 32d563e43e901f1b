"""Run what follows a layer, with other activations in it.

What ran before the layer is kept, so that a batch of images costs the whole network once, and every
change of the layer only the rest of it.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from net2vec_pl.backbones.frozen import FrozenBackbone
from net2vec_pl.backbones.hooks import listening
from net2vec_pl.backbones.outputs import meant_key, tensor_of
from net2vec_pl.errors import BackboneError

Change = Callable[[Float[Tensor, "N K h w"]], Float[Tensor, "N K h w"]]


@dataclass(frozen=True)
class Answer:
    """What a network said with a layer as it is, or changed.

    Args:
        output: What the network returned, if that is a tensor (N, ...) or names one; else None.
        later: Activations of later layers, each (N, K', h', w').
    """

    output: Tensor | None
    later: tuple[Float[Tensor, "N K h w"], ...]


class Continuation:
    """The rest of a network behind a layer.

    Args:
        backbone: The network, frozen at the layer. It is changed as the layer gives it: units are
            filters.
        later: The same network, frozen at later layers, to be read.

    Raises:
        BackboneError: If a later layer answers before the layer does, or units are not filters.
    """

    def __init__(self, backbone: FrozenBackbone, later: Sequence[FrozenBackbone] = ()) -> None:
        if not backbone.units.are_filters:
            raise BackboneError("only filters can be written to; units=filters are.")
        self.backbone, self.later = backbone, tuple(later)
        self.before = _before(backbone)
        for other in self.later:
            if other.hooked in self.before or self._inside(other.hooked):
                raise BackboneError(
                    f"layer {other.layer!r} of {backbone.model} answers before "
                    f"{backbone.layer!r}, so nothing that is done to that can be seen in it."
                )

    def of(self, images: UInt8[Tensor, "N 3 H W"]) -> "Continued":
        """Run the network on some images and keep what comes before the layer.

        Args:
            images: RGB, 0 to 255, one or more, as many as fit in memory at once.
        """
        return Continued(self, images)

    def _inside(self, path: str) -> bool:
        """Whether a module stands inside of one that has answered before the layer."""
        return any(path.startswith(f"{before}.") for before in self.before)


class Continued:
    """What some images come to behind a layer, as often as it is changed.

    Args:
        whole: The network and its layers.
        images: RGB, 0 to 255.

    Attributes:
        activation: What the layer gives, (N, K, h, w).
        unchanged: What the network says.
    """

    def __init__(self, whole: Continuation, images: UInt8[Tensor, "N 3 H W"]) -> None:
        self._whole, self._images, before = whole, images, whole.before
        kept: dict[str, list[Any]] = {path: [] for path in before}
        calls: Counter[str] = Counter()

        def keep(path: str, output: Any) -> None:
            calls[path] += 1
            if calls[path] in before[path]:
                # Copied now: what follows may write over it, such as an in-place ReLU.
                kept[path].append(copy.deepcopy(output))

        network = whole.backbone.network
        with torch.no_grad(), listening(network, [(path, partial(keep, path)) for path in before]):
            self.unchanged = self._run(None)
        self._kept = kept
        activation = whole.backbone.lay_out(kept[whole.backbone.hooked][-1])
        self.activation: Float[Tensor, "N K h w"] = activation.float()

    def __call__(self, change: Change) -> Answer:
        """Return what the network says if its layer gives something else.

        Gradients flow from the answer to what ``change`` returns, unless they are turned off.

        Args:
            change: Returns the new activations, (N, K, h, w), from those of the layer.
        """
        with _answering(self._whole.backbone.network, self._kept):
            return self._run(change)

    def only(self, rows: Int64[Tensor, "n"]) -> "Continued":
        """Return the same of some of the images."""
        return Continued(self._whole, self._images[rows])

    def _run(self, change: Change | None) -> Answer:
        backbone, later = self._whole.backbone, self._whole.later
        heard: list[Tensor | None] = [None] * len(later)

        def hear(at: int, output: Any) -> None:
            heard[at] = later[at].units(later[at].lay_out(output).clone().float())

        with ExitStack() as stack:
            if change is not None:
                last = len(self._kept[backbone.hooked])
                stack.enter_context(_changed(backbone, change, last))
            ears = [(other.hooked, partial(hear, i)) for i, other in enumerate(later)]
            stack.enter_context(listening(backbone.network, ears))
            output = backbone.run(self._images)
        key = meant_key(output)
        said = None if key is None else tensor_of(output, key).float()
        assert all(maps is not None for maps in heard)
        return Answer(said, tuple(maps for maps in heard if maps is not None))


def _before(backbone: FrozenBackbone) -> dict[str, list[int]]:
    """Return which calls of which modules are over once the layer has answered.

    Calls are numbered from 1 in the order in which they end. Those inside of others that are over
    are left out.
    """
    finished: list[tuple[str, int]] = []
    begun: list[int] = []  # how many calls were over when each of those that still run began
    calls: Counter[str] = Counter()

    def begin() -> None:
        begun.append(len(finished))

    def end(path: str, _output: Any) -> None:
        inside = begun.pop()
        if calls[backbone.hooked] == backbone.calls:
            return
        calls[path] += 1
        del finished[inside:]
        finished.append((path, calls[path]))

    paths = [path for path, _ in backbone.network.named_modules()]
    ears = [(path, partial(end, path)) for path in paths]
    images = torch.zeros(1, 3, *backbone.image_size, dtype=torch.uint8, device=backbone.device)
    with torch.no_grad(), listening(backbone.network, ears, [(path, begin) for path in paths]):
        backbone.run(images)
    numbers: dict[str, list[int]] = {}
    for path, number in finished:
        numbers.setdefault(path, []).append(number)
    return numbers


@contextmanager
def _changed(backbone: FrozenBackbone, change: Change, last: int) -> Iterator[None]:
    """Put changed activations in what the layer's module returns the last time it is called."""
    calls = 0

    def swap(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != last:
            return None
        activation = backbone.lay_out(output).float()
        return backbone.put_back(output, change(activation))

    handle = backbone.network.get_submodule(backbone.hooked).register_forward_hook(swap)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _answering(network: nn.Module, kept: Mapping[str, Sequence[Any]]) -> Iterator[None]:
    """Let modules give what they gave, as often as that was kept, without running."""
    with ExitStack() as stack:
        for path, answers in kept.items():
            module = network.get_submodule(path)
            own = vars(module).get("forward")  # another library may have put one there
            stack.callback(_put_forward, module, own)
            _put_forward(module, _Again(module.forward, answers))
        yield


def _put_forward(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    """Give a module a forward of its own, or that of its class again."""
    vars(module).pop("forward", None)
    if forward is not None:
        vars(module)["forward"] = forward


class _Again:
    """A module's forward that gives what was kept, and runs once that is used up."""

    def __init__(self, forward: Callable[..., Any], kept: Sequence[Any]) -> None:
        self._forward, self._kept, self._calls = forward, kept, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._calls += 1
        if self._calls > len(self._kept):
            return self._forward(*args, **kwargs)
        return copy.deepcopy(self._kept[self._calls - 1])
