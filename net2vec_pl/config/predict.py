"""Read the options of ``task=predict``."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from net2vec_pl.config.known import check_options
from net2vec_pl.config.values import name_list, plain, whole_number, workers_from
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.pipeline.trainers import quiet_lightning, trainer_from
from net2vec_pl.predict.options import Options

_OWN = ("bank", "images", "concepts", "size", "probabilities", "weights")
_SIZES = ("image", "mask")


def options_from(config: DictConfig) -> Options:
    """Read and check the options.

    Raises:
        ConfigError: If one is unknown, of another type or out of range.
    """
    check_options(config, _OWN)
    if not config.bank:
        raise ConfigError("bank is empty; name a run folder or its bank: bank=runs/NAME.")
    concepts = name_list("concepts", config.concepts)
    if concepts is not None and not (concepts and all(concepts)):
        raise ConfigError("concepts is empty; name some, as in concepts=[sky], or leave it out.")
    if config.size not in _SIZES:
        raise ConfigError(unknown("value of size", str(config.size), _SIZES))
    if not isinstance(config.probabilities, bool):
        raise ConfigError(f"probabilities={config.probabilities} must be true or false.")
    return Options(
        bank=Path(str(config.bank)).expanduser(),
        images=name_list("images", config.images) or [],
        concepts=concepts,
        own_size=config.size == "image",
        probabilities=config.probabilities,
        weights=None if config.weights is None else str(config.weights),
        batch_size=whole_number("loader.batch_size", config.loader.batch_size, 1),
        workers=max(1, workers_from(config.loader.workers)),
        device=_device(config.trainer),
        progress=config.callbacks.progress,
    )


def _device(trainer: DictConfig) -> torch.device:
    """Return the device that a run would take."""
    with quiet_lightning():
        device: torch.device = trainer_from(plain(trainer)).strategy.root_device
    return device
