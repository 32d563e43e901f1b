"""What the machine has: cores, memory, GPUs, and room on its disks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from net2vec_pl.config.plan import Plan
from net2vec_pl.doctor.checks import Check, fix, in_gib, ok, warning
from net2vec_pl.doctor.found import Found
from net2vec_pl.pipeline.side_by_side import num_cores
from net2vec_pl.runs import finished

_MEMINFO = Path("/proc/meminfo")
# What a container or a batch system allows, in both versions of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_SHARED = Path("/dev/shm")  # where worker processes leave batches
_PREFETCHED = 2  # batches a worker, as in PyTorch


def devices(plan: Plan, found: Found) -> Iterator[Check]:
    """Tell cores, memory and GPUs, and what ``trainer=`` takes of them."""
    workers = f", {found.options.workers} processes that read" if found.options else ""
    yield ok(f"{num_cores()} cores{workers}")
    total, free = memory()
    yield ok(f"memory: {in_gib(total)}, {in_gib(free)} of it free")
    for gpu in range(torch.cuda.device_count()):
        left, size = torch.cuda.mem_get_info(gpu)
        name = torch.cuda.get_device_name(gpu)
        yield ok(f"GPU {gpu}: {name}, {in_gib(size)}, {in_gib(left)} of it free")
    if torch.cuda.device_count() == 0:
        yield ok("no GPU")
    if found.trainer:
        device, count = found.trainer.strategy.root_device, found.trainer.world_size
        yield ok(f"trainer= takes {device.type}, processes: {count}")
        if torch.cuda.is_available() and device.type == "cpu":
            yield warning("there is a GPU, and trainer= leaves it idle; trainer=auto takes it")


def shared_memory(plan: Plan, found: Found) -> Iterator[Check]:
    """Compare what worker processes hand over with what the system gives them for it."""
    if found.options is None or found.reader is None or not _SHARED.is_dir():
        return
    (h, w), (sh, sw) = found.reader.image_size, found.reader.mask_size
    row = 3 * h * w + 4 * len(found.reader.categories) * sh * sw
    needed = found.options.workers * _PREFETCHED * found.options.batch_size * row
    free = shutil.disk_usage(_SHARED).free
    if needed > free:
        yield warning(
            f"{found.options.workers} processes that read may hold {in_gib(needed)} in {_SHARED}, "
            f"which has {in_gib(free)}: a smaller loader.batch_size, loader.workers=0, or more "
            "shared memory for the container"
        )


def disks(plan: Plan, found: Found) -> Iterator[Check]:
    """Tell what room there is where a run writes, and whether it may write there."""
    if not plan.folder:
        yield fix("run.dir is empty; name a folder")
        return
    folder = Path(plan.folder).absolute()
    if finished(folder):
        yield fix(f"run.dir={plan.folder} holds a finished run; choose another")
    yield _room("run.dir", folder)
    if found.options and found.options.cache == "disk":
        yield _room("cache.dir", found.options.cache_dir)


def _room(option: str, folder: Path) -> Check:
    at = standing(folder)
    if not (at.is_dir() and os.access(at, os.W_OK | os.X_OK)):
        return fix(f"{option}={folder} cannot be written, because of {at}; choose another")
    return ok(f"{option}: {at} has {in_gib(shutil.disk_usage(at).free)} free")


def standing(folder: Path) -> Path:
    """Return what there is already of a path."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def memory() -> tuple[int, int]:
    """Return the bytes of memory that this process may have, and those of them that are free."""
    if _MEMINFO.exists():
        fields = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        total, free = (int(fields[f].split()[0]) << 10 for f in ("MemTotal", "MemAvailable"))
    else:
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    texts = [Path(p).read_text().strip() for p in _LIMITS if Path(p).exists()]
    limit = min([total, *(int(text) for text in texts if text.isdecimal())])
    return limit, min(limit, free)
