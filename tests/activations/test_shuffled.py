"""What a cache in memory keeps besides bits: masks of other images, and the activations."""

from collections import Counter

import numpy as np
import pytest
import torch
from support.planted import PlantedReader, World
from torch import Tensor, nn

from net2vec_pl.activations import MemoryCache, MemorySink, respond, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import BitBatch, ConceptDataModule
from net2vec_pl.errors import BackboneError
from net2vec_pl.protocol import Protocol

CPU = torch.device("cpu")
MIXED = np.array([*range(4, 30), 0, 36])  # in no particular order


@pytest.fixture(scope="module")
def stream(reader: PlantedReader) -> ConceptDataModule:
    return World(reader, Protocol(), batch_size=7).stream()


def frozen(reader: PlantedReader) -> list[FrozenBackbone]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 2))
    first = FrozenBackbone(network, "0", InputScaling.named("unit"), reader.image_size)
    return [first, first.at("1")]


def caches(
    reader: PlantedReader, stream: ConceptDataModule, dense_rows: list[int] | None = None
) -> list[MemoryCache]:
    backbones = frozen(reader)
    kept = None if dense_rows is None else np.array(dense_rows)
    sink = MemorySink([b.shape for b in backbones], reader.mask_size, CPU, dense_rows=kept)
    rows = stream.all_rows
    survey(backbones, stream, 0.05, threshold_rows=rows, sink=sink, sink_rows=rows)
    return sink.caches()


def masks_of(cache: MemoryCache, row: int) -> dict[int, bytes]:
    """Return the mask of every concept of an image."""
    batch = cache.collate([row])
    masks = batch.masks(slice(None)).numpy()
    return {c: m.tobytes() for c, m in zip(batch.concept.tolist(), masks, strict=True)}


@pytest.mark.parametrize("seed", [0, 1])
def test_masks_change_places_within_a_concept_and_the_given_images_only(
    reader: PlantedReader, stream: ConceptDataModule, seed: int
) -> None:
    cache = caches(reader, stream)[0]
    before = {row: masks_of(cache, row) for row in range(len(reader))}
    mixed = cache.shuffled(MIXED, seed)
    after = {row: masks_of(mixed, row) for row in range(len(reader))}
    for row in range(len(reader)):
        assert list(after[row]) == list(before[row])  # the concepts of an image stay
        if row not in MIXED:
            assert after[row] == before[row]
    for concept in range(3):
        rows = [row for row in MIXED.tolist() if concept in before[row]]
        kept = [before[row][concept] for row in rows]
        given = [after[row][concept] for row in rows]
        assert Counter(given) == Counter(kept)
        assert sum(one == other for one, other in zip(given, kept, strict=True)) < len(rows) / 2
    assert {row: masks_of(cache, row) for row in range(len(reader))} == before


def test_bits_and_pairs_stay_and_the_seed_decides(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    cache = caches(reader, stream)[1]
    one, again, other = (cache.shuffled(MIXED, seed) for seed in (3, 3, 4))
    rows = [*range(len(reader))][::-1]
    plain = cache.collate(rows)
    for mixed in (one, again, other):
        batch = mixed.collate(rows)
        for name in ("row", "image", "concept", "places"):
            assert torch.equal(getattr(batch, name), getattr(plain, name))
    assert torch.equal(one.collate(rows).packed_masks, again.collate(rows).packed_masks)
    assert not torch.equal(one.collate(rows).packed_masks, other.collate(rows).packed_masks)


@pytest.mark.parametrize("rows", [[], [5]])
def test_masks_that_have_nowhere_to_go_stay(
    reader: PlantedReader, stream: ConceptDataModule, rows: list[int]
) -> None:
    cache = caches(reader, stream)[0]
    mixed = cache.shuffled(np.array(rows, dtype=np.int64), 0)
    for row in range(len(reader)):
        assert masks_of(mixed, row) == masks_of(cache, row)


# -------------------- activations


def test_activations_come_back_in_half_precision(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    kept = [*range(len(reader))][::-1]
    rows = [31, 2, 17, 4]
    found = caches(reader, stream, kept)
    for cache, bare, backbone in zip(found, caches(reader, stream), frozen(reader), strict=True):
        answer: Tensor = backbone(reader.images)
        batch = cache.collate(rows)
        assert batch.activation is not None
        assert batch.activation.dtype == torch.float16
        assert torch.equal(batch.activation, answer[rows].half())
        assert torch.equal(respond(backbone, batch), answer[rows].half().float())
        assert torch.equal(cache.shuffled(MIXED, 0).collate(rows).activation, batch.activation)  # type: ignore[arg-type]
        assert torch.equal(bare.collate(rows).places, batch.places)
        size = 2 * len(reader) * answer[0].numel()
        assert cache.num_bytes == bare.num_bytes + size


def test_a_batch_without_images_has_activations_of_none(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    batch = caches(reader, stream, [*range(len(reader))])[0].collate([])
    assert batch.activation is not None
    assert batch.activation.shape == (0, 5, 4, 4)


def test_bits_alone_hold_no_activations(reader: PlantedReader, stream: ConceptDataModule) -> None:
    batch = caches(reader, stream)[0].collate([1])
    assert batch.activation is None
    with pytest.raises(AssertionError, match="only bits were kept"):
        respond(frozen(reader)[0], batch)


def test_activations_move_with_their_batch(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    batch = caches(reader, stream, [*range(len(reader))])[0].collate([3, 4])
    moved = batch.to("meta")
    assert isinstance(moved, BitBatch)
    assert moved.activation is not None
    assert moved.activation.device.type == "meta"
    assert caches(reader, stream)[0].collate([3]).to("meta").activation is None


@pytest.mark.parametrize("value", [7e4, -7e4])
def test_what_half_precision_cannot_hold_is_refused(value: float) -> None:
    sink = MemorySink([(2, 1, 1)], (3, 3), CPU, dense_rows=np.arange(2))
    sink.see(0, torch.tensor([0]), torch.full((1, 2, 1, 1), 6e4))
    with pytest.raises(BackboneError, match="half precision"):
        sink.see(0, torch.tensor([1]), torch.full((1, 2, 1, 1), value))
