"""What a job and the process that started it owe each other: an end together, and a reason."""

import os
import signal
import threading
from pathlib import Path

# Names of environment variables, set for a job by the process that starts it.
LIFELINE, CAUSE, DIGEST = "NET2VEC_LIFELINE", "NET2VEC_CAUSE", "NET2VEC_DIGEST"
_SWEEP = "NET2VEC_SWEEP"
_STDIN = 0
_GRACE = 30.0  # seconds to write down what is done


def is_job() -> bool:
    """Return whether this process is a job that a sweep started."""
    return CAUSE in os.environ


def hold_lifeline() -> None:
    """End this process, if it is a job, when the one that started it ends, however it ends.

    Standard input is a pipe of which the other holds the far end.
    """
    if os.environ.pop(LIFELINE, None):  # for this process alone, not for those it starts
        # A shell starts what ends in & deaf to interrupts, and all that this starts in turn.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_watch, daemon=True).start()


def begin_sweep() -> None:
    """Let the workers of a launcher know the process of the sweep."""
    os.environ[_SWEEP] = str(os.getpid())


def end_with_starter() -> None:
    """End this process, if it is a launcher's worker, when the process of the sweep is gone.

    Workers of joblib would stay otherwise, and their jobs with them. What a queue has started
    (SLURM) is no child of the sweep, and goes on.
    """
    sweep = os.environ.get(_SWEEP)
    if sweep == str(os.getppid()) and not any(t.name == _SWEEP for t in threading.enumerate()):
        threading.Thread(target=_watch_parent, name=_SWEEP, daemon=True).start()


def _watch_parent() -> None:
    while str(os.getppid()) == os.environ[_SWEEP]:
        threading.Event().wait(1.0)
    os._exit(1)


def note_cause(message: str) -> None:
    """Tell the process that started this job why it fails; one process speaks for all."""
    if is_job() and os.environ.get("LOCAL_RANK", "0") == "0":
        Path(os.environ[CAUSE]).write_text(message, encoding="utf-8")


def _watch() -> None:
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(_GRACE)
    os._exit(130)
