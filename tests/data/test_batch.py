from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import oracles
from support.fake_data.broden import (
    IMAGE_SIZE,
    MASK_SIZE,
    FakeImage,
    random_images,
    write_broden_fixture,
)

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.batch import (
    BitBatch,
    ConceptBatch,
    ImageBatch,
    PairIndex,
    annotated_for,
    collate,
)
from net2vec_pl.data.scan import Scan, scan_files
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.functional import Fired, pack_bits

Dataset = tuple[Path, BrodenReader, Scan]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_broden_fixture(tmp_path_factory.mktemp("broden"), random_images(18, seed=2))
    reader = BrodenReader(folder)
    return folder, reader, scan_files(reader)


def batch_of(dataset: Dataset, rows: list[int], vocabulary: Vocabulary) -> ImageBatch:
    _, reader, scan = dataset
    index = PairIndex(vocabulary, scan, len(reader))
    return collate(rows, [reader[row] for row in rows], index, IMAGE_SIZE, MASK_SIZE)


def some_concepts(reader: BrodenReader) -> Vocabulary:
    """Return concepts whose rows follow neither the numbers nor the dataset."""
    names = ["lid", "red-c", "wheel", "door"]
    return Vocabulary(reader.vocabulary[reader.vocabulary.row(name)] for name in names)


