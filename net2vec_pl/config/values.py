"""Read single options, and say what is wrong with them."""

from typing import Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf

from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline.side_by_side import num_cores

_MAX_WORKERS = 8


def whole_number(name: str, value: object, minimum: int, maximum: int = 2**63 - 1) -> int:
    """Check an option that counts something.

    Raises:
        ConfigError: If it is no whole number, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        limit = f" to {maximum}" if maximum < 2**63 - 1 else ""
        raise ConfigError(f"{name}={value} must be a whole number from {minimum}{limit}.")
    return value


def name_list(name: str, value: object) -> list[str] | None:
    """Read an option that lists names; a single name is a list of one, null is no choice.

    Raises:
        ConfigError: If it is anything else.
    """
    if value is None:
        return None
    if isinstance(value, str | int):
        return [str(value)]
    if not isinstance(value, ListConfig | list) or not all(isinstance(v, str | int) for v in value):
        raise ConfigError(f"{name}={value} must be a list of names, as in {name}=[one,two].")
    return [str(v) for v in value]


def workers_from(workers: object) -> int:
    """Read ``loader.workers``: a number of processes, or ``auto``: one per core, 8 at most."""
    if workers == "auto":
        return min(num_cores(), _MAX_WORKERS)
    return whole_number("loader.workers", workers, 0)


def mask_size(name: str, value: object, target: str) -> tuple[int, int] | Literal["native"] | None:
    """Read an option that gives a size of masks: null, ``native``, a side, or height and width.

    Args:
        name: Name of the option.
        value: What was given.
        target: What the run does; without ``segmentation`` there are no masks to score.

    Raises:
        ConfigError: If it is anything else, or no masks are scored.
    """
    if value is None:
        return None
    if target == "classification":
        raise ConfigError(
            f"{name}={value} scores masks, which target=classification has none of; target=both "
            "has them."
        )
    if value == "native":
        return "native"
    sides: list[Any] = list(value) if isinstance(value, ListConfig | list) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ConfigError(
            f"{name}={value} must be native, a side in pixels, [height,width] or null."
        )
    return sides[0], sides[1]


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolve a configuration into plain dicts, lists, strings and numbers."""
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
