"""One function per row of the table: what it costs here, and what it costs elsewhere."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytorch_lightning as pl
import torch

from benchmarks import rivals
from benchmarks.material import LAYER, Material
from net2vec_pl.activations import CacheSink, UpperTails, count_single_filters
from net2vec_pl.analysis.subsets import default_sizes, top_filters
from net2vec_pl.callbacks import LogEmbeddingNorms, LogScores
from net2vec_pl.functional import LOSSES, PixelPass
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import ConceptBank
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

REPEATS = 5


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        name: What is measured, against whom.
        ours: Values of every repeat.
        theirs: The rival's; empty if the bar is on ours itself.
        unit: Of both.
        bar: What is promised: at least so many times less than the rival, or at most so much where
            there is none; None promises nothing.
    """

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: str
    bar: float | None

    @property
    def ratio(self) -> float:
        """How many times less than the rival; ours itself where there is none."""
        ours = statistics.median(self.ours)
        return statistics.median(self.theirs) / ours if self.theirs else ours

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.theirs else self.ratio <= self.bar


def fit_rows(m: Material) -> list[Row]:
    """Fit, per pair and epoch, without validation."""
    images = m.images_of("train")
    masks, pairs = m.masks_of(images), sum(map(len, images))
    probe = m.probe()
    numbers = m.selection.vocabulary.numbers.tolist()
    start, alpha = probe.bank.weight.detach().clone(), probe.alpha
    fired = torch.from_numpy(np.asarray(m.activations)) > m.thresholds[:, None, None]
    few = range(0, len(images), 5)
    few_pairs = sum(len(images[c]) for c in few)
    label_maps = m.maps_of([images[c] for c in few])

    def loop() -> None:
        rivals.fit_in_memory(fired, images, masks, alpha, start, epochs=1)

    def original() -> None:
        rivals.fit_like_the_original(
            m.activations,
            m.thresholds.numpy(),
            [images[c] for c in few],
            label_maps,
            [numbers[c] for c in few],
            alpha[list(few)],
            start[list(few)],
            epochs=1,
        )

    def ours() -> float:
        return (fit_seconds(m, 11) - fit_seconds(m, 1)) / 10 / pairs * 1e6

    for warm in (ours, loop, original):
        warm()
    micro = [
        (
            ours(),
            seconds_of(loop) / pairs * 1e6,
            seconds_of(original) / few_pairs * 1e6,
        )
        for _ in range(REPEATS)
    ]
    mine, looped, originals = zip(*micro, strict=True)
    return [
        Row("fit, a pair and epoch: loop over concepts in memory", mine, looped, "µs", 8),
        Row("fit, a pair and epoch: as the original code", mine, originals, "µs", 30),
    ]


def curve_rows(m: Material) -> list[Row]:
    """Banks of every number of filters beside each other, against the one plain fit before them."""
    epochs, concepts = 5, len(m.selection.vocabulary)

    def plain() -> float:
        callbacks = [LogScores(m.selection.vocabulary), LogEmbeddingNorms(m.selection.vocabulary)]
        return _fit(m, m.probe(), epochs, callbacks)

    def curves() -> float:
        start = m.probe().bank.weight.detach()
        sizes = default_sizes(start.shape[1], "segmentation")[:-1]
        kept = torch.from_numpy(top_filters(start.double().numpy(), sizes)).flatten(0, 1)
        probe = m.probe(ConceptBank(start.repeat(len(sizes), 1), kept=kept))
        assert probe.num_banks * concepts == len(kept)
        probe.tells_loss = False
        rows = m.cached.scored_rows["val"]
        seconds = _fit(m, probe, epochs, [])
        # Scored once in 30 epochs.
        scoring = seconds_of(lambda: score_bank(probe, m.cached, rows, ap=False))
        return seconds + scoring * epochs / 30

    plain(), curves()
    ratios = [curves() / plain() for _ in range(3)]
    return [Row("curves over 12 numbers of filters, in plain fits", ratios, (), "", 6)]


def pixel_rows(m: Material) -> list[Row]:
    """The pixels of a pair, worked on in place, against torch.compile of the same steps."""
    generator = torch.Generator().manual_seed(0)
    pairs, (sh, sw) = 1024, m.reader.mask_size
    logits = torch.randn(pairs, *m.backbone.shape[1:], generator=generator)
    mask = torch.rand(pairs, sh, sw, generator=generator) > 0.9
    alpha = torch.rand(pairs, generator=generator)

    def micro(work: PixelPass) -> float:
        return (
            seconds_of(lambda: work.descend(logits[None], lambda chosen: mask[chosen], alpha[None]))
            / pairs
            * 1e6
        )

    eager, compiled = (
        PixelPass(
            m.backbone.shape[1:],
            m.reader.mask_size,
            LOSSES[Protocol().loss],
            align_corners=True,
            compiled=compiled,
        )
        for compiled in (False, True)
    )
    micro(eager), micro(compiled)
    mine, others = zip(*((micro(eager), micro(compiled)) for _ in range(REPEATS)), strict=True)
    return [Row("pixels of a pair: the same by torch.compile", mine, others, "µs", None)]


