"""Rows of tables as frozen dataclasses, with one way to CSV and one way back.

A field is a column of its name. An :class:`Estimate` is three columns, a nested record the columns
of its own fields, a mapping a column for each of its keys. A field that is None in a row has no
column there; the cell is empty where other rows have it.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from net2vec_pl.errors import RunFolderError
from net2vec_pl.runs.files import whole

Cell = str | int | float | bool
R = TypeVar("R", bound="Record")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; bounds are NaN where there is none.

    Args:
        value: The number.
        low: Lower bound.
        high: Upper bound.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Column:
    """Names the column of an annotated field, or those of a nested record or a mapping.

    Args:
        name: Name of the column; of several, a pattern for their own names, such as ``best_{}``.
    """

    name: str


class Record:
    """A row of a table; subclasses are frozen dataclasses."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def cells(self) -> dict[str, Cell]:
        """Return column -> value."""
        found: dict[str, Cell] = {}
        for name, (pattern, _) in _columns(type(self)).items():
            found |= _cells(name, pattern, getattr(self, name))
        return found


_known: dict[type[Record], dict[str, tuple[str, Any]]] = {}


def _columns(kind: type[Record]) -> dict[str, tuple[str, Any]]:
    """Return the pattern of its column, and the type, of every field."""
    if kind not in _known:
        found = _known[kind] = {}
        for name, hint in get_type_hints(kind, include_extras=True).items():
            if name in kind.__dataclass_fields__:
                annotated = get_args(hint) if get_origin(hint) is Annotated else (hint,)
                given = [extra.name for extra in annotated[1:] if isinstance(extra, Column)]
                found[name] = (given[0] if given else "{}", annotated[0])
    return _known[kind]


def _cells(name: str, pattern: str, value: Any) -> dict[str, Cell]:
    if value is None:
        return {}
    if isinstance(value, Estimate):
        name = pattern.format(name)
        return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
    if isinstance(value, Record):
        value = value.cells()
    if isinstance(value, Mapping):
        return {pattern.format(key): cell for key, cell in value.items()}
    return {pattern.format(name): value}


def write_csv(records: Sequence[Record], path: Path) -> None:
    """Write a table of at least one row, whole or not at all."""
    rows = [record.cells() for record in records]
    columns = dict.fromkeys(name for row in rows for name in row)
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(kind: type[R], path: Path) -> list[R]:
    """Read a table that :func:`write_csv` wrote.

    Columns that the record does not know are left out, as those of another version.

    Raises:
        RunFolderError: If the file is absent, damaged or cut off, or lacks a column.
    """
    rows = read_rows(path)
    try:
        return [_read(kind, row, "{}") for row in rows]
    except (KeyError, ValueError) as error:
        fault = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(f"table {path} is damaged, or of another version: {fault}.") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of any table as text: column -> cell.

    Raises:
        RunFolderError: If the file is absent, empty, damaged or cut off.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunFolderError(f"table {path} cannot be read: {error}") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise RunFolderError(f"table {path} is damaged: it is empty, or a row is cut off.")
    return rows


def _read(kind: type[R], row: Mapping[str, str], outer: str) -> R:
    """Read the fields of a record from the columns that ``outer`` has renamed."""
    values = {}
    for name, (pattern, wanted) in _columns(kind).items():
        value = _value(wanted, name, outer.format(pattern), row)
        if value is not None or kind.__dataclass_fields__[name].default is MISSING:
            values[name] = value
    return kind(**values)


def _value(wanted: Any, name: str, pattern: str, row: Mapping[str, str]) -> Any:
    options = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    optional, kinds = NoneType in options, [kind for kind in options if kind is not NoneType]
    if get_origin(kinds[0]) is not None:  # a mapping: all columns that fit its pattern
        before, _, after = pattern.partition("{}")
        fitting = {
            key.removeprefix(before).removesuffix(after): float(cell)
            for key, cell in row.items()
            if key.startswith(before) and key.endswith(after)
        }
        return fitting or (None if optional else fitting)
    if issubclass(kinds[0], Record):
        try:
            return _read(kinds[0], row, pattern)
        except KeyError:
            if optional:
                return None
            raise
    key = pattern.format(name)
    if optional and key not in row:
        return None
    if kinds[0] is Estimate:
        return Estimate(*(float(row[f"{key}{end}"] or "nan") for end in ("", "_low", "_high")))
    return _parsed(kinds, row[key])


def _parsed(kinds: Sequence[type], text: str) -> Cell:
    if str in kinds:
        return text
    if bool in kinds:
        return text == "True"
    if int in kinds and text.lstrip("-").isdecimal():
        return int(text)
    if float in kinds:
        return float(text or "nan")
    raise ValueError(f"{text!r} is no number")
