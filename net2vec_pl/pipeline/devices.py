"""Give every job of a sweep a GPU of its own, where several run on one machine.

Launchers start jobs; most leave it to the jobs to find a GPU, and they would all take the first.
"""

import getpass
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from net2vec_pl.sweeps import is_job

_log = logging.getLogger(__name__)
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: list[FileLock] = []  # until the process ends


def choose_gpu(trainer: Mapping[str, Any]) -> None:
    """Show this process one GPU that no other job has, if it is a job of a sweep that wants one.

    Nothing is done where a launcher (SLURM, Ray) shows a job its own GPU alone, or where a job
    wants several.

    Args:
        trainer: Arguments of ``pytorch_lightning.Trainer``.
    """
    on_gpu = trainer.get("accelerator") in ("auto", "gpu", "cuda")
    wants_one = trainer.get("devices") == 1 and on_gpu
    if not (is_job() and wants_one) or torch.cuda.device_count() < 2:
        return
    visible = os.environ.get(_VISIBLE)
    known = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    os.environ[_VISIBLE] = take_one(known, Path(tempfile.gettempdir()))
    _log.info("this job uses GPU %s", os.environ[_VISIBLE])


def take_one(gpus: Sequence[str], folder: Path) -> str:
    """Take a GPU until this process ends; share one if all are taken.

    Args:
        gpus: As ``CUDA_VISIBLE_DEVICES`` names them.
        folder: Where all processes of this machine look for the locks.
    """
    for gpu in gpus:
        lock = FileLock(folder / f"net2vec_pl-{getpass.getuser()}-gpu-{gpu}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _held.append(lock)
        return gpu
    return gpus[os.getpid() % len(gpus)]
