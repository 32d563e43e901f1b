"""``python -m benchmarks.gpu``: the whole job at BRODEN's size on a CUDA device, without decoding.

Images, labels and weights are made up on the device, so this is the time of everything but reading:
thresholds and bits, single filters, 30 epochs, and evaluation. Beside it stands the floor: the
network's operations at the matrix rate that the device reaches, and the bytes of the pixels' work
at the bandwidth that it reaches.
"""

import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from net2vec_pl.activations import MemorySink, count_single_filters, survey
from net2vec_pl.backbones import FrozenBackbone, build_backbone
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data import ConceptDataModule, ConceptReader, ImageBatch, Sample, Scan
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

IMAGES, CONCEPTS, PAIRS, SIZE, MASK = 63_305, 1_197, 15, 224, 112
BATCH = 256


class MadeUp(ConceptReader):
    """As many images, concepts and pairs as BRODEN has; its pixels are made on the device."""

    def __init__(self, num_images: int, num_concepts: int) -> None:
        self.name = "made up"
        self.vocabulary = Vocabulary(
            Concept(n, f"c{n}", "object", ("object",), True) for n in range(1, num_concepts + 1)
        )
        self.image_names = [str(i) for i in range(num_images)]
        self.is_train = np.arange(num_images) % 10 < 7
        self.annotated = np.ones((num_images, 1), dtype=bool)
        self.image_size, self.mask_size = (SIZE, SIZE), (MASK, MASK)

    def __getitem__(self, row: int) -> Sample:
        """Raise: :class:`OnDevice` makes the images."""
        raise AssertionError("made on the device instead")

    def fingerprint(self, row: int) -> bytes:
        """Return nothing: there is no content."""
        return b""


class OnDevice(ConceptDataModule):
    """A stream whose images and label maps are random numbers on a device."""

    def __init__(self, reader: MadeUp, scan: Scan, device: torch.device) -> None:
        super().__init__(reader, reader.vocabulary, scan, batch_size=BATCH)
        self.device = device

    def batches(self, rows: npt.NDArray[np.int64]) -> Iterator[ImageBatch]:
        """Yield the rows' images; a concept is a stripe of its image's label map."""
        stripe = torch.arange(MASK, device=self.device) * PAIRS // MASK
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            image, concept = self.index.all_of(part)
            number = torch.from_numpy(self.index.numbers[concept]).int().to(self.device)
            lines = number.view(len(part), PAIRS)[:, stripe]
            yield ImageBatch(
                row=torch.from_numpy(part).to(self.device),
                image=torch.from_numpy(image).to(self.device),
                concept=torch.from_numpy(concept).to(self.device),
                images=torch.randint(
                    0, 256, (len(part), 3, SIZE, SIZE), dtype=torch.uint8, device=self.device
                ),
                label_maps=lines[:, None, :, None].expand(-1, 1, -1, MASK).contiguous(),
                number=number,
                whole=torch.zeros(len(number), dtype=torch.bool, device=self.device),
            )

    def rows_dataloader(  # type: ignore[override]
        self, rows: npt.NDArray[np.int64], *, persistent: bool = False
    ) -> Iterator[ImageBatch]:
        """See :meth:`batches`."""
        return self.batches(rows)


