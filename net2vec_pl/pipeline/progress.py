"""A progress bar on every long step."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


class Progress:
    """Wrap batches so that a bar shows how many have gone by.

    Args:
        enabled: Whether to show anything.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, description: str) -> Callable[[Iterable[T]], Iterable[T]]:
        """Return a wrapper for one step's batches."""

        def wrap(batches: Iterable[T]) -> Iterable[T]:
            console = Console(stderr=True)
            return track(batches, f"{description:<25}", console=console, disable=not self.enabled)

        return wrap
