"""The loggers of ``logger=``: opened with the configuration, closed in the end, gone on with."""

import csv
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast, get_args
from uuid import uuid4

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.report import write_csv
from net2vec_pl.tasks.build import plain

_log = logging.getLogger(__name__)
_WandbMode = Literal["online", "offline", "disabled"]


@contextmanager
def logger_for(config: DictConfig, folder: Path, epochs_done: int = 0) -> Iterator[Logger | bool]:
    """Build the logger of ``logger=``, give it the configuration, and close it in the end.

    Args:
        config: The whole configuration.
        folder: The folder into which it writes.
        epochs_done: Epochs that an earlier start has logged.

    Raises:
        ConfigError: If its name is unknown.
    """
    makers: dict[str, Callable[[], Logger | bool]] = {
        "csv": lambda: _csv_logger(folder, epochs_done),
        "tensorboard": lambda: TensorBoardLogger(folder, name="", version="tensorboard"),
        "wandb": lambda: _wandb_logger(config.logger, folder),
        "none": lambda: False,
    }
    name = config.logger.name
    if name not in makers:
        raise ConfigError(unknown("logger", str(name), makers))
    logger = makers[name]()
    if isinstance(logger, Logger):
        logger.log_hyperparams(plain(config))
    try:
        yield logger
    finally:
        if isinstance(logger, WandbLogger):
            import wandb

            wandb.finish()  # else the next job of a multirun writes into this run


def _csv_logger(folder: Path, epochs_done: int) -> Logger:
    """Make a logger that goes on behind the epochs done; Lightning's own begins a new file."""
    path = folder / "metrics.csv"
    rows: list[dict[str, str]] = []
    if epochs_done and path.exists():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epochs_done]
    logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
    experiment = logger.experiment
    if rows and processes.is_first():
        write_csv(rows, path)
        experiment.metrics_keys = list(rows[0])
    return logger


def _wandb_logger(config: DictConfig, folder: Path) -> Logger:
    import wandb

    mode = config.mode or os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.api.api_key else "offline"
        _log.info("W&B: %s (logger.mode=null)", mode)
    if mode not in get_args(_WandbMode):
        raise ConfigError(unknown("logger.mode", mode, get_args(_WandbMode)))
    settings = wandb.Settings(mode=cast(_WandbMode, mode), silent=True)
    return WandbLogger(
        project=config.project,
        save_dir=folder,
        name=folder.name,
        id=processes.from_first(lambda: _run_id(folder)),
        resume="allow",
        settings=settings,
    )


def _run_id(folder: Path) -> str:
    """Return the folder's own W&B id, so that a run that is resumed goes on in the same one."""
    path = folder / "wandb_id"
    if not path.exists():
        path.write_text(uuid4().hex[:8])
    return path.read_text()
