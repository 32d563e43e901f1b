"""The command line in several processes of this computer."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from support.cli import QUICK, run_cli, without

CODE = "from net2vec_pl.cli import main; main()"
# 61 images, so that shares and last batches are uneven.
UNEVEN = [*without(QUICK, "data.num_images", "protocol.epochs"), "data.num_images=61"]
JOB = [*UNEVEN, "protocol.epochs=3", "loader.batch_size=16"]


def _options(processes: int, options: tuple[str, ...]) -> list[str]:
    several = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={processes}"]
    return [*options, *several, "run.dir=out"]


def run_in(folder: Path, processes: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of its own; it starts the other processes itself."""
    (folder / "train.py").write_text(CODE)
    return subprocess.run(
        [sys.executable, "train.py", *_options(processes, options)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass(frozen=True)
class Done:
    """How processes have ended.

    Args:
        returncode: The largest exit status.
        stdout: What all of them have said.
        stderr: What all of them have said of faults.
    """

    returncode: int
    stdout: str
    stderr: str


def run_forked(folder: Path, processes: int, *options: str) -> Done:
    """Run the command line in forks of this process, as ``torchrun`` would start them.

    A fork has imported everything, which takes a process of its own some seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    fork = multiprocessing.get_context("fork")
    words = _options(processes, options)
    children = [
        fork.Process(target=_one, args=(folder, words, shared | {"LOCAL_RANK": n, "RANK": n}))
        for n in range(processes)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode is not None, "a process does not end"
    said = ("".join(p.read_text() for p in sorted(folder.glob(f"*.{k}"))) for k in ("out", "err"))
    return Done(max(abs(child.exitcode or 0) for child in children), *said)


class Forked:
    """The command line in a fork of this process, to be killed at any moment."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_alone, args=(folder, arguments))
        self._process.start()

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 120) -> int | None:
        """Wait for the end, and return the exit status."""
        self._process.join(timeout)
        return self.poll()

    def kill(self) -> None:
        """End the fork, and what it has started, with no last words."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.join()


def _alone(folder: Path, arguments: tuple[str, ...]) -> None:
    os.setsid()
    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as nothing, pytest.MonkeyPatch.context() as patch:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        try:
            status = run_cli(patch, folder, *arguments)
        except BaseException:
            status = 1
    os._exit(status)


def _one(folder: Path, words: list[str], environment: dict[str, object]) -> None:
    torch.set_num_threads(1)
    os.environ |= {name: str(value) for name, value in environment.items()}
    name = f"process{environment['LOCAL_RANK']}"
    with (
        (folder / f"{name}.out").open("w") as out,
        (folder / f"{name}.err").open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        try:
            status = run_cli(patch, folder, *words)
        except BaseException:
            traceback.print_exc()
            status = 1
    os._exit(status)
