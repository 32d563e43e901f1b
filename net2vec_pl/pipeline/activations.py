"""Compute the activations of a run's layers, or find those that an earlier run has kept."""

import logging
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
    PooledActivations,
    survey,
)
from net2vec_pl.activations.cache_folder import check_room, forecast_bytes
from net2vec_pl.activations.survey import Watch
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptDataModule, ImageBatch
from net2vec_pl.functional.inputs import INPUTS, as_they_are
from net2vec_pl.pipeline.moments import MomentWatch
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.pipeline.storage import pair_rows, storage_device, storage_of
from net2vec_pl.runs.stages import Stages, Tensors

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerActivations:
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


def find_activations(setup: Setup, stages: Sequence[Stages]) -> list[LayerActivations]:
    """Run the network over every image, or find what it gave before.

    Args:
        setup: Setup of the job.
        stages: Stages of each layer, which may know its thresholds and more.
    """
    watch = _Watch(setup, stages)
    if "segmentation" not in setup.options.targets:
        blank = [torch.zeros(b.shape[0], device=setup.device) for b in setup.backbones]
        activations = [LayerActivations(t, setup.stream) for t in blank]
    else:
        activations = _kept(setup, stages, watch)
    return watch.complete(activations)


def _kept(setup: Setup, stages: Sequence[Stages], watch: "_Watch") -> list[LayerActivations]:
    storage = storage_of(setup, processes.count())
    if storage.num_bytes:
        _log.info("cached activations need about %.0f MiB of memory", storage.num_bytes / 2**20)
    if storage.reason:
        _log.info("activations are not kept (%s); the network runs in every epoch", storage.reason)
    if storage.where == "none":
        thresholds = _thresholds(setup, stages, None, watch)
        return [LayerActivations(t, setup.stream) for t in thresholds]
    if storage.where == "disk":
        return _on_disk(setup, setup.options.cache_dir)
    if storage.shared:
        return _through_disk(setup)
    sink = MemorySink(
        [b.shape for b in setup.backbones],
        setup.reader.mask_size,
        storage_device(setup),
        dense_rows=pair_rows(setup) if storage.raw else None,
    )
    thresholds = _thresholds(setup, stages, sink, watch)
    return [
        LayerActivations(t, setup.stream.from_source(cache))
        for t, cache in zip(thresholds, sink.caches(), strict=True)
    ]


class _Watch:
    """Means, spreads and sums of every filter, from whatever pass goes by; kept as stages."""

    def __init__(self, setup: Setup, stages: Sequence[Stages]) -> None:
        self._setup, self._stages = setup, stages
        self.wanted = setup.options.reads_raw or "classification" in setup.options.targets
        self._pooled: PooledActivations | None = None
        self.rows = np.zeros(0, dtype=np.int64)  # that must still go by
        if self.wanted and not all([stage.recall("pooled") for stage in stages]):
            self.rows = setup.stream.all_rows
            self._pooled = PooledActivations(
                [b.shape[0] for b in setup.backbones],
                len(setup.reader),
                _threshold_rows(setup),
                INPUTS.get(setup.options.protocol.input, as_they_are),
            )
        on_disk = setup.options.cache == "disk" and not setup.options.reads_raw
        root = setup.options.cache_dir
        folders = [CacheFolder(root, _key(setup, b)).path for b in setup.backbones]
        self._moments = MomentWatch(setup, stages, folders if on_disk else ())

    @property
    def see(self) -> Watch | None:
        """What sees every batch that passes; None if nothing is wanted of it."""
        return self._see if self._pooled is not None or self._moments.wanted else None

    def _see(self, layer: int, batch: ImageBatch, activation: Tensor) -> None:
        if self._pooled is not None:
            self._pooled.see(layer, batch.row, activation)
        self._moments.see(layer, batch, activation)

    def complete(self, activations: Sequence[LayerActivations]) -> list[LayerActivations]:
        """Return them with scale and pooled activations; runs the network again if need be."""
        missing = self._moments.unseen()
        if self._pooled is not None:
            missing = np.union1d(missing, self._pooled.unseen(self.rows, self._setup.device))
        self.rows = missing
        if len(missing):
            _survey(self._setup, [a.thresholds for a in activations], None, self)
        if self._pooled is not None:
            self._pooled.share(self._setup.device)
        self._moments.keep()
        return (
            [self._with(*pair) for pair in enumerate(activations)]
            if self.wanted
            else list(activations)
        )

    def _with(self, layer: int, kept: LayerActivations) -> LayerActivations:
        def made() -> Tensors:
            assert self._pooled is not None
            return {"mean": self._pooled.mean[layer], "spread": self._pooled.spread(layer)}

        found = self._stages[layer].once("pooled", made)
        scale = found["spread"].to(self._setup.device)
        return replace(
            kept,
            scale=scale if self._setup.options.reads_raw else None,
            pooled=found["mean"] if "classification" in self._setup.options.targets else None,
        )


def _thresholds(
    setup: Setup, stages: Sequence[Stages], sink: MemorySink | None, watch: _Watch
) -> list[Float[Tensor, "_"]]:
    """Run the network; thresholds that an earlier start has left are not looked for again."""
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
        sink_rows=pair_rows(setup),
        watch=watch.see,
        watch_rows=watch.rows,
        track=setup.progress,
    )


def _on_disk(setup: Setup, root: Path) -> list[LayerActivations]:
    """Read from complete caches, after building those that are missing."""
    folders = [CacheFolder(root, _key(setup, b)) for b in setup.backbones]
    with ExitStack() as locks:
        for folder in sorted(folders, key=lambda f: f.path):  # all runs in one order
            locks.enter_context(folder.locked())
        there = [processes.from_first(folder.is_complete) for folder in folders]
        if all(there):
            _log.info("using the cached bits and label maps in %s", root)
        else:
            missing = [i for i, complete in enumerate(there) if not complete]
            _build(
                setup, root, [setup.backbones[i] for i in missing], [folders[i] for i in missing]
            )
    activations = []
    for folder in folders:
        cache = DiskCache(folder.parts(), setup.selection.vocabulary.numbers)
        thresholds = cache.threshold.to(setup.device)
        activations.append(LayerActivations(thresholds, setup.stream.from_source(cache)))
    return activations


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
        scan=setup.scan,
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


def _through_disk(setup: Setup) -> list[LayerActivations]:
    """Share activations among processes: each writes its part, all read all of them into memory."""
    root = setup.folder / "cache"
    rows = pair_rows(setup)
    activations = []
    for found in _on_disk(setup, root):
        assert isinstance(found.stream.source, DiskCache)
        cache = MemoryCache.read(found.stream.source, rows, storage_device(setup))
        activations.append(LayerActivations(found.thresholds, setup.stream.from_source(cache)))
    processes.wait()
    if processes.is_first():
        shutil.rmtree(root, ignore_errors=True)
    return activations


def _threshold_rows(setup: Setup) -> npt.NDArray[np.int64]:
    on_train = setup.options.protocol.threshold_images == "train"
    return setup.stream.train_rows if on_train else setup.stream.all_rows


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
            "data": setup.scan.digest,
            "images": len(setup.scan.readable),
            **({} if backbone.units.are_filters else {"units": backbone.units.header}),
        }
    )