def bit_batch(pairs_of: list[int], size: tuple[int, int] = (3, 5), seed: int = 0) -> BitBatch:
    """Return random bits and masks of images with so many pairs each."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.arange(len(pairs_of)).repeat_interleave(torch.tensor(pairs_of).long())
    bits = torch.rand(len(pairs_of), 4, 2, 3, generator=generator) < 0.3
    masks = torch.rand(len(image), *size, generator=generator) < 0.5
    return BitBatch(
        row=torch.arange(len(pairs_of)) + 10,
        image=image,
        concept=torch.arange(len(image)) % 7,
        places=Fired.of(bits).places,
        shape=(4, 2, 3),
        packed_masks=pack_bits(masks.flatten(1)),
        mask_size=size,
    )


def tensors(batch: ConceptBatch) -> list[torch.Tensor]:
    return [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]


def test_pairs_are_each_image_with_the_probed_concepts_in_it(dataset: Dataset) -> None:
    folder, reader, scan = dataset
    vocabulary, data = some_concepts(reader), oracles.read_broden(folder)
    table = oracles.present(data)
    index = PairIndex(vocabulary, scan, len(reader))
    for row in range(len(reader)):
        expected = {c for c, n in enumerate(vocabulary.numbers.tolist()) if table[row, n]}
        assert set(index[row].tolist()) == expected
        assert len(index[row]) == len(expected)
        assert index.pairs_per_image[row] == len(expected)
    rows = np.array([4, 0, 2])
    np.testing.assert_array_equal(index.present(rows), table[rows][:, vocabulary.numbers])


def test_rows_that_cannot_be_read_have_no_pairs(dataset: Dataset) -> None:
    _, reader, scan = dataset
    keep = scan.row != 3
    entries = (scan.row[keep], scan.number[keep], scan.pixels[keep])
    partial = Scan(*entries, np.delete(scan.readable, 3), ((3, "gone"),), scan.digest)
    index = PairIndex(some_concepts(reader), partial, len(reader))
    assert index.pairs_per_image[3] == 0
    assert len(index[3]) == 0
    whole = PairIndex(some_concepts(reader), scan, len(reader))
    assert index[4].tolist() == whole[4].tolist()


def test_concepts_with_numbers_beyond_the_dataset_have_no_pairs(dataset: Dataset) -> None:
    _, reader, scan = dataset
    few = scan.number < 100
    entries = (scan.row[few], scan.number[few], scan.pixels[few])
    index = PairIndex(some_concepts(reader), Scan(*entries, scan.readable, (), ""), len(reader))
    assert all(0 not in index[row] for row in range(len(reader)))  # row 0 is the lid, 300


def test_masks_of_a_batch_are_the_oracles(dataset: Dataset) -> None:
    folder, reader, _ = dataset
    vocabulary, data = some_concepts(reader), oracles.read_broden(folder)
    rows = [5, 0, 11, 17, 3, 2]
    batch = batch_of(dataset, rows, vocabulary)
    masks = batch.masks(slice(None))
    assert masks.shape == (len(batch.image), *MASK_SIZE)
    assert batch.whole.any()
    for pair, mask in enumerate(masks):
        row = data["rows"][rows[int(batch.image[pair])]]
        number = vocabulary[int(batch.concept[pair])].number
        assert int(batch.number[pair]) == number
        np.testing.assert_array_equal(mask.numpy(), oracles.label_mask(row, number))


def test_masks_of_some_pairs_are_a_part_of_all_masks(dataset: Dataset) -> None:
    batch = batch_of(dataset, [0, 1, 2, 3], some_concepts(dataset[1]))
    assert torch.equal(batch.masks(slice(2, 5)), batch.masks(slice(None))[2:5])


def test_every_pair_has_pixels(dataset: Dataset) -> None:
    _, reader, _ = dataset
    batch = batch_of(dataset, list(range(len(reader))), reader.vocabulary)
    assert batch.masks(slice(None)).flatten(1).any(1).all()


def test_images_with_fewer_layers_are_padded_with_unlabelled(dataset: Dataset) -> None:
    _, reader, _ = dataset
    layers = [reader[row].label_maps.shape[0] for row in range(len(reader))]
    rows = [int(np.argmin(layers)), int(np.argmax(layers))]
    assert layers[rows[0]] < layers[rows[1]]
    batch = batch_of(dataset, rows, reader.vocabulary)
    assert batch.label_maps.shape[1] == layers[rows[1]]
    assert not batch.label_maps[0, layers[rows[0]] :].any()
    for i, row in enumerate(rows):
        assert torch.equal(batch.label_maps[i, : layers[row]], reader[row].label_maps)
        assert torch.equal(batch.images[i], reader[row].image)


def test_pairs_by_image_cut_the_pairs_at_each_image(dataset: Dataset) -> None:
    _, reader, scan = dataset
    vocabulary = Vocabulary([reader.vocabulary[reader.vocabulary.row("door")]])
    index = PairIndex(vocabulary, scan, len(reader))
    empty = int(np.flatnonzero(index.pairs_per_image == 0)[0])
    full = np.flatnonzero(index.pairs_per_image)[:2].tolist()
    batch = batch_of(dataset, [empty, full[0], empty, full[1], empty], vocabulary)
    slices = batch.pairs_by_image()
    assert [(s.start, s.stop) for s in slices] == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]


def test_a_batch_without_pairs_can_be_made(dataset: Dataset) -> None:
    _, reader, scan = dataset
    vocabulary = Vocabulary([reader.vocabulary[reader.vocabulary.row("paint")]])
    index = PairIndex(vocabulary, scan, len(reader))
    assert not index.pairs_per_image.any()
    batch = batch_of(dataset, [0, 1], vocabulary)
    assert batch.masks(slice(None)).shape == (0, *MASK_SIZE)
    assert batch.pairs_by_image() == [slice(0, 0), slice(0, 0)]


def test_a_batch_without_images_can_be_made(dataset: Dataset) -> None:
    batch = batch_of(dataset, [], dataset[1].vocabulary)
    assert batch.images.shape == (0, 3, *IMAGE_SIZE)
    assert batch.masks(slice(None)).shape == (0, *MASK_SIZE)
    assert batch.pairs_by_image() == []


def test_moving_a_batch_moves_all_of_it(dataset: Dataset) -> None:
    for batch in (batch_of(dataset, [0, 1], dataset[1].vocabulary), bit_batch([2, 1])):
        moved = batch.to("meta")
        assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
        assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}
        assert type(moved) is type(batch)
        assert len(tensors(moved)) == len(tensors(batch))


def test_moving_bits_keeps_their_shape() -> None:
    batch = bit_batch([2, 0, 1])
    moved = batch.to("cpu")
    assert moved.shape == batch.shape
    assert moved.mask_size == batch.mask_size
    assert torch.equal(moved.fired.dense(), batch.fired.dense())


# -------------------- all the pairs of many rows


@given(rows=st.lists(st.integers(0, 17), max_size=12))
def test_pairs_of_many_rows_are_those_of_each(dataset: Dataset, rows: list[int]) -> None:
    _, reader, scan = dataset
    index = PairIndex(some_concepts(reader), scan, len(reader))
    image, concept = index.all_of(np.array(rows, dtype=np.int64))
    expected = [(i, c) for i, row in enumerate(rows) for c in index[row].tolist()]
    assert list(zip(image.tolist(), concept.tolist(), strict=True)) == expected


# -------------------- bits


@given(
    pairs_of=st.lists(st.integers(0, 3), max_size=5),
    start=st.integers(0, 15),
    length=st.integers(0, 15),
    size=st.sampled_from([(3, 5), (4, 4), (1, 1)]),
)
def test_masks_of_some_packed_pairs_are_a_part_of_all_masks(
    pairs_of: list[int], start: int, length: int, size: tuple[int, int]
) -> None:
    batch = bit_batch(pairs_of, size)
    every = torch.rand(len(pairs_of), 4, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.3
    assert torch.equal(batch.fired.dense(), every)
    masks = batch.masks(slice(None))
    assert masks.shape == (sum(pairs_of), *size)
    some = slice(start, start + length)
    assert torch.equal(batch.masks(some), masks[some])


def test_packed_masks_come_back_as_they_were() -> None:
    batch = bit_batch([1, 0, 2])
    generator = torch.Generator().manual_seed(0)
    torch.rand(3, 4, 2, 3, generator=generator)  # the bits come first
    assert torch.equal(batch.masks(slice(None)), torch.rand(3, 3, 5, generator=generator) < 0.5)
    assert batch.pairs_by_image() == [slice(0, 1), slice(1, 1), slice(1, 3)]


def test_images_are_annotated_for_a_concept_by_its_primary_category(tmp_path: Path) -> None:
    cell = np.full(MASK_SIZE, 256)
    images = [
        FakeImage("a.png", "train", {"object": [cell]}),
        FakeImage("b.png", "train", {"part": [cell * 0 + 300], "color": [cell * 0 + 2]}),
        FakeImage("c.png", "val", {"color": [cell * 0 + 2], "scene": [70]}),
    ]
    reader = BrodenReader(write_broden_fixture(tmp_path, images))
    names = ["door", "wheel", "red-c", "street-s"]
    vocabulary = Vocabulary(
        replace(reader.vocabulary[reader.vocabulary.row(name)], category=category)
        for name, category in zip(names, ("part", "object", "color", "scene"), strict=True)
    )
    assert annotated_for(vocabulary, reader, np.array([2, 0, 1])).tolist() == [
        [False, False, True, True],
        [False, True, False, False],
        [True, False, True, False],
    ]