def baseline_rows(m: Material) -> list[Row]:
    """Overlaps of all filters with all concepts, an image."""
    images = m.images_of("val")
    rows = m.stream.pair_rows["val"]
    some = [chosen[:6] for chosen in images]
    masks = m.masks_of(some)
    fired = torch.from_numpy(np.asarray(m.activations)) > m.thresholds[:, None, None]
    cells = BilinearCells(m.backbone.shape[1:], m.reader.mask_size, align_corners=True)
    per_image = sum(map(len, images)) / len(rows)

    def ours() -> float:
        loader = m.cached.rows_dataloader(rows)
        count = len(m.selection.vocabulary)
        seconds = seconds_of(
            lambda: count_single_filters(m.backbone, m.thresholds, loader, count, cells)
        )
        return seconds / len(rows) * 1e3

    def theirs() -> float:
        seconds = seconds_of(lambda: rivals.count_by_concept(fired, some, masks))
        return seconds / sum(map(len, some)) * per_image * 1e3

    ours(), theirs()
    mine, others = zip(*((ours(), theirs()) for _ in range(REPEATS)), strict=True)
    return [
        Row("single filters, an image: concept by concept", mine, others, "ms", 15),
        Row(f"single filters, an image ({per_image:.0f} concepts in it)", mine, (), "ms", 8),
    ]


def threshold_rows(m: Material) -> list[Row]:
    """Thresholds and where they are passed, from activations that are at hand."""
    batches = torch.split(torch.from_numpy(np.array(m.activations)), 64)

    def ours() -> float:
        k, h, w = m.backbone.shape
        tails = UpperTails(k, len(m.activations), h * w, Protocol().tau, places=True)
        row = torch.split(torch.arange(len(m.activations)), 64)

        def work() -> None:
            for activation, which in zip(batches, row, strict=True):
                tails.update(activation, which)
            tails.fired(tails.thresholds())

        return seconds_of(work)

    def theirs() -> float:
        return seconds_of(
            lambda: rivals.thresholds_by_sort(np.array(m.activations), Protocol().tau)
        )

    ours(), theirs()
    mine, others = zip(*((ours(), theirs()) for _ in range(3)), strict=True)
    return [Row("thresholds and bits of 501 images: numpy.quantile", mine, others, "s", 1)]


def cache_rows(m: Material) -> list[Row]:
    """Size of the cache on disk, label maps included, against the activations in float32."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.h5"
        rows = m.stream.all_rows
        shape = m.backbone.shape
        sink = CacheSink(
            [path],
            [shape],
            rows=rows,
            is_train=m.reader.is_train,
            scan=m.scan,
            mask_size=m.reader.mask_size,
        )
        for batch in m.stream.rows_dataloader(rows):
            sink.add_pairs(batch)
            answer = torch.from_numpy(m.activations[batch.row])
            image, index = (answer > m.thresholds[:, None, None]).flatten(1).nonzero(as_tuple=True)
            sink.add_fired(0, batch.row[image], index)
        sink.close([m.thresholds])
        mib = [path.stat().st_size / 2**20]
    return [
        Row("cache on disk: float32 activations", mib, [m.activations.nbytes / 2**20], "MiB", 30)
    ]


def job_rows(m: Material) -> list[Row]:
    """The main job as a command, from nothing to its tables."""
    options = [*m.job, f"layer={LAYER}"]
    seconds, gib = zip(*(run_job(options) for _ in range(3)), strict=True)
    return [
        Row("main job, 30 epochs", seconds, (), "s", 60),
        Row("main job, 30 epochs: peak memory", gib, (), "GiB", 2.5),
    ]


def memory_rows(_: Material) -> list[Row]:
    """Resident memory with ``cache=disk``: ten times the images."""
    options = ["data=shapes", "cache=disk", "protocol.epochs=1"]
    peaks = [run_job([*options, f"data.num_images={n}"])[1] for n in (500, 5000)]
    return [
        Row("5,000 images against 500, cache=disk: memory", [peaks[1] / peaks[0]], (), "x", 1.2)
    ]


def run_job(options: Sequence[str]) -> tuple[float, float]:
    """Run the command line in a process of its own; return seconds and peak memory in GiB."""
    code = (  # not getrusage, which remembers the size of the process that started this one
        "from net2vec_pl.cli import main; main();"
        "status = open('/proc/self/status').read();"
        "print('peak', status.split('VmHWM:')[1].split()[0])"
    )
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *options, "run.dir=run", "callbacks.progress=false"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - began
    return seconds, int(done.stdout.rsplit("peak", 1)[1]) / 2**20


def fit_seconds(m: Material, epochs: int) -> float:
    """Return the seconds of a fit of some epochs, without validation."""
    return _fit(m, m.probe(), epochs, [])


def _fit(m: Material, probe: SegmentationProbe, epochs: int, callbacks: list[pl.Callback]) -> float:
    """Return the seconds of a fit; with validation if there are callbacks that read it."""
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_val_batches=1.0 if callbacks else 0,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    return seconds_of(lambda: trainer.fit(probe, datamodule=m.cached))


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
