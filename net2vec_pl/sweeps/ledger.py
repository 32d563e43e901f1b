"""The ledger of a sweep: what became of each of its jobs.

Every job keeps its own line, ``job.json`` in its folder, which only the process that runs it
writes; ``ledger.csv`` is all of them together, written anew whenever one changes. So any number of
processes, on any number of machines that share the folder, can work on one sweep, and a line can
be late but never be lost.
"""

import csv
import json
import logging
import os
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from net2vec_pl.runs.files import whole

LINE, LEDGER, LOCK = "job.json", "ledger.csv", ".job.lock"
RUNNING, FINISHED, FAILED, STOPPED = "running", "finished", "failed", "stopped"
# The columns of ledger.csv, in order; scores follow.
COLUMNS = (
    "job", "state", "digest", "overrides", "started", "ended", "seconds", "host", "process",
    "cause",
)  # fmt: skip

Line = dict[str, Any]
_log = logging.getLogger(__name__)


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """Take a job's folder for this process alone; waits for another that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    if _is_taken(folder):
        _log.info("%s: waiting for the process that is working on it", folder.name)
    with FileLock(folder / LOCK):
        yield


def write_line(folder: Path, line: Line) -> None:
    """Write what became of a job, whole or not at all, and the sweep's ledger.

    Args:
        folder: Folder of the job, in that of the sweep.
        line: What :data:`COLUMNS` name, and scores.
    """
    _replace(folder / LINE, json.dumps(line, indent=1))
    write_ledger(folder.parent)


def read_line(folder: Path) -> Line | None:
    """Return what became of a job: None if it was never begun.

    A job that says it is running though nobody has its folder was killed: its state is ``stopped``.
    """
    try:
        line: Line = json.loads((folder / LINE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(line, dict) or not {"job", "state", "started", "host", "process"} <= {*line}:
        return None
    ours = (line["host"], line["process"]) == (platform.node(), os.getpid())
    if line["state"] == RUNNING and not ours and not _is_taken(folder):
        line |= {"state": STOPPED, "cause": "killed"}
    return line


def read_ledger(sweep: Path) -> list[Line]:
    """Return a line for each job of a sweep, in the order of their names."""
    lines = (read_line(path.parent) for path in sorted(sweep.glob(f"*/{LINE}")))
    return [line for line in lines if line is not None]


def write_ledger(sweep: Path) -> None:
    """Write ``ledger.csv``, a row for each job."""
    with FileLock(sweep / ".ledger.lock"):
        lines = read_ledger(sweep)
        names = [*COLUMNS, *dict.fromkeys(key for line in lines for key in line)]
        with (
            whole(sweep / LEDGER) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(dict.fromkeys(names)), restval="")
            writer.writeheader()
            writer.writerows(lines)


def _is_taken(folder: Path) -> bool:
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _replace(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def summary(sweep: Path) -> str:
    """Say in a few lines what became of a sweep's jobs; nothing if it has none."""
    lines = read_ledger(sweep)
    if not lines:
        return ""
    counts = Counter(line["state"] for line in lines)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    failed = [f"  {x['job']} {x['state']}: {x['cause']}\n" for x in lines if x["cause"]]
    again = "The same command runs again what has not finished.\n" if failed else ""
    return f"{len(lines)} jobs: {told}\n{''.join(failed)}{again}Ledger: {sweep / LEDGER}\n"
