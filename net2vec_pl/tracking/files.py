"""Logs in files beside the results: ``metrics.csv``, and events of TensorBoard."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from net2vec_pl import processes
from net2vec_pl.runs.files import whole
from net2vec_pl.tracking.log import JobLog


class CsvLog(JobLog):
    """``metrics.csv``, and the configuration in ``hparams.yaml``, in the folder of each layer."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = dict(configuration)

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return a logger that goes on behind the epochs done; Lightning's own begins anew."""
        path = folder / "metrics.csv"
        rows: list[dict[str, str]] = []
        if epochs_done and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["epoch"]) < epochs_done]
        logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
        logger.log_hyperparams(self._configuration)
        experiment = logger.experiment
        if rows and processes.is_first():
            experiment.metrics_keys = list(rows[0])
            with whole(path) as part, part.open("w", newline="") as file:
                writer = csv.DictWriter(file, experiment.metrics_keys)
                writer.writeheader()
                writer.writerows(rows)
        return logger


class TensorBoardLog(JobLog):
    """Event files and the configuration, in ``tensorboard/`` in the folder of each layer."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = dict(configuration)

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return a logger; TensorBoard itself joins the files of several starts."""
        logger = TensorBoardLogger(folder, name="", version="tensorboard")
        logger.log_hyperparams(self._configuration)
        return logger
