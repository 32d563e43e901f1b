"""Thresholds and scores of maps, against loops over all pixels of the planted images."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.gloo import in_processes
from support.planted import PlantedReader, World
from torch import Tensor
from torch.nn.functional import interpolate

from net2vec_pl.data import ConceptDataModule
from net2vec_pl.functional.average_precision import bin_floors
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, calibrate, score_bank
from net2vec_pl.training.scoring import score_all, thresholds_on

SEEDS, CONCEPTS = (0, 5), 3
MASK = 13  # the grid is 6 x 6
Pixels = dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]


def worlds(reads: str = "raw") -> World:
    protocol = Protocol(bias=True, input=reads)  # type: ignore[arg-type]
    return World(PlantedReader(mask=MASK), protocol, batch_size=7, seeds=SEEDS)


def moved(probe: SegmentationProbe) -> SegmentationProbe:
    """Give every row a bias of its own."""
    assert probe.bank.bias is not None
    with torch.no_grad():
        probe.bank.bias.copy_(torch.linspace(-0.4, 0.3, len(probe.bank.bias)))
    return probe


def pixels(probe: SegmentationProbe, world: World, split: str) -> Pixels:
    """Return logits and masks of all pixels of a split, by bank and concept, image by image."""
    reader, stream = world.reader, world.stream()
    bank, found = probe.bank, {}
    assert bank.bias is not None
    activation = probe.backbone(reader.images)
    if world.protocol.input == "bits":
        activation = (activation > 150 / 255).float()
    for row, weight in enumerate(bank.weight.detach()):
        number, concept = divmod(row, CONCEPTS)
        masks = reader.maps[:, concept] == concept + 1
        rows = [r for r in stream.pair_rows[split].tolist() if masks[r].any()]
        grid = (activation[rows] * weight[:, None, None]).sum(1) + bank.bias[row].detach()
        up = interpolate(grid[None], (MASK, MASK), mode="bilinear", align_corners=True)[0]
        found[number, concept] = up.double().numpy(), masks[rows].numpy()
    return found


def iou(logits: np.ndarray, mask: np.ndarray, cut: float) -> float:
    called = logits > cut
    return float((called & mask).sum() / (called | mask).sum())


def found_on(
    probe: SegmentationProbe, stream: ConceptDataModule, maps: Callable[..., Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    return thresholds_on(
        probe.pixels,
        maps or probe.logits,
        stream,
        stream.scored_rows["train"],
        num_banks=len(SEEDS),
        num_concepts=CONCEPTS,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_counts_are_those_of_a_loop_over_banks_and_concepts(split: str) -> None:
    world = worlds()
    probe, stream = moved(world.probe()), world.stream()
    counts, ap = score_bank(probe, stream, stream.scored_rows[split])
    for (bank, concept), (logits, mask) in pixels(probe, world, split).items():
        mine = counts.concept == concept
        called = logits > 0
        inside, union = (called & mask).sum((1, 2)), (called | mask).sum((1, 2))
        assert counts.intersection[bank, mine].tolist() == inside.tolist()
        assert counts.union[bank, mine].tolist() == union.tolist()
    assert ap.shape == (2, CONCEPTS)
    assert ap.isfinite().all()


@pytest.mark.parametrize("ap", [True, False])
def test_maps_of_ones_own_are_scored_as_those_of_a_bank(ap: bool) -> None:
    world = worlds()
    probe, stream = moved(world.probe()), world.stream()
    rows = stream.scored_rows["val"]
    counts, precision = score_all(
        probe.pixels,
        lambda batch: probe.logits(batch)[1:].expand(3, -1, -1, -1),
        stream,
        rows,
        num_banks=3,
        num_concepts=CONCEPTS,
        device=torch.device("cpu"),
        ap=ap,
    )
    own, of_own = score_bank(probe, stream, rows)
    assert torch.equal(counts.concept, own.concept)
    assert torch.equal(counts.image, own.image)
    for bank in range(3):
        assert torch.equal(counts.intersection[bank], own.intersection[1])
        assert torch.equal(counts.union[bank], own.union[1])
        if ap:
            assert torch.equal(precision[bank], of_own[1])
    assert precision.shape == (3, CONCEPTS)
    assert bool(precision.isnan().all()) != ap


def test_a_single_concept_and_a_single_bank_keep_their_shape() -> None:
    world = World(PlantedReader(), Protocol(bias=True), names=("concept 2",))
    probe, stream = world.probe(), world.stream()
    counts, ap = score_bank(probe, stream, stream.scored_rows["val"])
    assert ap.shape == counts.set_iou(1).shape == (1, 1)
    score = calibrate(probe, stream, stream.scored_rows["train"])
    assert score.shape == (1, 1)


@pytest.mark.parametrize("reads", ["raw", "bits"])
def test_a_threshold_is_the_best_of_all_floors_of_bins(reads: str) -> None:
    world = worlds(reads)
    probe = moved(world.probe())
    threshold, score = found_on(probe, world.stream())
    assert threshold.shape == score.shape == (2, CONCEPTS)
    for (bank, concept), (logits, mask) in pixels(probe, world, "train").items():
        floors = [iou(logits, mask, floor) for floor in bin_floors().tolist()]
        here = score[bank, concept].item()
        assert here == pytest.approx(max(floors), abs=1e-3)
        assert iou(logits, mask, threshold[bank, concept].item()) == pytest.approx(here, abs=1e-3)
        cuts = np.nextafter(np.unique(logits), -np.inf)
        some = cuts[:: max(1, len(cuts) // 500)]
        assert here >= max(iou(logits, mask, cut) for cut in some) - 0.01
        assert here > iou(logits, mask, 0.0) - 1e-3


def test_maps_may_be_anything_that_pairs_have() -> None:
    """Where all maps are 2, the threshold lies below 2, and the score is the share of pixels."""
    world = worlds()
    probe, stream = world.probe(), world.stream()
    ones = found_on(probe, stream, lambda batch: torch.full((2, len(batch.concept), 6, 6), 2.0))
    for (bank, concept), (_, mask) in pixels(probe, world, "train").items():
        assert 1.9 < ones[0][bank, concept] < 2.0
        assert ones[1][bank, concept] == pytest.approx(mask.mean(), abs=1e-12)


@pytest.mark.parametrize("reads", ["raw", "bits"])
def test_a_calibrated_bank_scores_what_it_was_promised(reads: str) -> None:
    world = worlds(reads)
    probe, stream = moved(world.probe()), world.stream()
    rows = stream.scored_rows["train"]
    assert probe.bank.bias is not None
    before, bias = score_bank(probe, stream, rows)[0].set_iou(CONCEPTS), probe.bank.bias.clone()
    weight, (threshold, _) = probe.bank.weight.clone(), found_on(probe, stream)
    promised = calibrate(probe, stream, rows)
    after = score_bank(probe, stream, rows)[0].set_iou(CONCEPTS)
    torch.testing.assert_close(after, promised, rtol=0, atol=1e-3)
    assert (after >= before - 1e-3).all()
    assert (after > before + 0.01).any()
    assert torch.equal(probe.bank.weight, weight)
    expected = bias.double() - threshold.flatten()
    torch.testing.assert_close(probe.bank.bias.double(), expected, rtol=0, atol=1e-6)


def test_to_calibrate_again_changes_no_mask() -> None:
    """Scores of bits lie apart: the threshold only comes nearer to the lowest that is called."""
    world = worlds("bits")
    world.reader = PlantedReader()  # nothing is upsampled
    probe, stream = moved(world.probe()), world.stream()
    rows = stream.scored_rows["train"]
    promised = calibrate(probe, stream, rows)
    once = score_bank(probe, stream, rows)[0]
    assert torch.equal(calibrate(probe, stream, rows), promised)
    twice = score_bank(probe, stream, rows)[0]
    assert torch.equal(once.intersection, twice.intersection)
    assert torch.equal(once.union, twice.union)


def in_a_share(_rank: int) -> tuple[list[float], list[float], list[float]]:
    world = worlds()
    probe, stream = moved(world.probe()), world.stream()
    threshold, score = found_on(probe, stream)
    calibrate(probe, stream, stream.scored_rows["train"])
    assert probe.bank.bias is not None
    return (
        threshold.flatten().tolist(),
        score.flatten().tolist(),
        probe.bank.bias.detach().tolist(),
    )


def test_two_processes_choose_what_one_chooses() -> None:
    assert in_processes(in_a_share) == 2 * [in_a_share(0)]
