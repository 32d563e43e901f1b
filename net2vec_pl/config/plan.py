"""What the command line asks of a run, as checked, plain objects."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from net2vec_pl.backbones import NetworkSpec
from net2vec_pl.config.known import check_options
from net2vec_pl.config.questions import questions_from
from net2vec_pl.config.readers import open_reader
from net2vec_pl.config.values import mask_size, name_list, plain, whole_number, workers_from
from net2vec_pl.data import ConceptReader
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.extensions import load
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.pipeline.options import ConceptChoice, FitCallbacks, RunOptions
from net2vec_pl.pipeline.setup import Subject
from net2vec_pl.protocol import CLOSED_FORM, NET2VEC, SUM, Protocol
from net2vec_pl.studies import Question
from net2vec_pl.studies.registry import possible
from net2vec_pl.tracking import TrackingOptions, check_tracking
from net2vec_pl.units import UnitChoice

_log = logging.getLogger(__name__)
_TARGETS = {
    "segmentation": ("segmentation",),
    "classification": ("classification",),
    "both": ("segmentation", "classification"),
}
BESIDE = ("mean_difference", "lda", "pattern")  # what needs no covariance of every concept
_CACHES = ("memory", "device", "disk", "none")
_ON_ERROR = ("raise", "skip")
_SCANS = ("kept", "anew")


class Plan:
    """A run as it is asked for; every part is read and checked when it is first wanted.

    Args:
        config: The composed tree of conf/.
        own: Options that the task has besides those of a run.
    """

    def __init__(self, config: DictConfig, own: Sequence[str] = ()) -> None:
        self._config, self._own = config, own

    @cached_property
    def options(self) -> RunOptions:
        """How the run does its work.

        Raises:
            ConfigError: If an option is unknown, of another type or out of range.
        """
        config = self._config
        check_options(config, self._own)
        chunk = config.fit.pairs_per_chunk
        if config.cache.name not in _CACHES:
            raise ConfigError(unknown("cache", str(config.cache.name), _CACHES))
        if config.target not in _TARGETS:
            raise ConfigError(unknown("target", str(config.target), _TARGETS))
        if config.fit.compile not in ("auto", True, False):
            raise ConfigError(f"fit.compile={config.fit.compile} must be auto, true or false.")
        protocol = Protocol.parse(plain(config.protocol))
        _check_probe(protocol.probe)
        return RunOptions(
            protocol=protocol,
            seed=whole_number("seed", config.seed, 0, 2**32 - 1),
            seeds=whole_number("seeds", config.seeds, 1, 1000),
            batch_size=whole_number("loader.batch_size", config.loader.batch_size, 1),
            workers=workers_from(config.loader.workers),
            cache=config.cache.name,
            cache_bytes=_cache_bytes(config.cache),
            cache_dir=Path(str(config.cache.get("dir") or "cache")).absolute(),
            compiled=None if config.fit.compile == "auto" else config.fit.compile,
            pairs_per_chunk=(
                None if chunk == "auto" else whole_number("fit.pairs_per_chunk", chunk, 1)
            ),
            targets=_TARGETS[config.target],
            report=config.report,
            callbacks=FitCallbacks(**plain(config.callbacks)),
            trainer=self.trainer,
            beside=_beside(config.beside),
            score_size=mask_size("score.mask_size", config.score.mask_size, config.target),
        )

    @cached_property
    def trainer(self) -> Mapping[str, Any]:
        """Arguments of Lightning's trainer; Lightning itself checks them."""
        return plain(self._config.trainer)

    @cached_property
    def questions(self) -> list[Question]:
        """What the run asks besides scores, of the targets that it has.

        Raises:
            ConfigError: If a question or an option of one is unknown, or a value does not fit.
        """
        targets = self.options.targets  # first, for it checks the groups of options
        return possible(questions_from(self._config.analysis), targets)

    @cached_property
    def tracking(self) -> TrackingOptions:
        """What the run logs to.

        Raises:
            ConfigError: If it is unknown, or would have to ask for an API key.
        """
        logger = self._config.logger
        options = TrackingOptions(str(logger.name), logger.get("project"), logger.get("mode"))
        check_tracking(options)
        return options

    @cached_property
    def reader(self) -> ConceptReader:
        """The dataset.

        Raises:
            ConfigError: If its name is unknown, an argument is missing, or ``data.group`` is no
                pattern that groups its images.
            DataError: If it cannot be opened.
        """
        return self.reader_for(lambda: self.network)

    def reader_for(self, network: Callable[[], NetworkSpec]) -> ConceptReader:
        """Open the dataset for a network, whose size its images get if no other is given.

        Args:
            network: Returns the network; called only if its size matters.

        Raises:
            ConfigError: As for :attr:`reader`.
            DataError: If it cannot be opened.
        """
        return open_reader(plain(self._config.data), lambda: network().own_size)

    @cached_property
    def concepts(self) -> ConceptChoice:
        """Which concepts of the dataset are probed.

        Raises:
            ConfigError: If a choice is no list of names, or a number out of range.
        """
        data = self._config.data
        return ConceptChoice(
            name_list("data.categories", data.categories),
            name_list("data.names", data.names),
            whole_number("data.min_train", data.min_train, 1),
            whole_number("data.min_val", data.min_val, 1),
        )

    @cached_property
    def on_error(self) -> str:
        """What becomes of unreadable images: ``raise`` or ``skip``.

        Raises:
            ConfigError: If it is neither.
        """
        given = str(self._config.data.on_error)
        if given not in _ON_ERROR:
            raise ConfigError(unknown("value of data.on_error", given, _ON_ERROR))
        return given

    @cached_property
    def scan(self) -> str:
        """Whether a scan kept on disk may be used: ``kept`` or ``anew``.

        Raises:
            ConfigError: If it is neither.
        """
        given = str(self._config.data.scan)
        if given not in _SCANS:
            raise ConfigError(unknown("value of data.scan", given, _SCANS))
        return given

    @cached_property
    def network(self) -> NetworkSpec:
        """The network.

        Raises:
            ConfigError: If ``model.seed``, from which random weights are drawn, is no seed.
        """
        model = plain(self._config.model)
        whole_number("model.seed", model.get("seed", 0), 0, 2**32 - 1)
        return NetworkSpec(model)

    @cached_property
    def layers(self) -> Sequence[str | None]:
        """The layers to read; see :class:`~net2vec_pl.pipeline.setup.Subject`.

        Raises:
            ConfigError: If they are no names.
        """
        return name_list("layer", self._config.layer) or [None]

    @cached_property
    def units(self) -> UnitChoice:
        """What is probed at a layer.

        Raises:
            ConfigError: If there are no such units, or an option cannot be used.
        """
        options = plain(self._config.units)
        return UnitChoice(str(options.pop("name")), options)

    @cached_property
    def subject(self) -> Subject:
        """Network and dataset.

        Raises:
            Net2VecError: If the dataset cannot be opened, or an option cannot be used.
        """
        return Subject(
            self.network,
            self.layers,
            self.reader,
            self.concepts,
            self.on_error,
            self.units,
            self.scan,
        )

    @property
    def folder(self) -> str:
        """The run folder; may be empty."""
        return str(self._config.run.dir or "")

    @property
    def whole(self) -> dict[str, Any]:
        """The whole configuration, resolved."""
        return plain(self._config)


def _check_probe(name: str) -> None:
    known = (NET2VEC, *CLOSED_FORM, SUM)
    if name in known:
        return
    if "." not in name:
        hint = " One of your own is given by its import path, as in my_file.MyProbe."
        raise ConfigError(unknown("value of protocol.probe", name, known) + hint)
    load(Fitter, name)  # type: ignore[type-abstract]


def _beside(given: object) -> tuple[str, ...]:
    names = name_list("beside", given) or []
    for name in names:
        if name not in BESIDE:
            raise ConfigError(unknown("probe of beside", name, BESIDE))
    return tuple(dict.fromkeys(names))


def _cache_bytes(config: DictConfig) -> int:
    gib = config.get("max_gib", 1)
    if not isinstance(gib, int | float) or isinstance(gib, bool) or gib <= 0:
        raise ConfigError(f"cache.max_gib={gib} must be a number above 0.")
    return int(gib * 2**30)
