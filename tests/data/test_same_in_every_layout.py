"""The same scenes give the same bank and tables, bit for bit, whatever their layout."""

from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from support.layouts import COUNT, LAYOUTS, NAMES, TRAIN

import net2vec_pl


@cache
def learned(layout: str) -> tuple[net2vec_pl.Bank, list[str]]:
    """Learn a bank from the scenes in a layout, and return it with the lines of its tables."""
    with TemporaryDirectory() as folder:
        reader = LAYOUTS[layout](Path(folder))
        assert [len(reader), int(reader.is_train.sum())] == [COUNT, TRAIN]
        options = {"protocol.epochs": 1}
        bank = net2vec_pl.learn(
            "shapesnet", "conv3", data=reader, analyses=[], beside=[], options=options
        )
    tables = [str(asdict(row)) for name in ("concepts", "filters") for row in bank.tables[name]]
    return bank, tables


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "dataset"])
def test_bank_and_tables_are_those_of_every_other_layout(layout: str) -> None:
    expected, expected_tables = learned("dataset")
    bank, tables = learned(layout)
    assert bank.names == [*NAMES]
    for name in ("weight", "threshold", "alpha"):
        assert torch.equal(getattr(bank.file, name), getattr(expected.file, name)), name
    assert tables == expected_tables
