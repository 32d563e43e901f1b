"""Run a function in processes of this computer that form a gloo group."""

import multiprocessing
import socket
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def _join(function: Callable[[int], T], port: int, count: int, rank: int) -> T:
    torch.set_num_threads(1)  # as DataLoader does in its workers, which are forks too
    where = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=count)
    try:
        return function(rank)
    finally:
        dist.destroy_process_group()


def in_processes(function: Callable[[int], T], count: int = 2) -> list[T]:
    """Return what a function of the rank returns in each process.

    Args:
        function: Of a module, so that its name can be sent; its result must be plain (no tensors).
        count: How many processes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(partial(_join, function, port, count), range(count), timeout=60))
