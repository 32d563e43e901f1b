from pathlib import Path

import numpy as np
import oracles
import pytest
import torch
from fake_data.broden import MASK_SIZE, random_images, write_broden_fixture

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.batch import ImageBatch, PairIndex, collate
from net2vec_pl.data.broden import BrodenReader
from net2vec_pl.data.census import Census, take_census

Dataset = tuple[Path, BrodenReader, Census]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_broden_fixture(tmp_path_factory.mktemp("broden"), random_images(18, seed=2))
    reader = BrodenReader(folder)
    return folder, reader, take_census(reader)


def batch_of(dataset: Dataset, rows: list[int], vocabulary: Vocabulary) -> ImageBatch:
    _, reader, census = dataset
    index = PairIndex(vocabulary, census, len(reader))
    samples = [reader[row] for row in rows]
    return collate(rows, samples, [index[row] for row in rows], index.numbers)


def some_concepts(reader: BrodenReader) -> Vocabulary:
    """Return concepts whose rows follow neither the numbers nor the dataset."""
    names = ["lid", "red-c", "wheel", "door"]
    return Vocabulary(reader.vocabulary[reader.vocabulary.row(name)] for name in names)


def test_pairs_are_each_image_with_the_probed_concepts_in_it(dataset: Dataset) -> None:
    folder, reader, census = dataset
    vocabulary, data = some_concepts(reader), oracles.read_broden(folder)
    table = oracles.present(data)
    index = PairIndex(vocabulary, census, len(reader))
    for row in range(len(reader)):
        expected = {c for c, n in enumerate(vocabulary.numbers.tolist()) if table[row, n]}
        assert set(index[row].tolist()) == expected
        assert len(index[row]) == len(expected)
        assert index.pairs_per_image[row] == len(expected)


def test_rows_that_cannot_be_read_have_no_pairs(dataset: Dataset) -> None:
    _, reader, census = dataset
    keep = census.row != 3
    entries = (census.row[keep], census.number[keep], census.pixels[keep])
    partial = Census(*entries, np.delete(census.readable, 3), ((3, "gone"),), census.digest)
    index = PairIndex(some_concepts(reader), partial, len(reader))
    assert index.pairs_per_image[3] == 0
    assert len(index[3]) == 0
    whole = PairIndex(some_concepts(reader), census, len(reader))
    assert index[4].tolist() == whole[4].tolist()


def test_concepts_with_numbers_beyond_the_dataset_have_no_pairs(dataset: Dataset) -> None:
    _, reader, census = dataset
    few = census.number < 100
    entries = (census.row[few], census.number[few], census.pixels[few])
    index = PairIndex(some_concepts(reader), Census(*entries, census.readable, (), ""), len(reader))
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
    _, reader, census = dataset
    vocabulary = Vocabulary([reader.vocabulary[reader.vocabulary.row("door")]])
    index = PairIndex(vocabulary, census, len(reader))
    empty = int(np.flatnonzero(index.pairs_per_image == 0)[0])
    full = np.flatnonzero(index.pairs_per_image)[:2].tolist()
    batch = batch_of(dataset, [empty, full[0], empty, full[1], empty], vocabulary)
    slices = batch.pairs_by_image()
    assert [(s.start, s.stop) for s in slices] == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]


def test_a_batch_without_pairs_can_be_made(dataset: Dataset) -> None:
    _, reader, census = dataset
    vocabulary = Vocabulary([reader.vocabulary[reader.vocabulary.row("paint")]])
    index = PairIndex(vocabulary, census, len(reader))
    assert not index.pairs_per_image.any()
    batch = batch_of(dataset, [0, 1], vocabulary)
    assert batch.masks(slice(None)).shape == (0, *MASK_SIZE)
    assert batch.pairs_by_image() == [slice(0, 0), slice(0, 0)]


def test_moving_a_batch_moves_all_of_it(dataset: Dataset) -> None:
    batch = batch_of(dataset, [0, 1], dataset[1].vocabulary)
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in vars(moved).values()} == {"meta"}
    assert {tensor.device.type for tensor in vars(batch).values()} == {"cpu"}
