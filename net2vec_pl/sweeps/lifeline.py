"""What a job and the process that started it owe each other: an end together, and a reason."""

import os
import signal
import threading
from pathlib import Path

# Names of environment variables, set for a job by the process that starts it.
LIFELINE, CAUSE = "NET2VEC_LIFELINE", "NET2VEC_CAUSE"
_STDIN = 0
_PATIENCE = 2.0  # seconds: Ctrl-C reaches this process too, which then ends by itself
_GRACE = 30.0  # seconds to write down what is done


def is_job() -> bool:
    """Return whether this process is a job that a sweep started."""
    return CAUSE in os.environ


def hold_lifeline() -> None:
    """End this process, if it is a job, when the one that started it ends, however it ends.

    Standard input is a pipe of which the other holds the far end.
    """
    if os.environ.pop(LIFELINE, None):  # for this process alone, not for those it starts
        threading.Thread(target=_watch, daemon=True).start()


def note_cause(message: str) -> None:
    """Tell the process that started this job why it fails."""
    if is_job():
        Path(os.environ[CAUSE]).write_text(message, encoding="utf-8")


def _watch() -> None:
    while os.read(_STDIN, 1):
        pass
    threading.Event().wait(_PATIENCE)
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(_GRACE)
    os._exit(130)
