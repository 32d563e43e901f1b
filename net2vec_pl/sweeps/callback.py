"""What Hydra tells of a sweep before it begins."""

from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepFolder(Callback):
    """Remembers the folder of the sweep that this process has begun.

    Attributes:
        current: The folder; None if no sweep was begun.
    """

    current: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder."""
        SweepFolder.current = Path(config.hydra.sweep.dir)
