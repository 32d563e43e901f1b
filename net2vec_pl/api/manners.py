"""What a guest owes to the program that calls: it is left as it was, and nothing is printed."""

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import torch

from net2vec_pl.errors import Net2VecWarning

_PACKAGE = "net2vec_pl"
_SEEDS = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")  # Lightning keeps its seed there


@contextmanager
def as_a_guest() -> Iterator[None]:
    """Put back random states, and turn what the log warns of into warnings of Python."""
    log, handler = logging.getLogger(_PACKAGE), _AsWarning(logging.WARNING)
    drawn, python = np.random.get_state(), random.getstate()  # noqa: NPY002  # whatever it is
    seeds = {name: os.environ.get(name) for name in _SEEDS}
    log.addHandler(handler)
    number = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad(), exact():
            yield
    finally:
        torch.set_default_dtype(number)
        log.removeHandler(handler)
        np.random.set_state(drawn)  # noqa: NPY002
        random.setstate(python)
        for name, value in seeds.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def exact() -> Iterator[None]:
    """Compute in the precision of the tensors, within whatever autocast the caller has open."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


class _AsWarning(logging.Handler):
    """Tells warnings of the log as warnings of Python, at the line that called the package."""

    def emit(self, record: logging.LogRecord) -> None:
        frame = _caller(sys._getframe())
        names = frame.f_globals
        warnings.warn_explicit(
            record.getMessage(),
            Net2VecWarning,
            frame.f_code.co_filename,
            frame.f_lineno,
            names.get("__name__", "?"),
            names.setdefault("__warningregistry__", {}),
        )


def _caller(frame: FrameType) -> FrameType:
    """Return the frame outside this package from which it was entered."""
    frames = []
    at: FrameType | None = frame
    while at is not None:
        frames.append(at)
        at = at.f_back
    ours = [i for i, f in enumerate(frames) if _is_ours(f)]
    return frames[min(ours[-1] + 1, len(frames) - 1)]


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.split(".")[0] == _PACKAGE
