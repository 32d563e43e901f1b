"""A progress bar on every long step."""

from collections.abc import Callable, Iterable, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from rich.progress import Progress as Bars
from rich.text import Text

T = TypeVar("T")
S = TypeVar("S", bound=Sized)


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

    def of_images(self, description: str, count: int) -> Callable[[Iterable[S]], Iterable[S]]:
        """Return a wrapper for batches of images, whose bar tells how many a second go by.

        Args:
            description: Name of the step.
            count: Images in all batches together.
        """

        def wrap(batches: Iterable[S]) -> Iterable[S]:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                ImageRate(),
            )
            console = Console(stderr=True)
            with Bars(*columns, console=console, disable=not self.enabled) as bars:
                task = bars.add_task(f"{description:<25}", total=count)
                for batch in batches:
                    yield batch
                    bars.advance(task, len(batch))

        return wrap


class ImageRate(ProgressColumn):
    """A column that tells how many images a second are read, on average since the start."""

    def render(self, task: Task) -> Text:
        """Return the text of the column; nothing before the first images."""
        elapsed = task.finished_time if task.finished else task.elapsed
        rate = f"{task.completed / elapsed:.0f} images/s" if elapsed and task.completed else ""
        return Text(rate, style="progress.data.speed")
