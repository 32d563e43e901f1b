"""Whole tables against rows that a test has worked out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest


def assert_rows(
    found: Sequence[Mapping[str, str]], expected: Sequence[Mapping[str, Any]], close: float = 1e-6
) -> None:
    """Compare all cells of a CSV table: texts and whole numbers exactly, the others closely."""
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            where = f"{name} of {dict(row)}"
            if isinstance(value, float):
                near = pytest.approx(float(value), rel=close, abs=close, nan_ok=True)
                assert float(row[name]) == near, where
            else:
                assert row[name] == str(value), where
