"""The options of ``task=predict``, checked."""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.tasks.build import (
    check_options,
    name_list,
    quiet_lightning,
    trainer_from,
    whole_number,
    workers_from,
)

_OWN = ("bank", "images", "concepts", "size", "probabilities", "weights")
_SIZES = ("image", "mask")


@dataclass(frozen=True)
class Options:
    """What is asked of which bank.

    Args:
        bank: A bank, or the folder of a run.
        images: Files, folders and patterns.
        concepts: Names and patterns; None for all.
        own_size: Whether masks have the size of their photographs, else that of the run's masks.
        probabilities: Whether these are written too.
        weights: A weights file of the network, where the one that the bank names has moved.
        batch_size: Photographs at once.
        workers: Threads that read and write them.
        device: Where the network runs.
        progress: Whether a bar is shown.
    """

    bank: Path
    images: list[str]
    concepts: list[str] | None
    own_size: bool
    probabilities: bool
    weights: str | None
    batch_size: int
    workers: int
    device: torch.device
    progress: bool


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
    quiet_lightning()
    device: torch.device = trainer_from(trainer, 1, Path(), False, []).strategy.root_device
    return device
