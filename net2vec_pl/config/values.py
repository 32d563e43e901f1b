"""Read single options, and say what is wrong with them."""

from typing import Any

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


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolve a configuration into plain dicts, lists, strings and numbers."""
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
