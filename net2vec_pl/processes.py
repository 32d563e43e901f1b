"""The processes of a run, through ``torch.distributed``; everything is plain for a single one.

Lightning starts them (``trainer=ddp``); whoever sums, shares or writes asks here who it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

T = TypeVar("T")
_alone = False


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if _joined() else 0


def count() -> int:
    """Return how many processes work on this run."""
    return dist.get_world_size() if _joined() else 1


def are_several() -> bool:
    """Return whether other processes work on this run, with whom metrics must be summed."""
    return count() > 1


def is_first() -> bool:
    """Return whether this is the process that writes and speaks."""
    return rank() == 0


def share(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return this process's part of rows, by turns; every row is in exactly one part."""
    return rows[rank() :: count()]


def sum_over(value: Shaped[Tensor, "*S"]) -> Shaped[Tensor, "*S"]:
    """Sum tensors of one shape over all processes, in place."""
    if count() > 1:
        dist.all_reduce(value)
    return value


def gather(value: Shaped[Tensor, "*S"]) -> list[Tensor]:
    """Return the tensor of every process, in order of their numbers; shapes are alike."""
    if count() == 1:
        return [value]
    parts = [torch.empty_like(value) for _ in range(count())]
    dist.all_gather(parts, value.contiguous())
    return parts


def from_first(make: Callable[[], T]) -> T:
    """Let the first process make something, and return that to all; what it raises, all raise."""
    if count() == 1:
        return make()
    box: list[Any] = [None, None]
    if is_first():
        try:
            box[0] = make()
        except Exception as error:  # the others would wait for ever
            box[1] = error
    dist.broadcast_object_list(box)
    if box[1] is not None:
        raise box[1]
    result: T = box[0]
    return result


def wait() -> None:
    """Wait for the other processes."""
    if count() > 1:
        dist.barrier()


@contextmanager
def alone() -> Iterator[None]:
    """Work without the other processes of a group that the calling program has started."""
    global _alone
    before = _alone
    _alone = before or (dist.is_available() and dist.is_initialized())
    try:
        yield
    finally:
        _alone = before


def _joined() -> bool:
    return not _alone and dist.is_available() and dist.is_initialized()
