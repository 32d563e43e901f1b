"""Start the processes of a run before its work begins, so that they share all of it.

Lightning starts them when it begins to fit; thresholds, bits and single filters come before that.
"""

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytorch_lightning as pl

from net2vec_pl import processes
from net2vec_pl.errors import RunFolderError


@contextmanager
def launched(trainer: pl.Trainer) -> Iterator[None]:
    """Have a trainer's processes run what follows, this one among them, and end together.

    Args:
        trainer: Says how many there are; is not used otherwise.
    """
    launcher = trainer.strategy.launcher
    if launcher is None:
        yield
        return
    launcher.launch(lambda: None, trainer=trainer)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        trainer.strategy.setup_environment()
        logs = processes.from_first(_logs)
        if not processes.is_first():
            _be_quiet(logs)
        yield
    except BaseException as error:
        ended = [child for child in getattr(launcher, "procs", []) if child.poll()]
        launcher.kill(signal.SIGTERM)  # the others would wait for us for ever
        if ended and isinstance(error, RuntimeError):  # how a backend says that it hears nothing
            raise RunFolderError(
                f"a process of this run has ended (status {ended[0].returncode}), so the others "
                "cannot continue. run.resume=FOLDER resumes the run."
            ) from error
        raise


class StopOnSigterm(pl.Callback):
    """Let SIGTERM end a fit of several processes as Ctrl-C does.

    Lightning's own handler waits within it for processes that wait for this one.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put our handler in the place of Lightning's, which puts back what it found in the end."""
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _logs() -> list[str]:
    """Return the files that this process logs to."""
    handlers = logging.getLogger().handlers
    return [h.baseFilename for h in handlers if isinstance(h, logging.FileHandler)]


def _be_quiet(logs: Sequence[str]) -> None:
    """Leave speaking and writing to the first process.

    Args:
        logs: The first process's; those of processes started from outside may be the same.
    """
    own = [Path(file) for file in _logs() if file not in logs]
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for path in own:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another process has removed it, or it is not empty
            path.parent.rmdir()  # Hydra's, of a process started from outside
    root.addHandler(logging.NullHandler())
