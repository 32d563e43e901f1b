"""A job of a sweep, whichever launcher has it: a fresh process, that runs one configuration.

A process of its own can be killed, run out of memory or start further processes, and leaves
nothing behind for the next job: no hook, no cache, no W&B run, no random state. What launchers do
is to say where and when; this is what they run.
"""

import logging
import math
import os
import platform
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

import net2vec_pl.sweeps.ledger as ledger
from net2vec_pl import runs
from net2vec_pl.errors import SweepError
from net2vec_pl.sweeps.lifeline import CAUSE, DIGEST, LIFELINE, end_with_starter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepJob:
    """A job of a sweep.

    Args:
        folder: Folder of its run.
        digest: Digest of its configuration.
        overrides: The options that make it differ from the default.
        command: Runs it as a run of its own.
    """

    folder: Path
    digest: str
    overrides: list[str]
    command: list[str]


def run_job(job: SweepJob) -> float:
    """Run one job of a sweep, unless it was finished before, and enter it in the ledger.

    Args:
        job: The job.

    Returns:
        Mean val set IoU, or mean accuracy where nothing is segmented; always a number.

    Raises:
        SweepError: If the job fails, or nothing of it could be scored; or if several processes were
            started from outside, which would each go through the whole sweep.
    """
    _check(job.overrides)
    end_with_starter()
    folder = job.folder
    with ledger.taken(folder):
        line = {"job": folder.name, "digest": job.digest, "overrides": " ".join(job.overrides)}
        if runs.finished(folder):
            _log.info("%s: already finished", folder.name)
            _enter_late(folder, line)
        else:
            _log.info("%s: %s", folder.name, line["overrides"])
            _run(folder, _begun(line), job.command)
    score = runs.score(folder)
    if math.isnan(score):
        raise SweepError(
            f"{folder.name} has finished, but its tables hold no score: no concept could be "
            "scored, or they are damaged. Delete its folder and start the sweep again."
        )
    return score


def _check(overrides: Sequence[str]) -> None:
    if given := [o for o in overrides if o.startswith("run.dir=")]:
        raise SweepError(f"{given[0]} is of one run; a sweep has hydra.sweep.dir=FOLDER.")
    for name, starter in (("WORLD_SIZE", "torchrun"), ("SLURM_STEP_NUM_TASKS", "srun")):
        if os.environ.get(name, "1") not in ("", "0", "1"):
            raise SweepError(
                f"{starter} started {os.environ[name]} processes, and each would go through the "
                "whole sweep. Start one (tasks_per_node=1); with trainer=ddp trainer.devices=N "
                "every job starts its own."
            )


def _enter_late(folder: Path, line: ledger.Line) -> None:
    """Enter a finished job whose line says otherwise, or that has none."""
    found = ledger.read_line(folder)
    if found is None or found["state"] != ledger.FINISHED:
        begun = found or _begun(line)
        ledger.write_line(folder, _ended(begun, ledger.FINISHED, folder=folder))


def _run(folder: Path, line: ledger.Line, command: list[str]) -> None:
    """Run a job to its end, and write down which end it took."""
    ledger.write_line(folder, line)
    with FileLock(folder / ".lock"):  # what an earlier start left running is about to end
        pass
    try:
        status, cause = _start(folder, command, line["digest"])
    except BaseException:
        ledger.write_line(folder, _ended(line, ledger.STOPPED, cause="interrupted"))
        raise
    if status:
        ledger.write_line(folder, _ended(line, ledger.FAILED, cause=cause))
        raise SweepError(f"{folder.name} failed: {cause}")
    ledger.write_line(folder, _ended(line, ledger.FINISHED, folder=folder))


def _start(folder: Path, command: list[str], digest: str) -> tuple[int, str]:
    """Run a command to its end; return its exit status, and why it is not 0."""
    note = folder / "cause.txt"
    note.unlink(missing_ok=True)
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    env = (
        {"WANDB_RUN_GROUP": folder.parent.name}
        | os.environ
        | {
            LIFELINE: "1",
            CAUSE: str(note),
            DIGEST: digest,
            "PYTHONPATH": os.pathsep.join(paths),
            "SLURM_JOB_NAME": "interactive",  # Lightning then starts a job's processes itself
        }
    )
    env.pop("WANDB_RUN_ID", None)  # one id would make one run of all jobs
    # A session of its own: Ctrl-C reaches this process, which ends the job in order.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env, start_new_session=True) as job:
        try:
            status = job.wait()
        except BaseException:
            assert job.stdin is not None
            job.stdin.close()  # nobody holds its lifeline any more: it ends itself
            job.wait()
            raise
    if not status:
        return 0, ""
    cause = note.read_text(encoding="utf-8") if note.exists() else _died(status)
    note.unlink(missing_ok=True)
    return status, cause


def _died(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed (SIGKILL), by the system if it ran out of memory"
    if status < 0:
        return f"killed ({signal.Signals(-status).name})"
    return f"exit status {status}"


def _begun(line: Mapping[str, Any]) -> ledger.Line:
    return {
        **line,
        "state": ledger.RUNNING,
        "started": _now(),
        "host": platform.node(),
        "process": os.getpid(),
    }


def _ended(
    line: ledger.Line, state: str, *, cause: str = "", folder: Path | None = None
) -> ledger.Line:
    seconds = (datetime.now() - datetime.fromisoformat(line["started"])).total_seconds()
    scores = {} if folder is None else runs.headline(folder)
    told = {name: None if math.isnan(mean) else mean for name, mean in scores.items()}
    return {**line, "state": state, "ended": _now(), "seconds": seconds, "cause": cause, **told}


def _now() -> str:
    return datetime.now().isoformat(timespec="seconds")
