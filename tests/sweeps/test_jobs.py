"""Sweeps from the command line: each job a fresh process, and a ledger that survives anything.

``test_in_process.py`` has what needs no process.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.cli import run_cli
from support.sweeps import SMALL, banks, ledger_of, run_sweep, sweep_command

from net2vec_pl.probes import BankFile


def wait_for(folder: Path, finished: int, sweep: "subprocess.Popen[bytes]") -> None:
    while len(banks(folder)) < finished:
        assert sweep.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_a_sweep_killed_in_the_middle_runs_only_the_rest(jobs: int, tmp_path: Path) -> None:
    layers = ["conv2", "conv3", "conv4", "conv5"][: jobs // 2]
    options = ["model=shapesnet", f"layer={','.join(layers)}", "seed=0,1", "protocol.epochs=40"]
    with subprocess.Popen(sweep_command(*options), cwd=tmp_path) as sweep:
        wait_for(tmp_path, 1, sweep)
        while len(list(tmp_path.glob("sweep/*/job.json"))) < 2:
            time.sleep(0.05)
        sweep.send_signal(signal.SIGKILL)
    before = banks(tmp_path)
    assert 1 <= len(before) < jobs
    done = run_sweep(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    after = banks(tmp_path)
    assert len(after) == jobs
    assert before == {path: after[path] for path in before}
    assert done.stdout.count(": already finished") == len(before)
    found = ledger_of(tmp_path)
    wanted = {f"model=shapesnet layer={layer} seed={seed}" for layer in layers for seed in (0, 1)}
    assert set(found) == wanted
    assert {row["state"] for row in found.values()} == {"finished"}
    assert all(0 < float(row["multi_val"]) < 1 for row in found.values())
    again = run_sweep(tmp_path, *options)
    assert again.returncode == 0
    assert banks(tmp_path) == after
    assert f"{jobs} jobs: {jobs} finished" in again.stdout


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep of two jobs, composed from a configuration of the user's own."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "mine").mkdir()
    (folder / "mine" / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    flags = ["--config-dir", "mine", "--config-name", "mine"]
    done = run_sweep(folder, "layer=conv9,conv5", *flags)
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    assert done.returncode == 1, done.stderr
    return folder


def test_a_job_that_fails_is_named_with_its_cause_and_stops_no_other(swept: Path) -> None:
    found = ledger_of(swept)
    assert {name: row["state"] for name, row in found.items()} == {
        "layer=conv9": "failed",
        "layer=conv5": "finished",
    }
    assert "unknown layer of shapesnet 'conv9'" in found["layer=conv9"]["cause"]
    assert found["layer=conv9"]["multi_val"] == ""
    assert "2 jobs: " in (swept / "stdout").read_text()
    assert "Traceback" not in (swept / "stderr").read_text()


def test_a_job_composes_what_its_sweep_composed_and_is_what_a_single_run_is(
    swept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (bank,) = banks(swept)
    assert BankFile.load(bank).header["seed"] == 7
    assert run_cli(monkeypatch, tmp_path, *SMALL, "layer=conv5", "seed=7", "run.dir=alone") == 0
    for name in ("bank.safetensors", "concepts.csv", "filters.csv"):
        assert (bank.parent / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    before = bank.read_bytes()
    bank.unlink()
    assert run_cli(monkeypatch, swept, f"run.resume={bank.parent}") == 0
    assert bank.read_bytes() == before


def test_a_crash_that_is_not_ours_leaves_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("net2vec_pl.job.trainer_from", full)
    monkeypatch.setenv("NET2VEC_CAUSE", str(tmp_path / "cause.txt"))
    with pytest.raises(MemoryError):
        run_cli(monkeypatch, tmp_path, *SMALL, "run.dir=out")
    assert (tmp_path / "cause.txt").read_text() == "MemoryError('no room')"


def test_jobs_may_have_several_processes_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    several = [a for a in SMALL if a != "trainer=cpu"]
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "seed=1"]
    command = [sys.executable, "-m", "net2vec_pl", "-m", "hydra.sweep.dir=sweep", *several, *ddp]
    # What SLURM tells a job of one task must not keep it from starting its own processes.
    slurm = {
        "SLURM_NTASKS": "4",
        "SLURM_STEP_NUM_TASKS": "1",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "1",
    }
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | slurm,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = banks(tmp_path)
    assert [p for p in (tmp_path / "sweep").iterdir() if p.is_dir()] == [found.parent]
    assert run_cli(monkeypatch, tmp_path, *SMALL, "seed=1", "run.dir=alone") == 0
    one, two = map(BankFile.load, (tmp_path / "alone" / "bank.safetensors", found))
    assert one.header["seed"] == two.header["seed"] == 1
    assert float((one.weight - two.weight).abs().max()) < 1e-5


def test_a_sweep_that_is_killed_takes_its_workers_and_their_jobs_along(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="joblib is not installed")
    parallel = ["hydra/launcher=parallel", "seed=0,1", "protocol.epochs=100000"]
    with subprocess.Popen(sweep_command(*parallel), cwd=tmp_path) as sweep:
        while len(list(tmp_path.glob("sweep/*/checkpoints/last.ckpt"))) < 2:
            assert sweep.poll() is None
            time.sleep(0.1)
        sweep.kill()
    end = time.monotonic() + 60
    while at_work_in(tmp_path) and time.monotonic() < end:
        time.sleep(0.2)
    assert not at_work_in(tmp_path)


def at_work_in(folder: Path) -> list[str]:
    """Return the processes that run in a folder."""
    return [p.name for p in Path("/proc").glob("[0-9]*") if _runs_in(p, folder)]


def _runs_in(process: Path, folder: Path) -> bool:
    try:
        return Path(os.readlink(process / "cwd")) == folder
    except OSError:
        return False
