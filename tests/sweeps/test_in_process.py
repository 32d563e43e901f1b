"""Sweeps whose jobs are stand-ins: what is run, what is run again, and what is said of it.

The command line, Hydra and the ledger are the true ones; only what a job's process would do is
done here. ``test_jobs.py`` has true processes.
"""

import csv
import json
import os
import platform
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.cli import read_table, run_cli

from net2vec_pl.options import quoted
from net2vec_pl.sweeps import jobs, ledger

# What the stand-in for a job of a layer does: the mean scores that it leaves, or its fault.
Outcome = dict[str, float] | tuple[int, str] | BaseException
CLOCK = "2026-01-01T00:00:00"


@dataclass
class Sweep:
    """A sweep in a folder, and the jobs that were started.

    Args:
        folder: Where the command is given.
        outcomes: What becomes of the job of a layer.
        commands: Of the jobs that were started.
        running: State of the job in the ledger, and the ledger's rows, while each was running.
    """

    folder: Path
    outcomes: dict[str, Outcome]
    commands: list[list[str]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    running: list[list[tuple[str, str]]] = field(default_factory=list)

    @property
    def started(self) -> list[str]:
        """Layers of the jobs that were started."""
        return [next(w[6:] for w in c if w.startswith("layer=")) for c in self.commands]

    @property
    def at(self) -> Path:
        """The folder of the sweep."""
        return self.folder / "sweep"

    def rows(self) -> list[dict[str, str]]:
        """Return the ledger, without what the clock says."""
        rows = read_table(self.at / "ledger.csv")
        for row in rows:
            for name in ("started", "ended"):
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", row[name])
            assert 0 <= float(row["seconds"]) < 60
        return [{k: v for k, v in r.items() if k not in ("started", "ended", "seconds")}
                for r in rows]  # fmt: skip

    def start(self, folder: Path, command: list[str], digest: str) -> tuple[int, str]:
        """Stand in for a job's process."""
        self.commands.append(command)
        self.digests.append(digest)
        self.running.append([(row["job"], row["state"]) for row in ledger.read_ledger(self.at)])
        outcome = self.outcomes[self.started[-1]]
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, tuple):
            return outcome
        (folder / "bank.safetensors").write_text("")
        with (folder / "concepts.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["name", *outcome])
            writer.writeheader()
            writer.writerow({"name": "sky"} | outcome)
        return 0, ""


Go = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    found = Sweep(tmp_path, {"conv4": {"multi_val": 0.25, "ap_val": 0.5},
                             "conv5": {"multi_val": 0.75, "ap_val": 0.125}})  # fmt: skip
    monkeypatch.setattr(jobs, "_start", found.start)
    monkeypatch.setenv("NET2VEC_SWEEP", "")
    return found


@pytest.fixture
def go(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Give the command of the sweep."""

    def given(*options: str) -> int:
        return run_cli(monkeypatch, sweep.folder, "-m", "hydra.sweep.dir=sweep", *options)

    return given


def test_the_ledger_has_a_whole_row_for_every_job(
    sweep: Sweep, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.outcomes["conv9"] = (1, "no such layer")
    assert go("layer=conv9,conv4,conv5", "seed=3") == 1
    assert sweep.started == ["conv9", "conv4", "conv5"]  # a failure stops no other
    by_layer = {row["overrides"].split()[0]: row for row in sweep.rows()}
    assert [row["job"] for row in sweep.rows()] == sorted(p.name for p in sweep.at.glob("*/"))
    said = {"conv4": ("finished", "", "0.25", "0.5"), "conv5": ("finished", "", "0.75", "0.125"),
            "conv9": ("failed", "no such layer", "", "")}  # fmt: skip
    for layer, digest in zip(sweep.started, sweep.digests, strict=True):
        row = by_layer[f"layer={layer}"]
        state, cause, multi, precision = said[layer]
        assert row == {
            "job": row["job"],
            "state": state,
            "digest": digest,
            "overrides": f"layer={layer} seed=3",
            "host": platform.node(),
            "process": str(os.getpid()),
            "cause": cause,
            "multi_val": multi,
            "ap_val": precision,
        }
        assert re.fullmatch("[0-9a-f]{8}", digest)
        assert row["job"] == f"shapes-shapesnet-{layer}-{digest}"
        line = json.loads((sweep.at / row["job"] / "job.json").read_text())
        assert line["state"] == state
    columns = [*read_table(sweep.at / "ledger.csv")[0]]
    assert columns == ["job", "state", "digest", "overrides", "started", "ended", "seconds", "host",
                       "process", "cause", "multi_val", "ap_val"]  # fmt: skip
    out = capsys.readouterr()
    states = [row["state"] for row in sweep.rows()]
    first, second = dict.fromkeys(states)
    (failed,) = [row["job"] for row in sweep.rows() if row["state"] == "failed"]
    assert out.out.endswith(
        f"3 jobs: {states.count(first)} {first}, {states.count(second)} {second}\n"
        f"  {failed} failed: no such layer\n"
        "The same command runs again what has not finished.\n"
        "Ledger: sweep/ledger.csv\n"
    )
    assert f"error: {failed} failed: no such layer" in out.err


def test_the_ledger_says_running_while_a_job_runs(sweep: Sweep, go: Go) -> None:
    assert go("layer=conv4,conv5") == 0
    first, both = sweep.running
    assert [state for _, state in first] == ["running"]
    assert sorted(state for _, state in both) == ["finished", "running"]
    assert dict(both)[first[0][0]] == "finished"


def test_only_what_has_not_finished_is_run_again(
    sweep: Sweep, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.outcomes["conv9"] = (-9, "killed")
    assert go("layer=conv4,conv9") == 1
    before = sweep.rows()
    assert [row["cause"] for row in before if row["state"] == "failed"] == ["killed"]
    capsys.readouterr()
    sweep.outcomes["conv9"] = {"multi_val": 0.5}
    assert go("layer=conv4,conv9", "loader.workers=0", "logger=none") == 0  # the same jobs
    assert sweep.started == ["conv4", "conv9", "conv9"]
    out = capsys.readouterr().out
    assert out.count(": already finished") == 1
    assert "2 jobs: 2 finished\nLedger: " in out
    assert "The same command" not in out
    finished = [row for row in sweep.rows() if "conv4" in row["overrides"]]
    assert finished == [row for row in before if "conv4" in row["overrides"]]
    assert {row["state"] for row in sweep.rows()} == {"finished"}
    assert go("layer=conv4,conv9", "seed=1") == 0  # others
    assert sweep.started == ["conv4", "conv9", "conv9", "conv4", "conv9"]


def test_a_finished_job_whose_line_was_lost_or_late_is_entered(sweep: Sweep, go: Go) -> None:
    assert go("layer=conv4,conv5") == 0
    lost, late = sorted(path.parent for path in sweep.at.glob("*/job.json"))
    before = {row["job"]: row for row in sweep.rows()}
    (lost / "job.json").unlink()
    line = json.loads((late / "job.json").read_text()) | {"state": "running", "process": 1}
    line |= {"started": "2026-01-01T00:00:00", "host": "elsewhere"}
    del line["multi_val"]
    (late / "job.json").write_text(json.dumps(line))
    assert go("layer=conv4,conv5") == 0
    assert len(sweep.commands) == 2
    rows = {row["job"]: row for row in read_table(sweep.at / "ledger.csv")}
    assert {row["state"] for row in rows.values()} == {"finished"}
    assert rows[lost.name]["multi_val"] == before[lost.name]["multi_val"]
    assert rows[late.name]["multi_val"] == before[late.name]["multi_val"]
    assert (rows[late.name]["host"], rows[late.name]["started"]) == ("elsewhere", CLOCK)
    assert rows[late.name]["cause"] == ""


def test_an_interrupted_job_has_stopped_and_says_so(
    sweep: Sweep, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.outcomes["conv4"] = KeyboardInterrupt()
    assert go("layer=conv4,conv5") == 130
    (row,) = sweep.rows()
    assert (row["state"], row["cause"]) == ("stopped", "interrupted")
    assert sweep.started == ["conv4"]
    assert "1 jobs: 1 stopped\n" in capsys.readouterr().out


def test_a_job_without_any_score_fails_the_sweep_but_has_finished(
    sweep: Sweep, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.outcomes["conv4"] = {"multi_val": float("nan")}
    sweep.outcomes["conv5"] = {"multi_val": 0.0}  # is a score
    assert go("layer=conv4,conv5") == 1
    rows = {row["overrides"]: row for row in sweep.rows()}
    assert {layer: row["state"] for layer, row in rows.items()} == {
        "layer=conv4": "finished", "layer=conv5": "finished",
    }  # fmt: skip
    assert (rows["layer=conv4"]["multi_val"], rows["layer=conv5"]["multi_val"]) == ("", "0.0")
    job = rows["layer=conv4"]["job"]
    assert (
        f"error: {job} has finished, but its tables hold no score: no concept could be scored, or "
        "they are damaged. Delete its folder and start the sweep again."
    ) in capsys.readouterr().err


def test_a_job_is_started_as_a_run_of_its_own(sweep: Sweep, go: Go) -> None:
    (sweep.folder / "mine").mkdir()
    (sweep.folder / "mine" / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    flags = ["--config-dir", "mine", "--config-name", "mine"]
    given = ["hydra/launcher=basic", "hydra.job.chdir=false", "hydra.mode=MULTIRUN"]
    assert go("layer=conv4", "protocol.tau=0.1", "+model.kwargs={a: 1}", *given, *flags) == 0
    (command,) = sweep.commands
    (job,) = sweep.at.glob("*/")
    assert command == [
        sys.executable, "-m", "net2vec_pl",
        "--config-dir", str(sweep.folder / "mine"), "--config-name", "mine",
        "hydra.job.chdir=false", "layer=conv4", "protocol.tau=0.1", "+model.kwargs={a:1}",
        f"run.dir={quoted(job)}", "hydra.mode=RUN",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
@pytest.mark.parametrize(("value", "status"), [("2", 1), ("1", 0), ("", 0)])
def test_several_processes_from_outside_are_refused(
    name: str,
    value: str,
    status: int,
    sweep: Sweep,
    go: Go,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert go("layer=conv4") == status
    assert len(sweep.commands) == 1 - status
    starter = {"WORLD_SIZE": "torchrun", "SLURM_STEP_NUM_TASKS": "srun"}[name]
    message = f"error: {starter} started 2 processes, and each would go through the whole sweep."
    assert (message in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["run.dir=out"], "run.dir=out is of one run; a sweep has hydra.sweep.dir=FOLDER."),
        (
            ["task=compare", "runs=x"],
            "task=compare cannot be part of a sweep; leave out --multirun.",
        ),
    ],
)
def test_what_is_of_one_run_is_refused(
    options: list[str], message: str, sweep: Sweep, go: Go, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("seed=0", *options) == 1
    assert f"error: {message}\n" in capsys.readouterr().err
    assert not sweep.commands


def test_the_same_command_means_the_same_folders(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["layer=conv4", "seed=0"]
    for given in (options, options[::-1], [*options, "logger=none"]):
        assert run_cli(monkeypatch, sweep.folder, "-m", *given) == 0
    (folder,) = (sweep.folder / "multirun").iterdir()
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    assert len(sweep.commands) == 1


def test_optuna_searches_the_highest_score_and_outlives_a_job_that_fails(
    sweep: Sweep, go: Go
) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="Optuna is not installed")
    sweep.outcomes["conv9"] = (1, "no such layer")
    search = [
        "experiment=search",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.sampler.seed=4",
        "+hydra.sweeper.params.layer='choice(conv4,conv5,conv9)'",
    ]
    go(*search)
    assert {*sweep.started} == {"conv4", "conv5", "conv9"}  # as the seed draws them
    assert {row["state"] for row in sweep.rows()} == {"finished", "failed"}
    best = (sweep.at / "optimization_results.yaml").read_text()
    assert float(best.split("best_value:")[1]) == 0.75
    assert "layer: conv5" in best


# -------------------- a job's process


SAY = """
import os, sys
print(*(os.environ.get(name) for name in sys.argv[2:]), sep=",", flush=True)
status = int(sys.argv[1])
if status < 0:
    os.kill(os.getpid(), -status)
if status == 3:
    open(os.environ["NET2VEC_CAUSE"], "w").write("its last words")
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (0, ""),
        (2, "exit status 2"),
        (3, "its last words"),
        (-signal.SIGKILL, "killed (SIGKILL), by the system if it ran out of memory"),
        (-signal.SIGTERM, "killed (SIGTERM)"),
    ],
)
def test_the_end_of_a_process_is_told_with_its_cause(
    status: int, cause: str, tmp_path: Path
) -> None:
    (tmp_path / "cause.txt").write_text("of an earlier start")
    assert jobs._start(tmp_path, [sys.executable, "-c", SAY, str(status)], "d") == (status, cause)
    assert not (tmp_path / "cause.txt").exists()


