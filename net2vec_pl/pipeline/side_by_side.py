"""Do the jobs of several layers side by side, each on a core of its own.

One layer's fit works on small pieces of memory and gains little from further threads, so on a CPU
layers share the cores better than threads do. The jobs run in forks of this process: they see what
it holds in memory, without a copy of it.
"""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from net2vec_pl.errors import RunFolderError

_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1
_jobs: Sequence[Callable[[], object]] = ()  # of this fork


def num_cores() -> int:
    """Return how many cores this process may use."""
    on_linux = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if on_linux else os.cpu_count() or 1


def side_by_side(jobs: Sequence[Callable[[], _T]], at_once: int) -> Iterator[_T]:
    """Do some jobs, several at a time, and yield what they return in their order.

    Args:
        jobs: Called in a fork if there are several at a time; what they return must pickle.
        at_once: How many at a time.

    Raises:
        Exception: What a job raises, once the jobs that have begun are done.
        RunFolderError: If the process of a job dies.
    """
    if at_once == 1:
        yield from (job() for job in jobs)
        return
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(at_once, fork, initializer=_begin, initargs=(jobs,)) as pool:
        futures = [pool.submit(_do, number) for number in range(len(jobs))]
        try:
            for future in futures:
                result: _T = future.result()  # type: ignore[assignment]
                yield result
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.kill()  # nothing that it has written is half done
            raise
        except BrokenProcessPool as error:
            raise RunFolderError(
                "the process of a layer has died, killed by the system if memory ran out. "
                "run.resume=FOLDER resumes the run."
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _begin(jobs: Sequence[Callable[[], object]]) -> None:
    global _jobs
    _jobs = jobs
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody else would end this fork
    torch.set_num_threads(1)  # a fork has none of the threads that this process made before
    threadpool_limits(1)


def _do(number: int) -> object:
    try:
        return _jobs[number]()
    except KeyboardInterrupt:
        os._exit(130)  # a fork that went on would begin the next job
