from pathlib import Path

import numpy as np
import oracles
import pytest
import torch
from fake_data.broden import random_images, write_broden_fixture
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from net2vec_pl.data.batch import ConceptBatch
from net2vec_pl.data.broden import BrodenReader
from net2vec_pl.data.census import take_census
from net2vec_pl.data.datamodule import ConceptDataModule, EpochSampler, epoch_order
from net2vec_pl.data.selection import select_concepts

DAMAGED = (4, 8)  # a train row and a val row
ROWS = 26


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_broden_fixture(tmp_path_factory.mktemp("broden"), random_images(ROWS, seed=4))
    for row in DAMAGED:
        (path / "images" / "some" / f"{row:03d}.jpg").write_bytes(b"")
    return path


def open_module(
    folder: Path,
    *,
    names: list[str] | None = None,
    batch_size: int = 4,
    workers: int = 0,
    seed: int = 0,
    shuffle: bool = True,
) -> ConceptDataModule:
    reader = BrodenReader(folder)
    census = take_census(reader, on_error="skip")
    vocabulary = select_concepts(reader, census, names=names).vocabulary
    return ConceptDataModule(
        reader,
        vocabulary,
        census,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        shuffle=shuffle,
    )


def rows_of(loader: DataLoader[ConceptBatch], epoch: int = 0) -> list[int]:
    """Return the rows an epoch visits, told as Lightning tells it."""
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(epoch)
    return [row for batch in loader for row in batch.row.tolist()]


def sound_rows(folder: Path, split: str) -> list[int]:
    data = oracles.read_broden(folder)
    rows = enumerate(data["rows"])
    return [i for i, row in rows if row["split"] == split and i not in DAMAGED]


def test_every_readable_row_comes_once_and_no_other(folder: Path) -> None:
    module = open_module(folder)
    assert sorted(rows_of(module.train_dataloader())) == sound_rows(folder, "train")
    assert rows_of(module.val_dataloader()) == sound_rows(folder, "val")
    assert rows_of(module.rows_dataloader(module.all_rows)) == [
        row for row in range(ROWS) if row not in DAMAGED
    ]
    assert module.train_rows.tolist() == sound_rows(folder, "train")


def test_images_without_a_probed_concept_are_not_trained_on(folder: Path) -> None:
    module = open_module(folder, names=["door"])
    data = oracles.read_broden(folder)
    table = oracles.present(data)
    for split, rows in (
        ("train", sorted(rows_of(module.train_dataloader()))),
        ("val", rows_of(module.val_dataloader())),
    ):
        expected = oracles.concept_images(data, table, split, 61)
        assert rows == [row for row in expected if row not in DAMAGED]
        assert len(rows) < len(sound_rows(folder, split))
    assert module.train_rows.tolist() == sound_rows(folder, "train")  # thresholds need them all


def test_pairs_and_masks_are_the_oracles(folder: Path) -> None:
    module = open_module(folder)
    data = oracles.read_broden(folder)
    table = oracles.present(data)
    numbers = set(module.index.numbers.tolist())
    for batch in (*module.train_dataloader(), *module.val_dataloader()):
        masks = batch.masks(slice(None))
        rows = batch.row[batch.image].tolist()
        found = set(zip(rows, batch.number.tolist(), strict=True))
        assert len(found) == len(rows)
        assert found == {(i, n) for i in batch.row.tolist() for n in numbers if table[i, n]}
        for row, number, mask in zip(rows, batch.number.tolist(), masks, strict=True):
            np.testing.assert_array_equal(
                mask.numpy(), oracles.label_mask(data["rows"][row], number)
            )


def test_the_order_is_a_function_of_seed_and_epoch(folder: Path) -> None:
    def order(seed: int, epoch: int, batch_size: int = 4) -> list[int]:
        torch.manual_seed(batch_size)  # the global generator plays no part
        module = open_module(folder, seed=seed, batch_size=batch_size)
        return rows_of(module.train_dataloader(), epoch)

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2, batch_size=7)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=1)


def test_two_images_come_in_the_same_order_whatever_is_probed(folder: Path) -> None:
    every = rows_of(open_module(folder).train_dataloader(), epoch=3)
    some = rows_of(open_module(folder, names=["door"]).train_dataloader(), epoch=3)
    assert some == [row for row in every if row in some]
    assert len(some) < len(every)


def test_without_shuffling_rows_come_in_order_every_epoch(folder: Path) -> None:
    loader = open_module(folder, shuffle=False).train_dataloader()
    assert rows_of(loader, 0) == rows_of(loader, 1) == sound_rows(folder, "train")


def test_val_rows_come_in_order_every_epoch(folder: Path) -> None:
    loader = open_module(folder).val_dataloader()
    assert rows_of(loader, 0) == rows_of(loader, 1) == sound_rows(folder, "val")


def test_rows_are_visited_in_the_order_given(folder: Path) -> None:
    module = open_module(folder)
    assert rows_of(module.rows_dataloader(np.array([7, 0, 13, 2, 1]))) == [7, 0, 13, 2, 1]


def test_workers_give_the_same_batches(folder: Path) -> None:
    alone, together = (open_module(folder, workers=n).train_dataloader() for n in (0, 2))
    assert together.num_workers == 2
    for epoch in (0, 1):
        for loader in (alone, together):
            assert isinstance(loader.sampler, EpochSampler)
            loader.sampler.set_epoch(epoch)
        for one, other in zip(alone, together, strict=True):
            for name, tensor in vars(one).items():
                assert torch.equal(tensor, vars(other)[name])


def test_the_last_batch_may_be_short(folder: Path) -> None:
    module = open_module(folder, batch_size=5)
    sizes = [len(batch.row) for batch in module.rows_dataloader(module.all_rows)]
    assert sizes == [5, 5, 5, 5, 4]


def test_lightning_moves_a_batch(folder: Path) -> None:
    module = open_module(folder)
    batch = next(iter(module.val_dataloader()))
    moved = module.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.label_maps.device.type == "meta"


@given(
    count=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
)
def test_an_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    rows = np.arange(count) * 3 + 1
    order = epoch_order(rows, seed, epoch)
    np.testing.assert_array_equal(np.sort(order), rows)
    np.testing.assert_array_equal(order, epoch_order(rows, seed, epoch))
    np.testing.assert_array_equal(epoch_order(rows, seed, epoch, shuffle=False), rows)
