"""Masks of other images: who gets whose, and that images and caches give the same."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.planted import PlantedReader, World

from net2vec_pl.activations.exchange import MaskedImages, exchanged, pairs_of, partners
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.protocol import Protocol


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_none_gets_itself_and_as_few_as_can_be_one_of_their_group(
    sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    other = partners(group, rng)
    count, largest = len(group), max(sizes)
    assert sorted(other.tolist()) == list(range(count))
    if count > 1:
        assert (other != np.arange(count)).all()
    assert (group[other] == group).sum() == max(2 * largest - count, 0)


def test_every_other_image_is_drawn_about_as_often() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(int(partners(np.arange(5), rng)[0]) for _ in range(4000))
    assert set(drawn) == {1, 2, 3, 4}
    assert min(drawn.values()) > 900


@pytest.fixture(scope="module")
def stream(reader: PlantedReader) -> ConceptDataModule:
    return World(reader, Protocol(), batch_size=7).stream()


@pytest.mark.parametrize("grouped", [False, True])
def test_images_come_with_the_masks_of_others(
    reader: PlantedReader, stream: ConceptDataModule, grouped: bool
) -> None:
    rows = stream.pair_rows["train"]
    groups = np.arange(len(reader)) // 4 if grouped else None
    pairs, areas = pairs_of(stream.source, rows)
    images = MaskedImages(stream.source, *exchanged(pairs, areas, rows, 3, groups))
    plain = stream.source.collate([stream.source[row] for row in rows.tolist()])
    mixed = images.collate([images[row] for row in rows.tolist()])
    assert torch.equal(mixed.images, plain.images)  # type: ignore[attr-defined]
    assert torch.equal(mixed.concept, plain.concept)
    before, after = (batch.masks(slice(None)).flatten(1).numpy() for batch in (plain, mixed))
    rng = np.random.default_rng(3)
    for c in np.unique(plain.concept):
        mine = np.flatnonzero(plain.concept == c)
        of = rows[plain.image[mine]]
        other = partners(of if groups is None else groups[of], rng)
        assert (after[mine] == before[mine[other]]).all()
        if groups is not None:
            assert (groups[of[other]] != groups[of]).all()
    few = images.collate([])
    assert len(few.row) == len(few.packed_masks) == 0


def test_pairs_of_absent_concepts_have_empty_masks(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    rows = stream.pair_rows["train"][:6]
    images = MaskedImages(stream.source, *exchanged(*pairs_of(stream.source, rows), rows, 0))
    batch = images.collate([images[row] for row in rows.tolist()])
    pairs = len(batch.concept)
    image = torch.cat([batch.image, torch.tensor([5])])
    wider = batch.extended(
        image, torch.cat([batch.concept, torch.tensor([0])]), torch.arange(pairs)
    )
    masks = wider.masks(slice(None))
    assert torch.equal(masks[:pairs], batch.masks(slice(None)))
    assert not masks[pairs].any()
