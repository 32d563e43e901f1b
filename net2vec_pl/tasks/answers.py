"""Have a network's answers at hand: ask it, keep them where ``cache=`` says, or find them there."""

import logging
import math
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations import (
    CacheFolder,
    CacheKey,
    CacheSink,
    DiskCache,
    MemoryCache,
    MemorySink,
    survey,
)
from net2vec_pl.activations.cache import check_room, forecast_bytes
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.tasks.setup import Setup
from net2vec_pl.tasks.stages import Stages

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the rest of a layer's job works on.

    Args:
        thresholds: T_k of each filter.
        stream: Batches: of bits where they are kept, else of images.
    """

    thresholds: Float[Tensor, "K"]
    stream: ConceptDataModule


def find_answers(setup: Setup, stages: Sequence[Stages]) -> list[Answers]:
    """Return thresholds and bits of every layer, from one pass over the images if need be.

    Args:
        setup: What is probed.
        stages: The stages of each layer, which may know its thresholds.
    """
    kind = setup.options.cache
    if kind == "disk":
        return _on_disk(setup, setup.options.cache_dir)
    if kind == "none" or not _fits_in_memory(setup):
        thresholds = _thresholds(setup, stages, None)
        return [Answers(t, setup.stream) for t in thresholds]
    if processes.count() > 1:
        return _through_disk(setup)
    sink = MemorySink([b.shape for b in setup.backbones], setup.reader.mask_size, _place(setup))
    thresholds = _thresholds(setup, stages, sink)
    caches = sink.caches()
    return [
        Answers(t, setup.stream.from_source(cache))
        for t, cache in zip(thresholds, caches, strict=True)
    ]


def _thresholds(
    setup: Setup, stages: Sequence[Stages], sink: MemorySink | None
) -> list[Float[Tensor, "K"]]:
    """Ask the network; thresholds that an earlier start has left are not looked for again."""
    recalled = [stage.recall("thresholds") for stage in stages]
    known = [found["thresholds"] for found in recalled if found is not None]
    if len(known) == len(stages):
        known = [t.to(setup.device) for t in known]
        if sink is None:
            return known
    thresholds = survey(
        setup.backbones,
        setup.stream,
        setup.options.protocol.tau,
        threshold_rows=_threshold_rows(setup),
        thresholds=known if len(known) == len(stages) else None,
        sink=sink,
        sink_rows=_pair_rows(setup),
        track=setup.progress,
    )
    for stage, found in zip(stages, thresholds, strict=True):
        stage.once("thresholds", lambda found=found: {"thresholds": found})  # type: ignore[misc]
    return thresholds


def _on_disk(setup: Setup, root: Path) -> list[Answers]:
    """Read from complete caches, after building those that are missing."""
    folders = [CacheFolder(root, _key(setup, b)) for b in setup.backbones]
    with ExitStack() as locks:
        for folder in sorted(folders, key=lambda f: f.path):  # all runs in one order
            locks.enter_context(folder.locked())
        there = [processes.from_first(folder.is_complete) for folder in folders]
        if all(there):
            _log.info("bits and label maps are at hand in %s", root)
        else:
            missing = [i for i, complete in enumerate(there) if not complete]
            _build(
                setup, root, [setup.backbones[i] for i in missing], [folders[i] for i in missing]
            )
    answers = []
    for folder in folders:
        cache = DiskCache(folder.parts(), setup.selection.vocabulary.numbers)
        thresholds = cache.threshold.to(setup.device)
        answers.append(Answers(thresholds, setup.stream.from_source(cache)))
    return answers


def _build(
    setup: Setup, root: Path, backbones: Sequence[FrozenBackbone], folders: Sequence[CacheFolder]
) -> None:
    reader, rows = setup.reader, setup.stream.all_rows
    layers = 1 + len(reader.categories)
    needed = sum(forecast_bytes(len(rows), b.shape, reader.mask_size, layers) for b in backbones)
    processes.from_first(lambda: check_room(root, needed))
    sink = CacheSink(
        [folder.prepare() for folder in folders],
        [b.shape for b in backbones],
        rows=processes.share(rows),
        is_train=reader.is_train,
        census=setup.census,
        mask_size=reader.mask_size,
    )
    thresholds = survey(
        backbones,
        setup.everything(),
        setup.options.protocol.tau,
        threshold_rows=_threshold_rows(setup),
        sink=sink,
        sink_rows=rows,
        track=setup.progress,
    )
    sink.close(thresholds)
    for folder in folders:
        folder.finish()


def _through_disk(setup: Setup) -> list[Answers]:
    """Share answers among processes: each writes its part, all read all of them into memory."""
    root = setup.folder / "cache"
    rows = _pair_rows(setup)
    answers = []
    for found in _on_disk(setup, root):
        assert isinstance(found.stream.source, DiskCache)
        cache = MemoryCache.read(found.stream.source, rows, _place(setup))
        answers.append(Answers(found.thresholds, setup.stream.from_source(cache)))
    processes.wait()
    if processes.is_first():
        shutil.rmtree(root, ignore_errors=True)
    return answers


def _fits_in_memory(setup: Setup) -> bool:
    """Forecast what bits and masks take; four bytes a bit that is set, and masks of packed bits."""
    rows, (sh, sw) = _pair_rows(setup), setup.reader.mask_size
    pairs = int(setup.stream.index.pairs_per_image[rows].sum())
    values = len(rows) * sum(math.prod(b.shape) for b in setup.backbones)
    forecast = 4 * values * setup.options.protocol.tau + pairs * (-(-sh * sw // 8) + 8)
    _log.info("bits and masks take some %.0f MiB of memory", forecast / 2**20)
    if forecast > setup.options.cache_bytes:
        _log.info("more than cache.max_gib: the network runs anew in every epoch")
        return False
    if _place(setup).type == "cuda" and forecast > 0.8 * torch.cuda.mem_get_info()[0]:
        _log.info("more than the device has left: the network runs anew in every epoch")
        return False
    return True


def _threshold_rows(setup: Setup) -> npt.NDArray[np.int64]:
    on_train = setup.options.protocol.threshold_images == "train"
    return setup.stream.train_rows if on_train else setup.stream.all_rows


def _pair_rows(setup: Setup) -> npt.NDArray[np.int64]:
    return np.concatenate(list(setup.stream.pair_rows.values()))


def _place(setup: Setup) -> torch.device:
    return setup.device if setup.options.cache == "device" else torch.device("cpu")


def _key(setup: Setup, backbone: FrozenBackbone) -> CacheKey:
    protocol, reader = setup.options.protocol, setup.reader
    return CacheKey(
        {
            "model": backbone.model,
            "weights": backbone.digest,
            "layer": backbone.module_path,
            "input": [list(backbone.scaling.mean), list(backbone.scaling.std)],
            "image_size": list(reader.image_size),
            "mask_size": list(reader.mask_size),
            "precision": protocol.precision,
            "tau": protocol.tau,
            "threshold_images": protocol.threshold_images,
            "data": setup.census.digest,
            "images": len(setup.census.readable),
        }
    )
