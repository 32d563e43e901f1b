"""What Hydra knows of sweeps: their folder, and how to run one of their jobs by itself."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar, cast

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from net2vec_pl.options import quoted
from net2vec_pl.sweeps import SweepJob

# What belongs to the sweep and not to a run of its own.
_OF_THE_SWEEP = ("hydra.mode", "hydra.launcher", "hydra/launcher", "hydra.sweep", "hydra/sweeper",
                 "hydra.callbacks", "run.dir")  # fmt: skip


class SweepFolder(Callback):
    """Remembers the folder of the sweep that this process has begun.

    Attributes:
        current: The folder; None if no sweep was begun.
    """

    current: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder; let the workers of a launcher find this package, and Python's modules.

        Workers start as ``python -m ...``, which would search the working folder first.
        """
        SweepFolder.current = Path(config.hydra.sweep.dir)
        package = str(Path(__file__).parents[2])
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*given, package]))
        os.environ["PYTHONSAFEPATH"] = "1"


def composed_job(digest: str) -> SweepJob:
    """Return the job of a sweep that Hydra is about to run.

    Args:
        digest: Digest of the job's configuration.
    """
    hydra = cast(DictConfig, HydraConfig.get())
    overrides = [str(o) for o in hydra.overrides.task]
    folder = Path(hydra.runtime.output_dir)
    given = [str(o) for o in hydra.overrides.hydra]
    kept = [o for o in [*given, *overrides] if not o.lstrip("+~").startswith(_OF_THE_SWEEP)]
    options = [*kept, f"run.dir={quoted(folder)}", "hydra.mode=RUN"]
    command = [sys.executable, "-m", "net2vec_pl", *flags_of(hydra), *options]
    return SweepJob(folder, digest, overrides, command)


def flags_of(hydra: DictConfig) -> list[str]:
    """Return the flags with which Hydra finds the same configuration again; none as a rule."""
    sources = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    flags = [word for path in sources for word in ("--config-dir", path)]
    name = hydra.job.config_name
    return flags if name == "config" else [*flags, "--config-name", name]
