"""The folder that Hydra composed for a run, and the configuration saved there."""

import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from net2vec_pl.config.sweeps import flags_of
from net2vec_pl.errors import RunFolderError
from net2vec_pl.runs.folder import run_folder


def composed_folder() -> Path:
    """Return the folder of this run."""
    return Path(HydraConfig.get().runtime.output_dir)


def taken(config: DictConfig) -> AbstractContextManager[Path]:
    """Take the folder of this run, and save the configuration there.

    Args:
        config: The composed tree of conf/.

    Raises:
        RunFolderError: If it has no name, or cannot be taken; see
            :func:`~net2vec_pl.runs.folder.run_folder`.
    """
    if not config.run.dir:
        raise RunFolderError("run.dir is empty; name a folder.")
    return run_folder(composed_folder, lambda folder: _save_with_options(config, folder))


def command() -> str:
    """Return the command that started the task."""
    return shlex.join(["python", "train.py", *HydraConfig.get().overrides.task])


def save(config: DictConfig, folder: Path) -> Path:
    """Save a configuration in the folder of its run.

    Args:
        config: The composed tree of conf/.
        folder: The run folder.

    Returns:
        The folder that holds it.
    """
    hydra_folder = folder / ".hydra"
    hydra_folder.mkdir(exist_ok=True)
    OmegaConf.save(config, hydra_folder / "config.yaml")
    OmegaConf.save(config, hydra_folder / "resolved.yaml", resolve=True)
    return hydra_folder


def _save_with_options(config: DictConfig, folder: Path) -> None:
    """Save a configuration, and the command line that asked for it."""
    hydra_folder, hydra = save(config, folder), HydraConfig.get()
    OmegaConf.save(hydra.overrides.task, hydra_folder / "overrides.yaml")
    if flags := flags_of(cast(DictConfig, hydra)):
        OmegaConf.save(flags, hydra_folder / "flags.yaml")
