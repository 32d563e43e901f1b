"""A planted world: an identity backbone over pictures whose channels are the filters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptDataModule, ConceptReader, Sample, scan_files, select_concepts
from net2vec_pl.data.selection import Selection
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe

GRID = 6


class PlantedReader(ConceptReader):
    """Concept 1 lies where channel 0 is bright, 2 where channel 1 or 2 is, 3 anywhere."""

    def __init__(self, num_images: int = 40, mask: int = GRID) -> None:
        generator = torch.Generator().manual_seed(7)
        self.name = "planted"
        self.categories = (Category("object", True),)
        self.vocabulary = Vocabulary(
            Concept(n, f"concept {n}", "object", ("object",), True) for n in (1, 2, 3)
        )
        self.images = torch.randint(0, 256, (num_images, 3, GRID, GRID), generator=generator).byte()
        up = nn.functional.interpolate(
            self.images.float(), (mask, mask), mode="bilinear", align_corners=True
        )
        first = (up[:, 0] > 150) * 1
        second = ((up[:, 1] > 150) | (up[:, 2] > 150)) * 2
        third = (torch.rand(num_images, mask, mask, generator=generator) > 0.6) * 3
        third[::3] = 0  # not in every image, so that rows step at different times
        self.maps = torch.stack([first, second, third], 1).int()
        self.image_names = [f"{i}.png" for i in range(num_images)]
        self.is_train = np.arange(num_images) % 4 != 3
        self.annotated = np.ones((num_images, 1), dtype=bool)
        self.image_size = (GRID, GRID)
        self.mask_size = (mask, mask)

    def __getitem__(self, row: int) -> Sample:
        return Sample(self.images[row], self.maps[row], ("object",) * 3, ())

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])


class Bright(nn.Module):
    """Frozen, with batch-norm statistics that any pass in train mode would move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.out = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.norm(x))  # type: ignore[no-any-return]


def quiet_trainer(epochs: int, **options: Any) -> pl.Trainer:
    """Return a trainer that trains on the CPU and does nothing else."""
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@dataclass
class World:
    """Everything a probe needs, for any choice of concepts and batches."""

    reader: PlantedReader
    protocol: Protocol
    batch_size: int = 16
    names: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    pairs_per_chunk: int | None = None

    def selection(self) -> Selection:
        return select_concepts(self.reader, scan_files(self.reader), names=self.names)

    def stream(self) -> ConceptDataModule:
        scan = scan_files(self.reader)
        vocabulary = self.selection().vocabulary
        return ConceptDataModule(self.reader, vocabulary, scan, batch_size=self.batch_size)

    def probe(self) -> SegmentationProbe:
        selection = self.selection()
        scaling = InputScaling.named("unit")
        backbone = FrozenBackbone(Bright(), "out", scaling, self.reader.image_size)
        numbers = selection.vocabulary.numbers.tolist()
        rows = torch.cat([initial_rows(numbers, 3, seed) for seed in self.seeds])
        return SegmentationProbe(
            backbone,
            torch.full((3,), 150 / 255),
            ConceptBank(rows, bias=self.protocol.bias),
            torch.tensor([entry.alpha for entry in selection.probed]),
            self.reader.mask_size,
            self.protocol,
            pairs_per_chunk=self.pairs_per_chunk,
        )
