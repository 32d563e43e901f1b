"""Take a run folder for one run alone, and give it back."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from net2vec_pl import processes
from net2vec_pl.errors import RunFolderError
from net2vec_pl.runs.contract import finished

_NEEDED_BYTES = 64 << 20
_LAST_MOMENTS = 10.0  # seconds that a job of a sweep that was killed needs to end


@contextmanager
def run_folder(find: Callable[[], Path], save: Callable[[Path], None]) -> Iterator[Path]:
    """Take the run folder for this run alone, check it, and save the configuration there.

    A folder in which a run was stopped is taken too: the stages know what is done.

    Args:
        find: Returns the folder. Only the first process is asked, for processes that were started
            from outside each compose a name of their own.
        save: Saves the configuration in it.

    Raises:
        RunFolderError: If another run works there, or has finished there, or the disk is almost
            full.
    """
    folder = processes.from_first(find)
    lock = FileLock(folder / ".lock")
    try:
        processes.from_first(lambda: _prepare(folder, lock, save))
        yield folder
    finally:
        if lock.is_locked:
            lock.release()
            (folder / ".lock").unlink(missing_ok=True)


def _prepare(folder: Path, lock: FileLock, save: Callable[[Path], None]) -> None:
    _check_unfinished(folder)
    try:
        lock.acquire(timeout=_LAST_MOMENTS)
    except TimeoutError:
        message = f"another run is using {folder}; choose another run.dir."
        raise RunFolderError(message) from None
    _check_unfinished(folder)  # the other run may have finished in the meantime
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise RunFolderError(
            f"{folder} has {free >> 20} MiB of disk left; a run needs {_NEEDED_BYTES >> 20} MiB."
        )
    (folder / "skipped.csv").unlink(missing_ok=True)  # of a run that did not finish
    save(folder)


def _check_unfinished(folder: Path) -> None:
    if finished(folder):
        raise RunFolderError(f"{folder} already holds a finished run; choose another run.dir.")


def tidy(folder: Path) -> None:
    """Remove what a run leaves behind that was killed in its very last moments.

    Args:
        folder: Folder of a run that has finished.
    """
    for state in (folder / "state", *folder.glob("*/state")):
        shutil.rmtree(state, ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)


def layer_folder(folder: Path, layer: str, num_layers: int) -> Path:
    """Return where a layer's results go: the run folder, or one below it if there are several."""
    if num_layers == 1:
        return folder
    at = folder / re.sub(r"[^A-Za-z0-9._+-]", "_", layer)
    if processes.is_first():
        at.mkdir(exist_ok=True)
    return at
