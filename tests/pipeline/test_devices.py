"""Jobs of a sweep share the GPUs of a machine."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from omegaconf import OmegaConf

from net2vec_pl.pipeline import devices
from net2vec_pl.sweeps.lifeline import CAUSE

TAKE = """
import sys
from pathlib import Path
from net2vec_pl.pipeline.devices import take_one
print(take_one(["2", "GPU-abc"], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_every_process_gets_a_gpu_of_its_own_until_none_is_left(tmp_path: Path) -> None:
    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", TAKE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def gpu_of(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    first = start()
    assert gpu_of(first) == "2"
    second, third = start(), start()
    given = sorted([gpu_of(second), gpu_of(third)])
    assert "GPU-abc" in given  # one of them; the other shares
    first.kill()
    first.wait()
    fourth = start()
    assert gpu_of(fourth) in ("2", "GPU-abc")
    for process in (second, third, fourth):
        process.kill()
        process.wait()
    fifth = start()
    assert gpu_of(fifth) == "2"  # what a dead process had is free
    fifth.kill()
    fifth.wait()


def test_processes_that_find_all_gpus_taken_spread_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[FileLock] = []
    monkeypatch.setattr(devices, "_held", held)
    gpus = ["2", "GPU-abc", "7"]
    assert [devices.take_one(gpus, tmp_path) for _ in gpus] == gpus
    for pid, gpu in ((3000, "2"), (3001, "GPU-abc"), (3002, "7")):
        monkeypatch.setattr(devices, "os", SimpleNamespace(getpid=lambda pid=pid: pid))
        assert devices.take_one(gpus, tmp_path) == gpu
    assert len(held) == 3
    for lock in held:
        lock.release()


@pytest.mark.parametrize(
    ("job", "count", "trainer", "chosen"),
    [
        (True, 4, {"devices": 1, "accelerator": "auto"}, "5"),
        (False, 4, {"devices": 1, "accelerator": "auto"}, "5,6"),
        (True, 1, {"devices": 1, "accelerator": "auto"}, "5,6"),
        (True, 4, {"devices": 2, "accelerator": "auto"}, "5,6"),
        (True, 4, {"devices": 1, "accelerator": "cpu"}, "5,6"),
    ],
)
def test_only_a_job_that_wants_one_of_several_gpus_takes_one(
    job: bool,
    count: int,
    trainer: dict[str, object],
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_held", [])
    if job:
        monkeypatch.setenv(CAUSE, str(tmp_path / "cause"))
    devices.choose_gpu(OmegaConf.create(trainer))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == chosen
    for lock in devices._held:
        lock.release()
