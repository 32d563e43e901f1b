"""Jobs in forks: results in order, memory shared, failures told, nobody left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.pipeline.side_by_side import side_by_side


def slept(seconds: float) -> tuple[float, int, int]:
    time.sleep(seconds)
    return seconds, os.getpid(), torch.get_num_threads()


def test_results_come_in_the_order_of_the_jobs() -> None:
    found = list(side_by_side([partial(slept, s) for s in (0.3, 0.0, 0.1)], 2))
    assert [seconds for seconds, _, _ in found] == [0.3, 0.0, 0.1]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {threads for _, _, threads in found} == {1}


def test_one_at_a_time_needs_no_fork() -> None:
    assert [p for _, p, _ in side_by_side([partial(slept, 0.0)] * 2, 1)] == [os.getpid()] * 2


def test_a_job_sees_what_cannot_be_pickled() -> None:
    secret: Callable[[], int] = lambda: 7  # noqa: E731
    assert list(side_by_side([lambda: secret() + 1, lambda: secret() + 2], 2)) == [8, 9]


def refuse() -> None:
    raise ConfigError("no such thing")


def test_what_a_job_raises_is_raised_here() -> None:
    jobs: list[Callable[[], object]] = [refuse, partial(slept, 0.0)]
    with pytest.raises(ConfigError, match="no such thing"):
        list(side_by_side(jobs, 2))


def test_a_job_that_dies_is_told_and_how_to_go_on() -> None:
    jobs: list[Callable[[], object]] = [lambda: os._exit(9), partial(slept, 0.0)]
    with pytest.raises(RunFolderError, match=r"has died.*run\.resume"):
        list(side_by_side(jobs, 2))


ORPHANS = """
import os, time
from net2vec_pl.pipeline.side_by_side import side_by_side

def stay():
    os.write(1, f"{os.getpid()}\\n".encode())  # one write: print may write text and newline apart
    time.sleep(60)

list(side_by_side([stay, stay], 2))
"""


def test_jobs_end_with_the_process_that_began_them() -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 10
    while any(is_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(child) for child in children)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
