"""Read ``analysis=``: every option is a field of a question, whose type says what it takes."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from omegaconf import DictConfig

from net2vec_pl.config.values import name_list, plain, whole_number
from net2vec_pl.errors import ConfigError, shorten, unknown
from net2vec_pl.studies.question import Question
from net2vec_pl.studies.registry import BUILT_IN, kinds_of


def questions_from(config: DictConfig) -> list[Question]:
    """Read the questions that a run asks, with their options.

    Args:
        config: The group ``analysis`` of the composed tree.

    Raises:
        ConfigError: If a question is unknown, no question has an option of such a name, or a value
            does not fit the type of its field.
    """
    given = plain(config)
    asked = kinds_of(name_list("analysis.names", given.pop("names", None)) or [])
    kinds = list(dict.fromkeys([*BUILT_IN.values(), *asked]))
    known = {field.name for kind in kinds for field in fields(kind)}
    for name in given:
        if name not in known:
            raise ConfigError(unknown("option of analysis", name, ["names", *sorted(known)]))
    read = {kind: kind(**_options(kind, given)) for kind in kinds}  # all, so that none is wrong
    return [read[kind] for kind in asked]


def _options(kind: type[Question], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options given that are fields of a question, checked."""
    hints, found = get_type_hints(kind), {}
    for field in fields(kind):
        wanted = hints[field.name]
        if wanted not in _READERS:
            names = shorten(str(getattr(type_, "__name__", type_)) for type_ in _READERS)
            raise ConfigError(
                f"{kind.__qualname__}.{field.name} is of type {wanted}; options are of: {names}."
            )
        if field.name in given:
            minimum = field.metadata.get("minimum", 0)
            value = given[field.name]
            found[field.name] = _READERS[wanted](f"analysis.{field.name}", value, minimum)
    return found


def _number(name: str, value: Any, minimum: int) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name}={value} must be a number.")
    return float(value)


def _switch(name: str, value: Any, minimum: int) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value} must be true or false.")
    return value


def _names(name: str, value: Any, minimum: int) -> tuple[str, ...] | None:
    names = None if value == "auto" else name_list(name, value)
    return None if names is None else tuple(names)


def _numbers(name: str, value: Any, minimum: int) -> tuple[int, ...] | None:
    if value == "auto":
        return None
    given = value if isinstance(value, list) else [value]
    return tuple(whole_number(name, number, minimum) for number in given)


_READERS: Mapping[Any, Callable[[str, Any, int], Any]] = {
    int: whole_number,
    float: _number,
    bool: _switch,
    str: lambda name, value, minimum: str(value),
    str | None: lambda name, value, minimum: None if value is None else str(value),
    tuple[str, ...] | None: _names,
    tuple[int, ...] | None: _numbers,
}
