"""Listen to what modules of a network answer."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def listening(
    network: nn.Module,
    ears: Iterable[tuple[str, Callable[[Any], None]]],
    starts: Iterable[tuple[str, Callable[[], None]]] = (),
) -> Iterator[None]:
    """Call a function with every output of a module, for some modules, while the context lasts.

    Args:
        network: The network.
        ears: Dotted path of a module, and what to call; a module may be listened to twice.
        starts: The same for what to call before a module runs.
    """
    handles = [
        network.get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output, hear=hear: hear(output)
        )
        for path, hear in ears
    ] + [
        network.get_submodule(path).register_forward_pre_hook(
            lambda _module, _inputs, begin=begin: begin()
        )
        for path, begin in starts
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
