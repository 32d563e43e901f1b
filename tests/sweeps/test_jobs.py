"""Sweeps from the command line: each job a fresh process, and a ledger that survives anything."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.sweeps import SMALL, banks, ledger_of, run_sweep, sweep_command

from net2vec_pl.probes import BankFile


def wait_for(folder: Path, finished: int, sweep: "subprocess.Popen[bytes]") -> None:
    while len(banks(folder)) < finished:
        assert sweep.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", [4, pytest.param(8, marks=pytest.mark.slow)])
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
    assert done.stdout.count(": done before") == len(before)
    found = ledger_of(tmp_path)
    wanted = {f"model=shapesnet layer={layer} seed={seed}" for layer in layers for seed in (0, 1)}
    assert set(found) == wanted
    assert {row["state"] for row in found.values()} == {"finished"}
    assert all(0 < float(row["multi_val"]) < 1 for row in found.values())
    again = run_sweep(tmp_path, *options)
    assert again.returncode == 0
    assert banks(tmp_path) == after
    assert f"{jobs} jobs: {jobs} finished" in again.stdout


def test_a_job_that_fails_is_named_with_its_cause_and_stops_no_other(tmp_path: Path) -> None:
    done = run_sweep(tmp_path, "layer=conv9,conv4,conv5")
    assert done.returncode == 1
    found = ledger_of(tmp_path)
    assert {name: row["state"] for name, row in found.items()} == {
        "layer=conv9": "failed",
        "layer=conv4": "finished",
        "layer=conv5": "finished",
    }
    assert "unknown layer of shapesnet 'conv9'" in found["layer=conv9"]["cause"]
    assert found["layer=conv9"]["multi_val"] == ""
    assert "3 jobs: " in done.stdout
    assert "Traceback" not in done.stderr


def test_a_crash_that_is_not_ours_leaves_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\n\ndef net(how):\n"
        "    if how == 'raise':\n        raise MemoryError('no room')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    custom = ["model=custom", "model._target_=mine.net", "+model.kwargs.how=raise,die"]
    assert run_sweep(tmp_path, *custom).returncode == 1
    causes = {name.split("=")[-1]: row["cause"] for name, row in ledger_of(tmp_path).items()}
    assert "no room" in causes["raise"]
    assert "SIGKILL" in causes["die"]


def test_jobs_of_one_sweep_are_what_single_runs_are(tmp_path: Path) -> None:
    done = run_sweep(tmp_path, "layer=conv4,conv5", "seed=1")
    assert done.returncode == 0, done.stderr
    single = [sys.executable, "-m", "net2vec_pl", *SMALL, "layer=conv5", "seed=1", "run.dir=alone"]
    subprocess.run(
        single, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, timeout=120
    )
    (job,) = tmp_path.glob("sweep/*conv5*")
    for name in ("bank.safetensors", "concepts.csv", "filters.csv"):
        assert (job / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_jobs_may_have_several_processes_each(tmp_path: Path) -> None:
    several = [a for a in SMALL if a != "trainer=cpu"]
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1,2", "seed=1"]
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
    folders = sorted(path.parent for path in banks(tmp_path))
    assert len(folders) == 2
    assert sorted(p.name for p in (tmp_path / "sweep").iterdir() if p.is_dir()) == sorted(
        f.name for f in folders
    )
    one, two = (BankFile.load(f / "bank.safetensors") for f in folders)
    assert one.header["seed"] == two.header["seed"] == 1
    assert float((one.weight - two.weight).abs().max()) < 1e-5


def test_a_job_composes_what_its_sweep_composed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_text("defaults: [config, _self_]\nseed: 7\n")
    flags = ["--config-dir", "mine", "--config-name", "mine"]
    done = run_sweep(tmp_path, "layer=conv5", *flags)
    assert done.returncode == 0, done.stderr
    (bank,) = banks(tmp_path)
    assert BankFile.load(bank).header["seed"] == 7
    before = bank.read_bytes()
    bank.unlink()
    again = [sys.executable, "-m", "net2vec_pl", f"run.resume={bank.parent}"]
    subprocess.run(again, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    assert bank.read_bytes() == before


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


@pytest.mark.parametrize("name", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_several_processes_from_outside_are_refused(name: str, tmp_path: Path) -> None:
    done = run_sweep(tmp_path, "seed=0,1", **{name: "2"})
    assert done.returncode == 1
    assert "each would go through the whole sweep" in done.stderr
    assert not banks(tmp_path)


def test_the_same_command_means_the_same_folders(tmp_path: Path) -> None:
    options = [*SMALL, "layer=conv9", "seed=0"]
    for order in (options, options[::-1]):
        command = [sys.executable, "-m", "net2vec_pl", "-m", *order]
        subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    (sweep,) = (tmp_path / "multirun").iterdir()
    assert len([path for path in sweep.iterdir() if path.is_dir()]) == 1
