"""The one entry: do the task of the command line, and end in one message if that fails."""

import errno
import logging
import os
import sys
from importlib import import_module
from typing import NoReturn

from net2vec_pl.config import Config
from net2vec_pl.config.command_line import COMPOSITION_ERRORS, explain, run_task
from net2vec_pl.errors import Net2VecError
from net2vec_pl.sweeps import begin_sweep, hold_lifeline, note_cause

_UNWRITABLE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS)


def main() -> None:
    """Run the task that the command line asks for; exit 1 with one message if it cannot be done."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let us, not Hydra, word the message
    hold_lifeline()
    begin_sweep()
    logging.raiseExceptions = False  # a console that has gone (| head) must not stop a run
    working_folder_last()
    try:
        run_task(_do)
    except Net2VecError as error:
        _fail(str(error))
    except COMPOSITION_ERRORS as error:
        _fail(explain(error))
    except KeyboardInterrupt:
        _fail("interrupted; files written so far are kept.", status=130)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            _fail(f"cannot write {error.filename}: {error.strerror}. Choose another run.dir.")
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            note_cause(repr(error))
            raise
        _fail(
            f"the disk is full: {error}. Files written so far are kept; free some space and rerun."
        )
    except Exception as error:
        note_cause(repr(error))
        raise


def working_folder_last() -> None:
    """Search the working folder for modules, after all other places.

    ``model._target_`` may name a file of the user's there; but a file ``calendar.py`` must not be
    imported in place of Python's own.
    """
    here = os.getcwd()
    sys.path[:] = [*(place for place in sys.path if os.path.abspath(place) != here), here]


def _do(name: str, config: Config) -> None:
    """Do a task: the function of its name, in the module of its name."""
    # Imported here, for the task brings all that is heavy.
    getattr(import_module(f"net2vec_pl.tasks.{name}"), name)(config)


def _fail(message: str, status: int = 1) -> NoReturn:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one process speaks for all
        note_cause(message)
        sys.stderr.write(f"error: {message}\n")
    sys.exit(status)
