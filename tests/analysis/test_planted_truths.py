"""Truths put into a world, found by the analyses: filters needed, neighbours, nothing in noise."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from support.planted import GRID, PlantedReader, quiet_trainer
from torch import Tensor, nn

from net2vec_pl.activations import MemoryCache, MemorySink, survey
from net2vec_pl.analysis.space import cosines, unit_rows
from net2vec_pl.analysis.subsets import filters_needed, top_filters
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data import ConceptDataModule, Sample, scan_files
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

FILTERS, CONCEPTS, FIRES = 12, 4, 204 / 255  # a filter fires at one place in five
SIZES = [1, 2, 3, 4, 6, 12]
PROTOCOL = Protocol(loss="bce", lr=0.03, lr_scaling="none", epochs=40, reference_batch_size=8)
EITHER_OF_THREE, ITS_TWIN, ONE, OTHER_THREE = range(CONCEPTS)


class TwelveFilters(PlantedReader):
    """Pictures of which each square of 2 x 2 pixels holds what twelve filters answer there.

    Concept 1 lies where filter 0, 4 or 9 fires, in even images; its twin likewise, in odd ones.
    Concept 3 lies where filter 2 fires, concept 4 where 1, 6 or 11 does.
    """

    def __init__(self) -> None:
        super().__init__(num_images=64)
        self.vocabulary = Vocabulary(
            Concept(n + 1, f"concept {n + 1}", "object", ("object",), True) for n in range(CONCEPTS)
        )
        generator = torch.Generator().manual_seed(1)
        size = 2 * GRID
        self.images = torch.randint(0, 256, (64, 3, size, size), generator=generator).byte()
        self.image_size = (size, size)
        self.is_train = np.arange(64) % 8 < 6
        fires = nn.functional.pixel_unshuffle(self.images.float(), 2) > 255 * FIRES
        three, others = fires[:, [0, 4, 9]].any(1), fires[:, [1, 6, 11]].any(1)
        even = (torch.arange(64) % 2 == 0)[:, None, None]
        lies = [three & even, three & ~even, fires[:, 2], others]
        self.maps = torch.stack([mask * (n + 1) for n, mask in enumerate(lies)], 1).int()

    def __getitem__(self, row: int) -> Sample:
        return Sample(self.images[row], self.maps[row], ("object",) * CONCEPTS, ())


@dataclass
class Job:
    """The planted images from a cache of bits, and banks trained on them."""

    reader: TwelveFilters
    backbone: FrozenBackbone
    stream: ConceptDataModule

    @property
    def start(self) -> Tensor:
        return initial_rows(self.reader.vocabulary.numbers.tolist(), FILTERS, 0)

    def probe(self, bank: ConceptBank) -> SegmentationProbe:
        return SegmentationProbe(
            self.backbone,
            torch.full((FILTERS,), FIRES),
            bank,
            torch.full((CONCEPTS,), 0.5),
            self.reader.mask_size,
            PROTOCOL,
        )

    def trained(
        self, bank: ConceptBank, stream: ConceptDataModule | None = None
    ) -> SegmentationProbe:
        probe = self.probe(bank)
        trainer = quiet_trainer(PROTOCOL.epochs, limit_val_batches=0)
        trainer.fit(probe, datamodule=stream or self.stream)
        return probe

    def scores(self, probe: SegmentationProbe) -> np.ndarray:
        """Return set IoU on val, (B, C)."""
        counts, _ = score_bank(probe, self.stream, self.stream.scored_rows["val"], ap=False)
        return counts.set_iou(CONCEPTS).numpy()


@pytest.fixture(scope="module")
def job() -> Job:
    reader = TwelveFilters()
    unit = InputScaling.named("unit")
    network = nn.Sequential(nn.PixelUnshuffle(2), nn.BatchNorm2d(FILTERS, eps=0))
    backbone = FrozenBackbone(network, "0", unit, reader.image_size)
    stream = ConceptDataModule(reader, reader.vocabulary, scan_files(reader), batch_size=16)
    sink = MemorySink([backbone.shape], reader.mask_size, torch.device("cpu"))
    survey(
        [backbone],
        stream,
        0.2,
        threshold_rows=stream.all_rows,
        thresholds=[torch.full((FILTERS,), FIRES)],
        sink=sink,
        sink_rows=stream.all_rows,
    )
    return Job(reader, backbone, stream.from_source(sink.caches()[0]))


@pytest.fixture(scope="module")
def full(job: Job) -> SegmentationProbe:
    return job.trained(ConceptBank(job.start))


def test_every_planted_concept_is_found(job: Job, full: SegmentationProbe) -> None:
    assert (job.scores(full) > 0.97).all()


def test_what_either_of_three_filters_says_needs_three(job: Job, full: SegmentationProbe) -> None:
    weight = full.bank.weight.detach()
    kept = torch.from_numpy(top_filters(weight.double().numpy(), SIZES))
    of_three = kept[SIZES.index(3)]
    assert of_three[EITHER_OF_THREE].nonzero().flatten().tolist() == [0, 4, 9]
    assert of_three[ITS_TWIN].nonzero().flatten().tolist() == [0, 4, 9]
    assert of_three[OTHER_THREE].nonzero().flatten().tolist() == [1, 6, 11]
    assert kept[0, ONE].nonzero().flatten().tolist() == [2]
    start = job.start.repeat(len(SIZES) - 1, 1)
    subsets = job.trained(ConceptBank(start, kept=kept[:-1].flatten(0, 1)))
    scores = np.concatenate([job.scores(subsets), job.scores(full)])
    needed = filters_needed(scores, SIZES, [0.9, 0.95], 0.0).needed
    assert needed.tolist() == [[3, 3, 1, 3]] * 2
    # One filter of three fires at a share p of the places, any of them at 1 - (1 - p)^3.
    p = 51 / 256
    assert scores[0, OTHER_THREE] == pytest.approx(p / (1 - (1 - p) ** 3), abs=0.06)
    assert scores[1, OTHER_THREE] == pytest.approx(
        (1 - (1 - p) ** 2) / (1 - (1 - p) ** 3), abs=0.06
    )


def test_concepts_made_from_the_same_filters_point_the_same_way(full: SegmentationProbe) -> None:
    between = cosines(unit_rows(full.bank.weight.detach().double().numpy()).rows)
    assert between[EITHER_OF_THREE, ITS_TWIN] > 0.97
    assert between[EITHER_OF_THREE, OTHER_THREE] < 0
    assert between[EITHER_OF_THREE, ONE] < 0


def test_masks_of_other_images_teach_what_says_nothing(job: Job, full: SegmentationProbe) -> None:
    source = job.stream.source
    assert isinstance(source, MemoryCache)
    mixed = job.stream.from_source(source.shuffled(job.stream.pair_rows["train"], 0))
    shuffled = job.scores(job.trained(ConceptBank(job.start), mixed))[0]
    random = job.scores(job.probe(ConceptBank(job.start)))[0]
    true = job.scores(full)[0]
    density = np.array([0.488, 0.488, 0.199, 0.488])  # the IoU of calling every pixel the concept
    assert (true > 0.97).all()
    assert (random < density + 0.05).all()
    assert (shuffled < density + 0.05).all()
    assert (shuffled < true - 0.4).all()
