"""Have a network's answers at hand: ask it, keep them where ``cache=`` says, or find them there."""

import logging
import math
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
    PooledAnswers,
    survey,
)
from net2vec_pl.activations.cache import check_room, forecast_bytes
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.functional.inputs import INPUTS, as_they_are
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.runs.stages import Stages, Tensors

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the rest of a layer's job works on.

    Args:
        thresholds: T_k of each filter.
        stream: Batches: of what is kept where it is kept, else of images.
        scale: Standard deviation of each filter; None where probes read bits.
        pooled: Mean of each filter over each image of the dataset, NaN where unread; None where
            nothing is classified.
    """

    thresholds: Float[Tensor, "K"]
    stream: ConceptDataModule
    scale: Float[Tensor, "K"] | None = None
    pooled: Float[Tensor, "N K"] | None = None


def find_answers(setup: Setup, stages: Sequence[Stages]) -> list[Answers]:
    """Ask the network about every image, or find what it answered before.

    Args:
        setup: Of the job.
        stages: Of each layer, which may know its thresholds and more.
    """
    watch = _Watch(setup, stages)
    if "segmentation" not in setup.options.targets:
        blank = [torch.zeros(b.shape[0], device=setup.device) for b in setup.backbones]
        answers = [Answers(t, setup.stream) for t in blank]
    else:
        answers = _by_cache(setup, stages, watch)
    return watch.complete(answers)


def _by_cache(setup: Setup, stages: Sequence[Stages], watch: "_Watch") -> list[Answers]:
    kind, several, raw = setup.options.cache, processes.count() > 1, setup.options.reads_raw
    if raw and (kind == "disk" or several):
        _log.info("only bits are kept on disk and shared: the network runs anew in every epoch")
    elif kind == "disk":
        return _on_disk(setup, setup.options.cache_dir)
    if kind in ("none", "disk") or (raw and several) or not _fits_in_memory(setup):
        thresholds = _thresholds(setup, stages, None, watch)
        return [Answers(t, setup.stream) for t in thresholds]
    if several:
        return _through_disk(setup)
    sink = MemorySink(
        [b.shape for b in setup.backbones],
        setup.reader.mask_size,
        _place(setup),
        dense_rows=_pair_rows(setup) if raw else None,
    )
    thresholds = _thresholds(setup, stages, sink, watch)
    caches = sink.caches()
    return [
        Answers(t, setup.stream.from_source(cache))
        for t, cache in zip(thresholds, caches, strict=True)
    ]


class _Watch:
    """Means and spreads of every filter, from whatever pass goes by; kept as a stage."""

    def __init__(self, setup: Setup, stages: Sequence[Stages]) -> None:
        self._setup, self._stages = setup, stages
        self.wanted = setup.options.reads_raw or "classification" in setup.options.targets
        self._pooled: PooledAnswers | None = None  # a number per image and filter: not for nothing
        self.rows = np.zeros(0, dtype=np.int64)  # that must still go by
        if self.wanted and not all([stage.recall("pooled") for stage in stages]):
            self.rows = setup.stream.all_rows
            self._pooled = PooledAnswers(
                [b.shape[0] for b in setup.backbones],
                len(setup.reader),
                _threshold_rows(setup),
                INPUTS.get(setup.options.protocol.input, as_they_are),
            )
        self.see = self._pooled.see if self._pooled is not None else None

    def complete(self, answers: Sequence[Answers]) -> list[Answers]:
        """Return the answers with scale and pooled activations, asking again if need be."""
        if self._pooled is not None:
            self.rows = self._pooled.unseen(self.rows, self._setup.device)
            if len(self.rows):
                _survey(self._setup, [a.thresholds for a in answers], None, self)
            self._pooled.share(self._setup.device)
        return [self._with(*pair) for pair in enumerate(answers)] if self.wanted else list(answers)

    def _with(self, layer: int, answer: Answers) -> Answers:
        def made() -> Tensors:
            assert self._pooled is not None
            return {"mean": self._pooled.mean[layer], "spread": self._pooled.spread(layer)}

        found = self._stages[layer].once("pooled", made)
        scale = found["spread"].to(self._setup.device)
        return replace(
            answer,
            scale=scale if self._setup.options.reads_raw else None,
            pooled=found["mean"] if "classification" in self._setup.options.targets else None,
        )


def _thresholds(
    setup: Setup, stages: Sequence[Stages], sink: MemorySink | None, watch: _Watch
) -> list[Float[Tensor, "_"]]:
    """Ask the network; thresholds that an earlier start has left are not looked for again."""
    recalled = [stage.recall("thresholds") for stage in stages]
    known = [found["thresholds"].to(setup.device) for found in recalled if found is not None]
    if len(known) == len(stages) and sink is None:
        return known
    thresholds = _survey(setup, known if len(known) == len(stages) else None, sink, watch)
    for stage, found in zip(stages, thresholds, strict=True):
        stage.once("thresholds", lambda found=found: {"thresholds": found})  # type: ignore[misc]
    return thresholds


def _survey(
    setup: Setup,
    thresholds: Sequence[Float[Tensor, "_"]] | None,
    sink: MemorySink | None,
    watch: _Watch,
) -> list[Float[Tensor, "_"]]:
    return survey(
        setup.backbones,
        setup.stream,
        setup.options.protocol.tau,
        threshold_rows=_threshold_rows(setup),
        thresholds=thresholds,
        sink=sink,
        sink_rows=_pair_rows(setup),
        watch=watch.see,
        watch_rows=watch.rows,
        track=setup.progress,
    )


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


def kept_bytes(setup: Setup) -> int:
    """Forecast what bits and masks take in memory.

    Four bytes a bit that is set, and masks of packed bits; two bytes an activation where they are
    read.
    """
    rows, (sh, sw) = _pair_rows(setup), setup.reader.mask_size
    pairs = int(setup.stream.index.pairs_per_image[rows].sum())
    values = len(rows) * sum(math.prod(b.shape) for b in setup.backbones)
    raw = 2 * values if setup.options.reads_raw else 0
    bits = 4 * values * setup.options.protocol.tau
    return round(bits + pairs * (-(-sh * sw // 8) + 8) + raw)


def _fits_in_memory(setup: Setup) -> bool:
    forecast = kept_bytes(setup)
    _log.info("what is kept takes some %.0f MiB of memory", forecast / 2**20)
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
    return np.concatenate(list(setup.stream.scored_rows.values()))


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
