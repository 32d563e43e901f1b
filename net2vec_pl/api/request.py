"""From the arguments of ``learn`` to the objects that a run takes."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from net2vec_pl.api.arguments import Arguments, check_arguments
from net2vec_pl.api.data import GivenData, data_given
from net2vec_pl.backbones import LiveNetwork
from net2vec_pl.config import Config
from net2vec_pl.config.command_line import model_choice
from net2vec_pl.config.composed import composed
from net2vec_pl.config.folder import save
from net2vec_pl.config.plan import Plan
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.pipeline.options import RunOptions
from net2vec_pl.pipeline.setup import Subject
from net2vec_pl.protocol import Protocol
from net2vec_pl.studies import Question
from net2vec_pl.studies.registry import possible
from net2vec_pl.tracking import JobLog, job_log

_ACCELERATORS = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "gpu": "gpu"}


class _GivenLog(JobLog):
    """Logs to a logger of the user's."""

    forks: ClassVar[bool] = False

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def of_layer(self, folder: Path, epochs_done: int) -> Logger | bool:
        """Return the user's logger."""
        return self._logger


@dataclass(frozen=True)
class Request:
    """A run as ``learn`` is asked for it.

    What can be said in the words of the command line is, so that both have the same defaults,
    checks and messages; what exists already (a network, a dataset, questions) is handed on.

    Args:
        arguments: Those of ``learn``.
        folder: Where the run does its work.
    """

    arguments: Arguments
    folder: Path

    @property
    def kept(self) -> bool:
        """Whether the folder stays."""
        return self.arguments["folder"] is not None

    @cached_property
    def data(self) -> GivenData:
        """The dataset."""
        return data_given(self.arguments)

    @cached_property
    def config(self) -> Config:
        """The tree of conf/ that a command line of the same options would give."""
        of = self.arguments
        check_arguments(of)
        logger, protocol, analyses = of["logger"], of["protocol"], of["analyses"]
        units = {"name": of["units"]} if isinstance(of["units"], str) else dict(of["units"])
        named = isinstance(analyses, str)
        choices = {
            "data": self.data.choice,
            "model": self._model_choice,
            "cache": of["cache"],
            "units": str(units.pop("name", "filters")),
            "logger": logger if isinstance(logger, str) else "none",
            "analysis": analyses if named else "none",
            **({"protocol": protocol} if isinstance(protocol, str) else {}),
        }
        values: dict[str, Any] = {
            **_same_name(of, "target", "seed", "seeds", "beside"),
            "loader.batch_size": of["batch_size"],
            "loader.workers": of["workers"],
            "callbacks.progress": of["progress"],
            "callbacks.scores": logger is not None,
            "callbacks.norms": logger is not None,
            "callbacks.checkpoint": self.kept,
            "report": self.kept,
            "run.dir": str(self.folder),
            **_same_name(of, "categories", "min_train", "min_val", "on_error", group="data."),
            **self.data.values,
            **self._model(),
            **_trainer(of["device"], of["devices"]),
            **({} if named else {"analysis.names": [n for n in analyses if isinstance(n, str)]}),
            **({"protocol": protocol.plain()} if isinstance(protocol, Protocol) else {}),
            **({} if of["probe"] is None else {"protocol.probe": _path_of(of["probe"])}),
            **({} if of["layer"] is None else {"layer": of["layer"]}),
            **{f"units.{name}": value for name, value in units.items()},
        }
        return composed(choices, values | dict(of["options"] or {}))

    @cached_property
    def plan(self) -> Plan:
        """The same, checked."""
        return Plan(self.config)

    @property
    def subject(self) -> Subject:
        """Network and dataset."""
        plan, reader = self.plan, self.data.reader
        network = plan.network if isinstance(self.arguments["network"], str) else self._live
        return Subject(
            network,
            plan.layers,
            plan.reader_for(lambda: network) if reader is None else reader,
            plan.concepts,
            plan.on_error,
            plan.units,
            plan.scan,
        )

    @property
    def options(self) -> RunOptions:
        """How the run does its work: in this process, and without files that nobody keeps."""
        return replace(self.plan.options, draw=self.kept, forks=False)

    @property
    def questions(self) -> list[Question]:
        """What it asks besides scores: those given by name, then the objects given."""
        given = self.arguments["analyses"]
        own = [] if isinstance(given, str) else [q for q in given if not isinstance(q, str)]
        own = [question() if isinstance(question, type) else question for question in own]
        return [*self.plan.questions, *possible(own, self.plan.options.targets)]

    def save(self, folder: Path) -> None:
        """Save the configuration, where the folder stays."""
        if self.kept:
            save(self.config, folder)

    def open_log(self, folder: Path) -> AbstractContextManager[JobLog]:
        """Open the log of the run."""
        logger = self.arguments["logger"]
        if isinstance(logger, Logger):
            return nullcontext(_GivenLog(logger))
        if logger not in (None, "none") and not self.kept:
            raise ConfigError(f"logger={logger!r} writes into the run folder: give folder=DIR.")
        return job_log(self.plan.tracking, self.plan.whole, folder)

    @property
    def _model_choice(self) -> str:
        network = self.arguments["network"]
        if not isinstance(network, str):
            return "custom"
        return model_choice(network)

    def _model(self) -> dict[str, Any]:
        of = self.arguments
        if isinstance(of["network"], nn.Module) and of["weights"] is not None:
            raise ConfigError("weights belong to a network given by name; a live one has its own.")
        if isinstance(of["network"], str):
            weights = None if of["weights"] is None else str(of["weights"])
            given = {"model.weights": weights, "model.scaling": of["scaling"]}
            if self._model_choice != of["network"]:
                given["model.name"] = of["network"]
            return {name: value for name, value in given.items() if value is not None}
        return {f"model.{name}": value for name, value in self._live.plain.items()}

    @cached_property
    def _live(self) -> LiveNetwork:
        network, scaling = self.arguments["network"], self.arguments["scaling"]
        return LiveNetwork.of(network, scaling or "torchvision")


