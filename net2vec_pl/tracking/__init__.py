"""Where runs are logged: CSV files, TensorBoard, Weights & Biases."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.tracking.files import CsvLog, TensorBoardLog
from net2vec_pl.tracking.log import JobLog

_LOGGERS = ("csv", "tensorboard", "wandb", "none")


@dataclass(frozen=True)
class TrackingOptions:
    """Where a run is logged.

    Args:
        name: ``csv``, ``tensorboard``, ``wandb`` or ``none``.
        project: The project of W&B.
        mode: ``online``, ``offline`` or ``disabled`` W&B; None takes WANDB_MODE, else online if
            there is an API key.
    """

    name: str = "none"
    project: str | None = None
    mode: str | None = None


def check_tracking(options: TrackingOptions) -> None:
    """Check where a run is logged before anything is computed.

    Raises:
        ConfigError: If name or mode is unknown, or W&B would have to ask for an API key.
    """
    if options.name not in _LOGGERS:
        raise ConfigError(unknown("logger", options.name, _LOGGERS))
    if options.name == "wandb":
        from net2vec_pl.tracking.wandb_log import mode_of  # W&B takes seconds to import

        mode_of(options.mode)


@contextmanager
def job_log(
    options: TrackingOptions, configuration: Mapping[str, Any], folder: Path
) -> Iterator[JobLog]:
    """Open the log of a job, and close it in the end.

    Args:
        options: Where it is; has been checked.
        configuration: Configuration of the run, which is logged too.
        folder: The run folder.
    """
    if options.name == "wandb":
        from net2vec_pl.tracking.wandb_log import wandb_log

        with wandb_log(options.project, options.mode, configuration, folder) as log:
            yield log
    elif options.name == "csv":
        yield CsvLog(configuration)
    elif options.name == "tensorboard":
        yield TensorBoardLog(configuration)
    else:
        yield JobLog()


__all__ = ["JobLog", "TrackingOptions", "check_tracking", "job_log"]
