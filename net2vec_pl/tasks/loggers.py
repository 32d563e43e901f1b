"""The loggers of ``logger=``: one log for a job, which hands every layer's fit its logger."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.report import write_csv
from net2vec_pl.tasks.build import plain

_LOGGERS = ("csv", "tensorboard", "wandb", "none")


class JobLog:
    """What a job logs to: nowhere, unless a subclass knows better.

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


class _CsvLog(JobLog):
    """``metrics.csv``, and the configuration in ``hparams.yaml``, in the folder of each layer."""

    def __init__(self, config: DictConfig) -> None:
        self.config = plain(config)

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return a logger that goes on behind the epochs done; Lightning's own begins anew."""
        path = folder / "metrics.csv"
        rows: list[dict[str, str]] = []
        if epochs_done and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epochs_done]
        logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
        logger.log_hyperparams(self.config)
        experiment = logger.experiment
        if rows and processes.is_first():
            write_csv(rows, path)
            experiment.metrics_keys = list(rows[0])
        return logger


class _TensorBoardLog(JobLog):
    """Event files and the configuration, in ``tensorboard/`` in the folder of each layer."""

    def __init__(self, config: DictConfig) -> None:
        self.config = plain(config)

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return a logger; TensorBoard itself joins the files of several starts."""
        logger = TensorBoardLogger(folder, name="", version="tensorboard")
        logger.log_hyperparams(self.config)
        return logger


def check_logger(config: DictConfig) -> None:
    """Check ``logger=`` before anything is computed.

    Raises:
        ConfigError: If its name or mode is unknown, or it would have to ask for an API key.
    """
    if config.name not in _LOGGERS:
        raise ConfigError(unknown("logger", str(config.name), _LOGGERS))
    if config.name == "wandb":
        from net2vec_pl.tasks.wandb_log import mode_of

        mode_of(config)


@contextmanager
def job_log(config: DictConfig, folder: Path) -> Iterator[JobLog]:
    """Open the log of a job, and close it in the end.

    Args:
        config: The whole configuration; ``logger=`` has been checked.
        folder: The run folder.
    """
    if config.logger.name == "wandb":
        from net2vec_pl.tasks.wandb_log import wandb_log

        with wandb_log(config, folder) as log:
            yield log
    elif config.logger.name == "csv":
        yield _CsvLog(config)
    elif config.logger.name == "tensorboard":
        yield _TensorBoardLog(config)
    else:
        yield JobLog()
