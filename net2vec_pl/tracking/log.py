"""What a job logs to: nowhere, unless a subclass knows better."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pytorch_lightning.loggers import Logger


class JobLog:
    """The log of one job, which hands every layer's fit its logger.

    Attributes:
        forks: Whether layers may log to it from processes of their own.
    """

    forks: ClassVar[bool] = True

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return the logger of a layer's fit; False for none.

        Args:
            folder: The layer's.
            epochs_done: Epochs that an earlier start has logged.
        """
        return False

    def leave(self, layers: Sequence[Path]) -> None:
        """Log what a job has written, at its end.

        Args:
            layers: The folder of each layer; the run folder itself if there is one layer.
        """
