"""The arguments of ``learn``: of the kinds that it takes, and each thing said once."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

from pytorch_lightning.loggers import Logger
from torch import nn

from net2vec_pl.config.values import whole_number
from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.protocol import Protocol
from net2vec_pl.studies import Question

Arguments: TypeAlias = Mapping[str, Any]  # by name

# Options of the command line that are arguments here.
_ARGUMENT_OF = {
    "target": "target", "seed": "seed", "seeds": "seeds", "beside": "beside", "layer": "layer",
    "loader.batch_size": "batch_size", "loader.workers": "workers", "data": "data",
    "data.root": "data", "data.names": "names", "data.group": "groups",
    "data.categories": "categories",
    "data.min_train": "min_train", "data.min_val": "min_val", "data.on_error": "on_error",
    "model": "network", "model.name": "network", "model.weights": "weights",
    "model.scaling": "scaling", "protocol": "protocol", "protocol.probe": "probe",
    "analysis": "analyses", "analysis.names": "analyses", "cache": "cache", "logger": "logger",
    "callbacks.progress": "progress", "trainer": "device", "trainer.accelerator": "device",
    "trainer.devices": "devices", "run": "folder", "run.dir": "folder", "run.resume": "folder",
    "units": "units",
}  # fmt: skip
_NOT_HERE = ("task", "hydra", "experiment", "report")


def check_arguments(arguments: Arguments) -> None:
    """Refuse what is of another kind, before it is read as something else or as nothing.

    Args:
        arguments: Those of ``learn``.

    Raises:
        ConfigError: If an argument is of no kind that it may be, or an option is one of them.
    """
    for name, (fits, wanted) in _KINDS.items():
        if not fits(arguments[name]):
            raise ConfigError(f"{name}={_brief(arguments[name])} must be {wanted}.")
    whole_number("seed", arguments["seed"], 0, 2**32 - 1)
    options = arguments["options"] or {}
    for option in map(str, options):
        if option in _ARGUMENT_OF:
            name = _ARGUMENT_OF[option]
            raise ConfigError(
                f"options: {option} is an argument of its own, {name}={name.upper()}."
            )
        if option.partition(".")[0] in _NOT_HERE:
            raise ConfigError(f"options: {option} belongs to the command line; leave it out.")
    if arguments["cache"] == "disk" and "cache.dir" not in options:
        raise ConfigError('cache="disk" needs a folder: options={"cache.dir": DIR}.')


def _is_layer(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(name, str) for name in value)
    return value is None or isinstance(value, str)


def _is_analyses(value: Any) -> bool:
    def is_question(one: Any) -> bool:
        kind = one if isinstance(one, type) else type(one)
        return isinstance(one, str) or issubclass(kind, Question)

    return isinstance(value, str) or (
        isinstance(value, list | tuple) and all(map(is_question, value))
    )


def _is_probe(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str)
        or (isinstance(value, type) and issubclass(value, Fitter))
    )


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: value is None or isinstance(value, kinds)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "network": (
        lambda value: isinstance(value, nn.Module | str),
        "a torch.nn.Module or the name of one",
    ),
    "layer": (_is_layer, "the name of a layer, or a list of names"),
    "protocol": (
        lambda value: isinstance(value, str | Protocol),
        "the name of a protocol or a Protocol; single options go into options, as in "
        'options={"protocol.epochs": 5}',
    ),
    "probe": (_is_probe, "a name, or a class that extends net2vec_pl.pipeline.fitter.Fitter"),
    "analyses": (_is_analyses, "a name, or a list of names and of questions"),
    "beside": (_is(str, Sequence), "a list of names"),
    "logger": (_is(str, Logger), "a logger of Lightning, or a name"),
    "folder": (_is(str, PathLike), "a path"),
    "weights": (_is(str, PathLike), "a file, or a name of torchvision's"),
    "units": (
        lambda value: isinstance(value, str | Mapping),
        'a name, or a dict of it and its options, as in {"name": "pca", "count": 16}',
    ),
    "scaling": (_is(str, Mapping), "a name, or {mean: [...], std: [...]}"),
    "options": (_is(Mapping), 'a dict by dotted name, as in {"protocol.epochs": 5}'),
    "progress": (lambda value: isinstance(value, bool), "True or False"),
}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"<{type(value).__name__}>"
