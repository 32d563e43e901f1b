"""``learn`` and several processes: within a group of the user's, and processes of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.gloo import in_processes

import net2vec_pl
from net2vec_pl.errors import ConfigError

SMALL = {"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 2}
BARE: dict[str, Any] = {"analyses": "none", "beside": (), "device": "cpu", "options": SMALL}
ROOT = Path(__file__).parents[2]


def weights_of(rank: int) -> list[float]:
    """Learn in one process of a group, while the others do something else."""
    names = ["sky"] if rank == 0 else ["grass", "tree"]
    bank = net2vec_pl.learn("shapesnet", names=names, protocol="lda", **BARE)
    dist.barrier()  # the group is as it was
    return [float(value) for value in bank.file.weight[0]]


def test_in_a_group_of_the_users_each_process_learns_its_own() -> None:
    alone = net2vec_pl.learn("shapesnet", names=["sky"], protocol="lda", **BARE)
    first, second = in_processes(weights_of)
    assert first == alone.file.weight[0].tolist()
    assert second != first


def refused(rank: int) -> str:
    sys.modules["__main__"].__file__ = "script.py"
    with pytest.raises(ConfigError) as caught:
        net2vec_pl.learn("shapesnet", **BARE, devices=2)
    return str(caught.value)


def test_a_group_starts_no_processes_of_its_own() -> None:
    assert all("outside of a process group" in text for text in in_processes(refused))


def lines_of(folder: Path) -> list[str]:
    """Run the script of a folder, and return what all its processes print."""
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


SCRIPT = """
import sys, time
import net2vec_pl

bank = net2vec_pl.learn(
    "shapesnet", analyses="none", beside=(), device="cpu", devices=2, FOLDER
    options={"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 2},
)
time.sleep(2)  # neither process may end the other
sys.stdout.write(f"{bank.scores['sky'].multi_val} {len(bank.tables)}\\n")
"""


@pytest.mark.parametrize("folder", ["", 'folder="run",'])
def test_a_script_learns_in_two_processes(folder: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.replace("FOLDER", folder))
    lines = lines_of(tmp_path)
    alone = net2vec_pl.learn("shapesnet", **BARE)
    first, second = (line.split() for line in lines)
    for process in (first, second):
        assert float(process[0]) == pytest.approx(alone.scores["sky"].multi_val)
        assert int(process[1]) == len(alone.tables)
    if not folder:
        return
    together = net2vec_pl.load_bank(tmp_path / "run")
    assert torch.allclose(together.file.weight, alone.file.weight, atol=1e-5)


TRAINING = """
import sys
sys.path.insert(0, {tests!r})
import pytorch_lightning as pl, torch
from api.test_callback import NAMES, Classifier, batches
from net2vec_pl import ConceptProbe
from net2vec_pl.datasets import ShapesReader

reader = ShapesReader(num_images=40, image_size=32)
probe = ConceptProbe("trunk.4", data=reader, names=NAMES, scaling="half")
trainer = pl.Trainer(max_epochs=2, accelerator="cpu", strategy="ddp", devices=2, logger=False,
                     enable_progress_bar=False, enable_model_summary=False,
                     enable_checkpointing=False, callbacks=[probe])
trainer.fit(Classifier(), batches(reader))
found = [round(row.set_iou, 9) for row in probe.history]
sys.stdout.write(f"{{trainer.global_rank}} {{probe.bank is None}} {{found}} "
                 f"{{float(trainer.callback_metrics['concepts/set_iou']):.6f}}\\n")
"""


def test_a_training_of_two_processes_is_probed_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TRAINING.format(tests=str(ROOT / "tests")))
    lines = lines_of(tmp_path)
    first, second = sorted(lines)
    assert first.split(" ", 2)[:2] == ["0", "False"]
    assert second.split(" ", 2)[:2] == ["1", "True"]
    assert first.split(" ", 2)[2] == second.split(" ", 2)[2]
