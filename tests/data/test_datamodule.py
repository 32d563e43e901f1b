from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import oracles
from support.fake_data.broden import MASK_SIZE, FakeImage, random_images, write_broden_fixture
from torch.utils.data import DataLoader

from net2vec_pl import processes
from net2vec_pl.data.batch import ConceptBatch, ImageBatch
from net2vec_pl.data.datamodule import (
    ConceptDataModule,
    EpochSampler,
    SharedBatches,
    epoch_order,
)
from net2vec_pl.data.scan import scan_files
from net2vec_pl.data.selection import select_concepts
from net2vec_pl.datasets.broden.reader import BrodenReader

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
    scan = scan_files(reader, on_error="skip")
    vocabulary = select_concepts(reader, scan, names=names).vocabulary
    return ConceptDataModule(
        reader,
        vocabulary,
        scan,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        shuffle=shuffle,
    )


def rows_of(loader: DataLoader[ConceptBatch], epoch: int = 0) -> list[int]:
    return [row for rows in batches_of(loader, epoch) for row in rows]


def batches_of(loader: DataLoader[ConceptBatch], epoch: int = 0) -> list[list[int]]:
    """Return the rows of each batch of an epoch."""
    tell(loader, epoch)
    return [batch.row.tolist() for batch in loader]


def tell(loader: DataLoader[ConceptBatch], epoch: int) -> None:
    """Tell a loader the epoch, as Lightning does where there is a sampler to be told."""
    if isinstance(loader.batch_sampler, SharedBatches):
        loader.batch_sampler.sampler.set_epoch(epoch)


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
        assert isinstance(batch, ImageBatch)
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
            tell(loader, epoch)
        for one, other in zip(alone, together, strict=True):
            assert one.areas is None
            assert other.areas is None
            for name, tensor in vars(one).items():
                assert name == "areas" or torch.equal(tensor, vars(other)[name])


def test_the_last_batch_may_be_short(folder: Path) -> None:
    module = open_module(folder, batch_size=5)
    sizes = [len(batch.row) for batch in module.rows_dataloader(module.all_rows)]
    assert sizes == [5, 5, 5, 5, 4]


def test_lightning_moves_a_batch(folder: Path) -> None:
    module = open_module(folder)
    batch = next(iter(module.val_dataloader()))
    moved = module.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert isinstance(moved, ImageBatch)
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


# -------------------- shared between processes


