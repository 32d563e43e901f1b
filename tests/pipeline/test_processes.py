"""Two processes against one: the same thresholds, counts and files, and banks equal to 1e-5."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.cli import run_cli
from support.several import CODE, JOB, UNEVEN, run_forked, run_in

from net2vec_pl.probes import BankFile


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *JOB, "run.dir=out") == 0
    return folder / "out"


@pytest.mark.parametrize("cache", ["memory", "none", "disk"])
def test_two_processes_give_what_one_gives(cache: str, alone: Path, tmp_path: Path) -> None:
    arguments = [a for a in JOB if a != "trainer=cpu"]
    start = run_in if cache == "memory" else run_forked
    done = start(tmp_path, 2, *arguments, f"cache={cache}")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    one, both = (BankFile.load(folder / "bank.safetensors") for folder in (alone, out))
    assert torch.equal(one.threshold, both.threshold)
    torch.testing.assert_close(both.weight, one.weight, rtol=0, atol=1e-5)
    assert (out / "filters.csv").read_text() == (alone / "filters.csv").read_text()
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names == {p.relative_to(alone).as_posix() for p in alone.rglob("*") if p.is_file()}
    assert done.stdout.count("Run folder:") == 1


def test_shares_may_be_empty(tmp_path: Path) -> None:
    few = [a for a in JOB if not a.startswith(("trainer", "data.num_images"))]
    done = run_forked(
        tmp_path, 3, *few, "data.num_images=4"
    )  # three train images and one val image
    assert done.returncode == 0, done.stderr


def test_sigterm_ends_all_processes_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CODE)
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    long = [a for a in UNEVEN if a != "trainer=cpu"]
    checkpoint = tmp_path / "out" / "checkpoints" / "last.ckpt"
    with subprocess.Popen(
        [sys.executable, "train.py", *long, "protocol.epochs=500", *two, "run.dir=out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        while not checkpoint.exists() and run.poll() is None:
            time.sleep(0.05)
        run.terminate()
        assert run.wait(timeout=30) == 130
        assert run.stderr is not None
        assert run.stderr.read().startswith("error: interrupted;")


def test_what_one_process_refuses_is_said_once(tmp_path: Path) -> None:
    plain = [a for a in UNEVEN if a != "trainer=cpu"]
    done = run_forked(tmp_path, 2, *plain, "layer=conv9")
    assert done.returncode == 1
    assert done.stderr.count("error: unknown layer of shapesnet 'conv9'") == 1