def _same_name(arguments: Arguments, *names: str, group: str = "") -> dict[str, Any]:
    return {f"{group}{name}": arguments[name] for name in names}


def _path_of(probe: str | type) -> str:
    if isinstance(probe, str):
        return probe
    if "<locals>" in probe.__qualname__:
        raise ConfigError(
            f"probe={probe.__qualname__} is defined inside a function: define the class in a "
            "module, or in a cell of its own, where it can be imported from."
        )
    return f"{probe.__module__}.{probe.__qualname__}"


def _trainer(device: str | torch.device, devices: int) -> dict[str, Any]:
    """Say in the words of Lightning's trainer where a run works.

    Raises:
        ConfigError: If there is no such device, or a notebook would have to start processes.
    """
    if not isinstance(devices, int) or isinstance(devices, bool) or devices < 1:
        raise ConfigError(f"devices={devices} must be a whole number from 1.")
    name, _, index = str(device).partition(":")
    if name not in _ACCELERATORS or (index and not index.isdecimal()):
        raise ConfigError(unknown("device", str(device), [*_ACCELERATORS, "cuda:1"]))
    trainer = {"trainer.accelerator": _ACCELERATORS[name], "trainer.devices": devices}
    if devices == 1:
        return trainer | ({"trainer.devices": [int(index)]} if index else {})
    if not hasattr(sys.modules["__main__"], "__file__"):
        raise ConfigError(
            f"devices={devices} needs processes of their own, which a notebook cannot start: call "
            "learn() in a script, or use the command line: python train.py trainer=ddp "
            f"trainer.devices={devices} and the same options."
        )
    if index or torch.distributed.is_initialized():
        raise ConfigError(
            f"devices={devices} starts processes: give device={name!r}, outside of a process group."
        )
    return trainer | {"trainer.strategy": "ddp"}
