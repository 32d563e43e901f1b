"""What a run will take of memory and disk, from the layers and a sample of the dataset."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from net2vec_pl.activations.cache_folder import forecast_bytes
from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.config.plan import Plan
from net2vec_pl.doctor.checks import GIB, Check, fix, in_gib, ok, warning
from net2vec_pl.doctor.found import Found
from net2vec_pl.doctor.machine import memory, standing
from net2vec_pl.doctor.options import setup_of
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.pipeline.storage import Storage, storage_of

_PROCESS = GIB  # packages, a network, and the batches in work
_TAIL_BYTES = 24  # of a value of an upper tail: itself and its place, while two lots are joined
_FOLDER = 64 << 20  # tables, figures and logs of a layer
_WEIGHT_BYTES = 64  # of one weight of a bank: bank, checkpoint, counts of single filters


def forecast(plan: Plan, found: Found) -> Iterator[Check]:
    """Compare what a run takes with what there is."""
    setup = setup_of(plan, found)
    if setup is None or found.sample is None:
        yield warning("no forecast: it needs options, dataset and layers that can be used")
        return
    scale = len(found.sample.reader) / len(found.sample)
    processes = found.trainer.world_size if found.trainer else 1
    yield from _folder(plan, setup)
    kept = 0
    if "segmentation" in found.targets:
        storage = storage_of(setup, processes, scale=scale)
        yield from _kept(setup, storage)
        if storage.where == "memory":
            kept = storage.num_bytes
        if storage.where == "disk" or storage.shared:
            yield _cache(plan, setup, scale, passing=storage.shared)
    yield _memory(setup, kept, len(found.sample.reader), processes)


def _kept(setup: Setup, storage: Storage) -> Iterator[Check]:
    """Tell where activations are kept."""
    what = f"cache={setup.options.cache}"
    allowed = in_gib(setup.options.cache_bytes)
    if storage.where in ("memory", "device"):
        need = in_gib(storage.num_bytes)
        yield ok(f"{what}: cached activations need about {need}, of {allowed} allowed")
    elif storage.num_bytes:
        more = math.ceil(1.2 * storage.num_bytes / GIB)
        yield warning(
            f"{what}: activations need about {in_gib(storage.num_bytes)}, {storage.reason}: they "
            f"are not kept, and the network runs in every epoch. cache.max_gib={more} would keep "
            "them; cache=disk needs no memory"
        )
    elif storage.where == "none":
        why = f" ({storage.reason})" if storage.reason else ""
        yield warning(f"{what}: activations are not kept{why}; the network runs in every epoch")


def _cache(plan: Plan, setup: Setup, scale: float, *, passing: bool) -> Check:
    reader, layers = setup.reader, 1 + len(setup.reader.categories)
    rows = round(len(setup.scan.readable) * scale)
    needed = sum(forecast_bytes(rows, b.shape, reader.mask_size, layers) for b in setup.backbones)
    root = Path(plan.folder).absolute() if passing else setup.options.cache_dir
    text = f"the cache takes at most {in_gib(needed)} of disk in {root}"
    return _enough(text, needed, root, "name another cache.dir")


def _folder(plan: Plan, setup: Setup) -> Iterator[Check]:
    if plan.folder:
        weights = len(setup.selection.vocabulary) * sum(b.shape[0] for b in setup.backbones)
        needed = _FOLDER * len(setup.backbones) + _WEIGHT_BYTES * weights * setup.options.seeds
        root = Path(plan.folder).absolute()
        text = f"the run folder takes at most some {in_gib(needed)} of disk"
        yield _enough(text, needed, root, "choose another run.dir")


def _enough(text: str, needed: int, root: Path, remedy: str) -> Check:
    free = shutil.disk_usage(standing(root)).free
    if needed <= free:
        return ok(text)
    return fix(f"{text}, which has {in_gib(free)}: free some, or {remedy}")


def _memory(setup: Setup, kept: int, num_rows: int, processes: int) -> Check:
    """Compare with the memory at hand; what is kept on a device is not in it."""
    tails = 0
    if "segmentation" in setup.options.targets:
        tails = sum(_tails(setup, b.shape, num_rows) for b in setup.backbones)
    needed = processes * (_PROCESS + kept) + tails
    _, free = memory()
    text = (
        f"memory: some {in_gib(needed)}, of which {in_gib(processes * kept)} are kept and at most "
        f"{in_gib(tails)} are for thresholds; {in_gib(free)} are free"
    )
    if needed <= free:
        return ok(text)
    return fix(f"{text}. Fewer layers at once, cache=disk, or a machine with more")


def _tails(setup: Setup, shape: tuple[int, int, int], num_rows: int) -> int:
    filters, h, w = shape
    tails = UpperTails(filters, num_rows, h * w, setup.options.protocol.tau)
    return _TAIL_BYTES * filters * tails.length
