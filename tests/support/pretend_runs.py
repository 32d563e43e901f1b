"""Command lines on the CPU and on the pretended device, in a process of their own.

``python -m support.pretend_runs FOLDER`` does what ``jobs.json`` there lists (:class:`Jobs`), first
in ``cpu/`` and then in ``pretend/``, two copies of the planted world, and leaves ``told.json``
(:class:`Told`). So what is registered for the device leaks into no test.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import net2vec_pl
from net2vec_pl.runs.stages import Stages
from net2vec_pl.training import SegmentationProbe
from support import pretend_device
from support.cli import run_cli
from support.planted_run import write_world

CPU, PRETEND, STOPPED = "cpu", "pretend", "stopped"
_DEVICES = {CPU: "cpu", PRETEND: pretend_device.DEVICE}
_TRAINERS = {
    CPU: ["trainer=cpu"],
    PRETEND: ["trainer.accelerator=pretend", "+trainer.strategy=pretend_one"],
}


@dataclass(frozen=True)
class Jobs:
    """What is to be done.

    Args:
        runs: Folder of a run -> its options but those of the device.
        stops: Folder of a run -> a function that interrupts it, on the device alone. What is there
            by then is copied to ``stopped/``, and the run goes on.
        expressions: Python on the device ``d``, evaluated at the end; see :func:`_value_of`.
    """

    runs: dict[str, list[str]] = field(default_factory=dict)
    stops: dict[str, str] = field(default_factory=dict)
    expressions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Told:
    """What came of it.

    Args:
        statuses: Place -> folder of a run -> its exit statuses.
        waits: Folder of a run -> for each training step on the device, line -> how often the host
            would have waited there for a GPU since the step before.
        values: Place -> expression -> what it gives or raises, and how often the host waited.
    """

    statuses: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    waits: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    values: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)


def told_of(jobs: Jobs, folder: Path) -> Told:
    """Do some jobs in another process.

    Args:
        jobs: What is to be done.
        folder: Where to.
    """
    (folder / "jobs.json").write_text(json.dumps(asdict(jobs)), encoding="utf-8")
    command = [sys.executable, "-m", "support.pretend_runs", str(folder)]
    places = [str(Path(__file__).parents[n]) for n in (2, 1)]  # of the package and of the tests
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return Told(**json.loads((folder / "told.json").read_text(encoding="utf-8")))


def _main(folder: Path) -> None:
    torch.set_num_threads(1)
    pretend_device.register()  # before autograd starts, which makes a thread for each device
    jobs, told = Jobs(**json.loads((folder / "jobs.json").read_text(encoding="utf-8"))), Told()
    for place in (CPU, PRETEND):
        (folder / place).mkdir()
        write_world(folder / place)
        done = told.statuses[place] = {}
        for name, options in jobs.runs.items():
            arguments = [*options, *_TRAINERS[place], f"run.dir={name}"]
            with pytest.MonkeyPatch.context() as patch:
                told.waits[name] = _watched(patch)
                done[name] = []
                if place == PRETEND and name in jobs.stops:
                    with pytest.MonkeyPatch.context() as broken:
                        broken.setattr(jobs.stops[name], _interrupt)
                        done[name] += [run_cli(patch, folder / place, *arguments)]
                    shutil.copytree(folder / place / name, folder / STOPPED / name)
                    arguments = [f"run.resume={name}"]
                done[name] += [run_cli(patch, folder / place, *arguments)]
        os.chdir(folder / place)
        told.values[place] = {text: _value_of(text, _DEVICES[place]) for text in jobs.expressions}
    (folder / "told.json").write_text(json.dumps(asdict(told)), encoding="utf-8")


def _interrupt(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


def _watched(patch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """Return what is filled, at each step of a fit of masks, with the waits since the last one."""
    waits: list[dict[str, int]] = []
    step = SegmentationProbe.training_step

    def watched(probe: SegmentationProbe, batch: Any, number: int) -> None:
        waits.append(dict(pretend_device.waits))
        pretend_device.waits.clear()
        step(probe, batch, number)

    patch.setattr(SegmentationProbe, "training_step", watched)
    return waits


def _value_of(text: str, device: str) -> tuple[str, int]:
    """Evaluate an expression of ``d``, the device, ``x``, 0 to 5 on it, and some modules."""
    names = {"torch": torch, "np": np, "net2vec_pl": net2vec_pl, "Stages": Stages, "Path": Path}
    names |= {"d": device, "x": torch.arange(6.0).to(device)}
    pretend_device.waits.clear()
    try:
        value = repr(eval(text, names))
    except Exception as error:
        value = f"{type(error).__name__}: {error}"
    return value, pretend_device.waits.total()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
