"""Whole tables against what they should hold: every row, every column, in their order."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def check_table(
    found: Sequence[Mapping[str, str]], expected: Sequence[Mapping[str, Any]], within: float = 1e-9
) -> None:
    """Compare a table, as read from its file, with what it should hold.

    Args:
        found: Rows of text.
        expected: Rows; text and whole numbers must be there as they are, floats nearly.
        within: Relative or absolute difference of floats.
    """
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for column, value in wanted.items():
            where = (column, *(v for v in wanted.values() if isinstance(v, str)))
            if isinstance(value, float):
                near = pytest.approx(value, rel=within, abs=within, nan_ok=True)
                assert float(row[column]) == near, where
            else:
                assert row[column] == str(value), where


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of a test's own as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