def test_a_process_knows_its_digest_its_group_and_where_to_leave_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "one for all")
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    names = ["NET2VEC_DIGEST", "NET2VEC_CAUSE", "NET2VEC_LIFELINE", "WANDB_RUN_GROUP",
             "WANDB_RUN_ID", "SLURM_JOB_NAME"]  # fmt: skip
    job = tmp_path / "sweep" / "job"
    job.mkdir(parents=True)
    jobs._start(job, [sys.executable, "-c", SAY, "0", *names], "d1g35t")
    assert capfd.readouterr().out.strip().split(",") == [
        "d1g35t", str(job / "cause.txt"), "1", "sweep", "None", "interactive",
    ]  # fmt: skip
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    jobs._start(job, [sys.executable, "-c", SAY, "0", "WANDB_RUN_GROUP"], "d1g35t")
    assert capfd.readouterr().out.strip() == "mine"


@pytest.mark.parametrize(("rank", "told"), [("0", True), ("1", False), (None, True)])
def test_one_process_speaks_for_all(
    rank: str | None, told: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from net2vec_pl.sweeps import is_job, note_cause

    assert not is_job()
    note_cause("to nobody")
    monkeypatch.setenv("NET2VEC_CAUSE", str(tmp_path / "cause.txt"))
    assert is_job()
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    note_cause("no room")
    assert (tmp_path / "cause.txt").exists() is told
    assert not told or (tmp_path / "cause.txt").read_text() == "no room"
