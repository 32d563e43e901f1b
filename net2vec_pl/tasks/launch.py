"""Start the processes of a run before its work begins, so that they share all of it.

Lightning starts them when it begins to fit; thresholds, bits and single filters come before that.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError


@contextmanager
def launched(trainer: pl.Trainer) -> Iterator[None]:
    """Have a trainer's processes run what follows, this one among them, and end together.

    Args:
        trainer: Says how many there are; is not used otherwise.

    Raises:
        ConfigError: If this is one job of a multirun, which every process would run whole.
    """
    launcher = trainer.strategy.launcher
    if launcher is None:
        yield
        return
    if trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError(
            "several processes in one --multirun would each go through all of its jobs; "
            "start every job as a run of its own."
        )
    launcher.launch(lambda: None, trainer=trainer)
    try:
        trainer.strategy.setup_environment()
        if not processes.is_first():
            _be_quiet()
        yield
    except BaseException:
        launcher.kill(signal.SIGTERM)  # the others would wait for us for ever
        raise


def _be_quiet() -> None:
    """Leave speaking and writing to the first process."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
        if isinstance(handler, logging.FileHandler):
            path = Path(handler.baseFilename)
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):  # Hydra's, of a process started from outside
                path.parent.rmdir()
    root.addHandler(logging.NullHandler())