def scan(num_images: int, num_concepts: int) -> Scan:
    """Give every image its pairs, each concept equally often."""
    row = np.repeat(np.arange(num_images), PAIRS)
    number = 1 + (np.arange(len(row)) * 7919) % num_concepts
    number = np.sort(number.reshape(num_images, PAIRS), axis=1).ravel()
    pixels = np.full(len(row), MASK * MASK // PAIRS)
    return Scan(row, number, pixels, np.arange(num_images), (), "made up")


def measure(
    device: torch.device, num_images: int, num_concepts: int, epochs: int
) -> dict[str, float]:
    """Do the whole job once and return seconds by stage."""
    reader = MadeUp(num_images, num_concepts)
    stream = OnDevice(reader, scan(num_images, num_concepts), device)
    backbone = build_backbone(
        name="vgg16", image_size=reader.image_size, layer="conv5_3", weights=None
    ).to(device)
    clock = _Clock(device)
    sink = MemorySink([backbone.shape], reader.mask_size, device)
    rows = stream.all_rows
    (thresholds,) = survey(
        [backbone], stream, Protocol().tau, threshold_rows=rows, sink=sink, sink_rows=rows
    )
    (cache,) = sink.caches()
    clock.lap("thresholds and bits")
    kept = ConceptDataModule(
        reader, reader.vocabulary, scan(num_images, num_concepts), batch_size=BATCH
    ).from_source(cache)
    cells = BilinearCells(backbone.shape[1:], reader.mask_size, align_corners=True)
    for split in ("train", "val"):
        loader = kept.rows_dataloader(kept.pair_rows[split])
        count_single_filters(backbone, thresholds, loader, num_concepts, cells)
    clock.lap("single filters")
    numbers = reader.vocabulary.numbers.tolist()
    probe = SegmentationProbe(
        backbone,
        thresholds,
        ConceptBank(initial_rows(numbers, backbone.shape[0], 0)),
        torch.full((num_concepts,), 1 - 1 / PAIRS),
        reader.mask_size,
        Protocol(),
        compiled=device.type == "cuda",
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(probe, datamodule=kept)
    clock.lap(f"{epochs} epochs")
    for split in ("train", "val"):
        score_bank(probe.to(device), kept, kept.pair_rows[split])
    clock.lap("evaluation")
    return clock.laps


class _Clock:
    """Seconds between laps, with the device synchronised."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.laps = device, dict[str, float]()
        self._last = self._now()

    def lap(self, name: str) -> None:
        """Name what was done since the last lap."""
        now = self._now()
        self.laps[name] = now - self._last
        self._last = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def floor(device: torch.device, num_images: int, epochs: int, backbone: FrozenBackbone) -> float:
    """Return the seconds below which no program can get: the network once, the pixels' bytes."""
    side = 8192
    a = torch.randn(side, side, device=device)
    torch.backends.cuda.matmul.allow_tf32 = True
    rate = 2 * side**3 / _median(device, lambda: a @ a)
    big = torch.empty(1 << 30, dtype=torch.uint8, device=device)
    bandwidth = 2 * len(big) / _median(device, big.clone)
    operations = num_images * _operations(backbone)
    # A pair's mask is read packed and its grid read and written: what a perfect kernel must move.
    pair = MASK * MASK / 8 + 2 * 4 * backbone.shape[1] * backbone.shape[2]
    return operations / rate + num_images * PAIRS * epochs * pair / bandwidth


def _operations(backbone: FrozenBackbone) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    device = next(backbone.buffers()).device
    with FlopCounterMode(display=False) as counter:
        backbone(torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8, device=device))
    return float(counter.get_total_flops())


def _median(device: torch.device, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(7):
        clock = _Clock(device)
        work()
        clock.lap("once")
        seconds.append(clock.laps["once"])
    return statistics.median(seconds[2:])


def main() -> int:
    """Print the table; on a machine without a CUDA device, say so."""
    console = Console(width=100)
    if not torch.cuda.is_available():
        console.print("skipped: this needs a CUDA device, and none is here.")
        return 0
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    device = torch.device("cuda")
    measure(device, 2048, CONCEPTS, 1)  # compile and warm up
    torch.cuda.reset_peak_memory_stats()
    runs = [measure(device, IMAGES, CONCEPTS, Protocol().epochs) for _ in range(3)]
    backbone = build_backbone(
        name="vgg16", image_size=(SIZE, SIZE), layer="conv5_3", weights=None
    ).to(device)
    least = floor(device, IMAGES, Protocol().epochs, backbone)
    table = Table("stage", "seconds, median of 3")
    for name in runs[0]:
        table.add_row(name, f"{statistics.median(run[name] for run in runs):.1f}")
    total = statistics.median(sum(run.values()) for run in runs)
    table.add_row("all (promised: below 60)", f"{total:.1f}")
    table.add_row("times the floor", f"{total / least:.1f}")
    table.add_row("peak GiB", f"{torch.cuda.max_memory_allocated() / 2**30:.1f}")
    console.print(torch.cuda.get_device_name(), torch.__version__, BATCH)
    console.print(table)
    return 0 if total < 60 else 1


if __name__ == "__main__":
    sys.exit(main())
