"""The ledger: a line per job, whole at any moment, whoever writes."""

import json
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from support.cli import read_table

from net2vec_pl.sweeps import ledger


def rows(sweep: Path) -> list[dict[str, str]]:
    return read_table(sweep / "ledger.csv")


def line(job: str, **further: object) -> ledger.Line:
    return {
        "job": job,
        "state": "finished",
        "started": "2026-01-01T00:00:00",
        "host": "h",
        "process": 1,
        "cause": "",
        **further,
    }


def write_many(sweep: Path, writer: int) -> None:
    for number in range(8):
        folder = sweep / f"job-{writer}-{number}"
        with ledger.taken(folder):
            ledger.write_line(folder, line(folder.name, state="running"))
            ledger.write_line(folder, line(folder.name, multi_val=writer / 10))


def test_many_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    fork = get_context("fork")
    writers = [fork.Process(target=write_many, args=(tmp_path, w)) for w in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = rows(tmp_path)
    assert [r["job"] for r in found] == sorted(f"job-{w}-{n}" for w in range(4) for n in range(8))
    assert {(r["job"][4], r["state"], r["multi_val"]) for r in found} == {
        (str(w), "finished", str(w / 10)) for w in range(4)
    }
    assert not list(tmp_path.rglob("*.part"))


HOLD = """
import os, platform, sys
from pathlib import Path
from net2vec_pl.sweeps import ledger
folder = Path(sys.argv[1])
with ledger.taken(folder):
    mine = {"started": "", "host": platform.node(), "process": os.getpid(), "cause": ""}
    ledger.write_line(folder, {"job": folder.name, "state": "running", **mine})
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_job_whose_process_was_killed_has_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        assert [r["state"] for r in ledger.read_ledger(tmp_path)] == ["running"]
        holder.kill()
    assert [(r["state"], r["cause"]) for r in ledger.read_ledger(tmp_path)] == [
        ("stopped", "killed")
    ]
    assert "1 stopped" in ledger.summary(tmp_path)


@pytest.mark.parametrize("text", ['{"job": "a", "sta', "", "{}", "[]"])
def test_a_damaged_line_is_as_if_the_job_had_not_begun(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "job.json").write_text(text)
    with ledger.taken(tmp_path / "b"):
        ledger.write_line(tmp_path / "b", line("b"))
    assert [r["job"] for r in rows(tmp_path)] == ["b"]


def test_scores_that_only_some_jobs_have_are_columns_of_all(tmp_path: Path) -> None:
    for job, further in (("a", {"multi_val": 0.5}), ("b", {"accuracy": 0.75})):
        with ledger.taken(tmp_path / job):
            ledger.write_line(tmp_path / job, line(job, **further))
    assert [(r["multi_val"], r["accuracy"]) for r in rows(tmp_path)] == [("0.5", ""), ("", "0.75")]
    assert json.loads((tmp_path / "a" / "job.json").read_text())["multi_val"] == 0.5


def test_the_summary_names_what_failed_and_why(tmp_path: Path) -> None:
    for job, state, cause in (("a", "finished", ""), ("b", "failed", "no such layer")):
        with ledger.taken(tmp_path / job):
            ledger.write_line(tmp_path / job, line(job, state=state, cause=cause))
    told = ledger.summary(tmp_path)
    assert told.startswith("2 jobs: 1 finished, 1 failed\n  b failed: no such layer\n")
    assert "The same command" in told


@pytest.mark.parametrize("sweep", ["empty", "absent"])
def test_a_sweep_without_jobs_says_nothing(sweep: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert ledger.summary(tmp_path / sweep) == ""