@contextmanager
def acting_as(rank: int, count: int) -> Iterator[None]:
    """Act as one of several processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "rank", lambda: rank)
        patch.setattr(processes, "count", lambda: count)
        yield


Parts = list[list[list[int]]]  # of every process, the rows of each of its batches


def joined(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def shared_by(count: int, batches: Callable[[], list[list[int]]]) -> Parts:
    parts = []
    for rank in range(count):
        with acting_as(rank, count):
            parts.append(batches())
    return parts


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [3, 4, 7, 100])
def test_processes_share_every_train_batch(folder: Path, count: int, batch_size: int) -> None:
    def epoch(number: int) -> list[list[int]]:
        return batches_of(open_module(folder, batch_size=batch_size).train_dataloader(), number)

    for number in (0, 1):
        parts = shared_by(count, partial(epoch, number))
        together = [joined(stretches) for stretches in zip(*parts, strict=True)]
        assert together == epoch(number)
    assert epoch(0) != epoch(1)
    assert sorted(joined(together)) == sound_rows(folder, "train")


@pytest.mark.parametrize("count", [2, 3, 30])
def test_processes_share_rows_and_see_each_once(folder: Path, count: int) -> None:
    module = open_module(folder, batch_size=6)
    val = shared_by(count, lambda: batches_of(module.val_dataloader()))
    assert sorted(joined(map(joined, val))) == sound_rows(folder, "val")
    rows = module.all_rows[::-1]
    parts = shared_by(count, lambda: batches_of(module.rows_dataloader(rows)))
    assert sorted(joined(map(joined, parts))) == sorted(rows.tolist())
    for part in parts:
        mine = joined(part)
        assert mine == sorted(mine, reverse=True)  # the order given
        assert all(len(batch) <= max(1, 6 // count) for batch in part)


@given(
    rows=st.integers(0, 60),
    batch_size=st.integers(1, 20),
    count=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_stretches_of_all_processes_make_the_batches_of_one(
    rows: int, batch_size: int, count: int, epoch: int
) -> None:
    sampler = EpochSampler(np.arange(rows), seed=5, shuffle=True)
    sampler.set_epoch(epoch)
    batches = SharedBatches(sampler, batch_size)
    order = epoch_order(np.arange(rows), 5, epoch).tolist()
    expected = [order[i : i + batch_size] for i in range(0, rows, batch_size)]
    parts = shared_by(count, lambda: list(batches))
    assert {len(part) for part in parts} == {len(batches)} == {len(expected)}
    assert [joined(stretches) for stretches in zip(*parts, strict=True)] == expected
    for stretches in zip(*parts, strict=True):
        sizes = [len(stretch) for stretch in stretches]
        assert max(sizes) - min(sizes) <= 1


def test_a_stretch_of_the_last_batch_may_be_empty_and_makes_a_batch(folder: Path) -> None:
    last = len(sound_rows(folder, "train")) - 1  # alone in the last batch
    module = open_module(folder, batch_size=last)
    assert batches_of(module.train_dataloader())[-1] != []
    for rank in (1, 2):
        with acting_as(rank, 3):
            *_, batch = module.train_dataloader()
        assert isinstance(batch, ImageBatch)
        assert len(batch.row) == len(batch.images) == len(batch.image) == 0
        assert batch.masks(slice(None)).shape[0] == 0


def test_rows_without_a_process_group_are_all_of_them() -> None:
    rows = np.arange(7)
    assert processes.count() == 1
    np.testing.assert_array_equal(processes.share(rows), rows)


def test_rows_are_those_of_their_split_with_something_to_learn_from_or_to_score(
    tmp_path: Path,
) -> None:
    cell = np.full(MASK_SIZE, 256)  # a car
    nothing, lid = cell * 0, cell * 0 + 300
    images = [
        FakeImage("a.png", "train", {"object": [cell]}),
        FakeImage("b.png", "train", {"object": [nothing]}),
        FakeImage("c.png", "train", {"part": [lid]}),
        FakeImage("d.png", "val", {"object": [cell], "part": [lid]}),
        FakeImage("e.png", "val", {"object": [nothing]}),
        FakeImage("f.png", "val", {"part": [lid]}),
        FakeImage("g.png", "train", {"object": [cell]}),  # damaged
    ]
    write_broden_fixture(tmp_path, images)
    (tmp_path / "images" / "g.png").write_bytes(b"")
    reader = BrodenReader(tmp_path)
    scan = scan_files(reader, on_error="skip")
    vocabulary = reader.vocabulary.matching(["car"])
    for annotated, train, val in ((False, [0], [3]), (True, [0, 1], [3, 4])):
        module = ConceptDataModule(reader, vocabulary, scan, score_annotated=annotated)
        assert module.all_rows.tolist() == [0, 1, 2, 3, 4, 5]
        assert module.train_rows.tolist() == [0, 1, 2]
        assert {k: v.tolist() for k, v in module.pair_rows.items()} == {"train": [0], "val": [3]}
        scored = {k: v.tolist() for k, v in module.scored_rows.items()}
        assert scored == {"train": train, "val": val}
        assert rows_of(module.train_dataloader()) == [0]
        (batch,) = module.val_dataloader()
        assert batch.row[batch.image].tolist() == val
        assert batch.masks(slice(None)).flatten(1).any(1).tolist() == [row == 3 for row in val]


def test_an_order_is_numpys_permutation_of_seed_and_epoch() -> None:
    rows = np.arange(10) * 2
    for seed, epoch in ((0, 0), (0, 3), (7, 3)):
        expected = np.random.default_rng([seed, epoch]).permutation(rows)
        assert epoch_order(rows, seed, epoch).tolist() == expected.tolist()
        sampler = EpochSampler(rows, seed, shuffle=True, keep=np.array([4, 8, 12]))
        sampler.set_epoch(epoch)
        assert [*sampler] == [row for row in expected.tolist() if row in (4, 8, 12)]


def test_two_processes_take_half_a_batch_each(folder: Path) -> None:
    module = open_module(folder, batch_size=4)
    rows = np.array([9, 7, 5, 3, 1, 0, 2])
    for rank, expected in ((0, [[9, 5], [1, 2]]), (1, [[7, 3], [0]])):
        with acting_as(rank, 2):
            assert batches_of(module.rows_dataloader(rows)) == expected
