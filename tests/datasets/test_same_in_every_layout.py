"""The same scenes give the same bank and tables, bit for bit, whatever their layout."""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from support.camvid_masks import turn
from support.layouts import COUNT, LAYOUTS, NAMES, TRAIN, UNSURE, opened
from support.real import first_rows

import net2vec_pl


@cache
def learned(layout: str, *, unsure: bool) -> tuple[net2vec_pl.Bank, list[str]]:
    """Learn a bank from the scenes in a layout, and return it with the lines of its tables."""
    with TemporaryDirectory() as folder:
        reader = (UNSURE if unsure else LAYOUTS)[layout](Path(folder))
        assert [len(reader), int(reader.is_train.sum())] == [COUNT, TRAIN]
        options = {"protocol.epochs": 1}
        bank = net2vec_pl.learn(
            "shapesnet", "conv3", data=reader, analyses=[], beside=["lda"], options=options
        )
    names = ("concepts", "filters", "probes")
    tables = [str(asdict(row)) for name in names for row in bank.tables[name]]
    return bank, tables


CASES = [
    *((name, False) for name in LAYOUTS if name != "dataset"),
    *((name, True) for name in UNSURE if name != "dataset"),
]


@pytest.mark.parametrize(("layout", "unsure"), CASES)
def test_bank_and_tables_are_those_of_every_other_layout(layout: str, unsure: bool) -> None:
    expected, expected_tables = learned("dataset", unsure=unsure)
    bank, tables = learned(layout, unsure=unsure)
    assert bank.names == [*NAMES]
    for name in ("weight", "threshold", "alpha"):
        assert torch.equal(getattr(bank.file, name), getattr(expected.file, name)), name
    assert tables == expected_tables


def test_unknown_pixels_are_neither_concept_nor_background() -> None:
    known, unsure = (learned("dataset", unsure=unsure)[0] for unsure in (False, True))
    assert not torch.equal(known.file.alpha, unsure.file.alpha)
    assert not torch.equal(known.file.weight, unsure.file.weight)


def test_camvid_as_mask_files_gives_its_numbers(shared: Path, tmp_path: Path) -> None:
    """A few of its rows; its objects do not overlap, and both forms of masks lose nothing."""
    source = first_rows(shared / "data" / "camvid_broden_224", tmp_path / "broden", 24)
    turn(source, tmp_path / "index", "index")
    turn(source, tmp_path / "concepts", "concepts")
    given = {"image_size": 224, "split": "split.csv"}
    readers = [
        opened("broden", root=source),
        opened("masks", root=tmp_path / "index", labels="labels.csv", **given),
        opened(
            "masks", root=tmp_path / "concepts", concept_from="folder", labels="labels.csv", **given
        ),
    ]
    assert {reader.mask_size for reader in readers} == {(112, 112)}
    banks = [
        net2vec_pl.learn(
            "shapesnet",
            "conv2",
            data=reader,
            categories=["object"],
            analyses=[],
            beside=[],
            options={"protocol.epochs": 1},
        )
        for reader in readers
    ]
    for bank in banks[1:]:
        assert bank.names == banks[0].names
        assert torch.equal(bank.file.weight, banks[0].file.weight)
        assert torch.equal(bank.file.threshold, banks[0].file.threshold)
        assert [r.multi_val for r in bank.scores] == [r.multi_val for r in banks[0].scores]
        assert [r.single_val for r in bank.scores] == [r.single_val for r in banks[0].scores]
