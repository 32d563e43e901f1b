"""The cache: batches made from it are the streamed ones, with bits for images."""

import numpy as np
import pytest
import torch
from planted import PlantedReader, World

from net2vec_pl.activations import MemoryCache, fill_cache, fire
from net2vec_pl.data import (
    BitBatch,
    ConceptDataModule,
    ImageBatch,
    ShapesReader,
    select_concepts,
    take_census,
)
from net2vec_pl.protocol import Protocol


def filled(world: World) -> MemoryCache:
    probe, stream = world.probe(), world.stream()
    loader = stream.rows_dataloader(stream.all_rows)
    cache = fill_cache(probe.backbone, probe.thresholds, loader, len(world.reader), 1 << 30)
    assert cache is not None
    return cache


def test_a_batch_from_the_cache_is_the_streamed_one_with_bits_for_images(
    reader: PlantedReader,
) -> None:
    world = World(reader, Protocol())
    probe, stream = world.probe(), world.stream()
    kept = stream.from_source(filled(world))
    pairs = zip(stream.train_dataloader(), kept.train_dataloader(), strict=True)
    for streamed, cached in pairs:
        assert isinstance(cached, BitBatch)
        for name in ("row", "label_maps", "image", "concept", "number", "whole"):
            assert torch.equal(getattr(streamed, name), getattr(cached, name)), name
        fired = fire(probe.backbone, probe.thresholds, streamed)
        assert torch.equal(fire(probe.backbone, probe.thresholds, cached), fired)


def test_layers_of_labels_and_whole_images_come_back_though_images_have_different_ones() -> None:
    reader = ShapesReader(num_images=30, image_size=32)
    census = take_census(reader)
    vocabulary = select_concepts(reader, census).vocabulary
    stream = ConceptDataModule(reader, vocabulary, census, batch_size=7)
    cache = MemoryCache()
    for batch in stream.rows_dataloader(stream.all_rows):
        assert isinstance(batch, ImageBatch)
        cache.add(batch, torch.rand(len(batch.row), 3, 2, 2) > 0.5)
    order = np.random.default_rng(0).permutation(stream.all_rows)
    streamed = stream.rows_dataloader(order)
    cached = stream.from_source(cache).rows_dataloader(order)
    for one, two in zip(streamed, cached, strict=True):
        assert torch.equal(one.concept, two.concept)
        assert torch.equal(one.masks(slice(None)), two.masks(slice(None)))


def test_a_cache_takes_a_small_part_of_the_float32_activations() -> None:
    world = World(PlantedReader(num_images=16), Protocol())
    cache = filled(world)
    bits = sum(cache[row][1].bits.nbytes for row in range(16))
    assert bits == 16 * 3 * -(-36 // 8)
    assert cache.num_bytes > bits


@pytest.mark.parametrize(("max_bytes", "fits"), [(1, False), (1 << 30, True)])
def test_a_cache_that_would_not_fit_is_given_up_after_the_first_batch(
    max_bytes: int, fits: bool, reader: PlantedReader, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(reader, Protocol())
    probe, stream = world.probe(), world.stream()
    loader = stream.rows_dataloader(stream.all_rows)
    with caplog.at_level("INFO"):
        cache = fill_cache(probe.backbone, probe.thresholds, loader, len(reader), max_bytes)
    assert (cache is not None) == fits
    assert ("more than cache.max_gib" in caplog.text) != fits
