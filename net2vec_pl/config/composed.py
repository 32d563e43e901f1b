"""Compose the tree of conf/ from Python: choices of groups, and values of options."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from net2vec_pl.config.command_line import COMPOSITION_ERRORS, config_dir, explain
from net2vec_pl.errors import ConfigError


def composed(choices: Mapping[str, str], values: Mapping[str, Any]) -> DictConfig:
    """Return what a command line of the same options would give.

    Hydra's own state stays as it was, so this works inside a program that uses Hydra itself.

    Args:
        choices: Group -> choice, as in ``protocol=best``.
        values: Dotted name -> value. Names that no option has are refused later, by
            :func:`~net2vec_pl.config.known.check_options`.

    Raises:
        ConfigError: If a group has no such choice.
    """
    options = [f"{group}={choice}" for group, choice in choices.items()]
    try:
        with _our_hydra():
            config = compose("config", overrides=options)
        with open_dict(config):
            for name, value in values.items():
                OmegaConf.update(config, name, _plain(value), merge=False)
    except COMPOSITION_ERRORS as error:
        raise ConfigError(explain(error)) from error
    return config


@contextmanager
def _our_hydra() -> Iterator[None]:
    """Compose from conf/, whether or not the calling program uses Hydra itself."""
    theirs = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = theirs


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(of) for key, of in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
