"""A table in memory: its rows, and ways out of it."""

from collections.abc import Iterable
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.records.table import Cell, Record, write_csv

if TYPE_CHECKING:
    import pandas

R = TypeVar("R", bound=Record)
_SHOWN = 20


class Table(list[R]):
    """The rows of a table, in order; a row is a frozen dataclass.

    Example:
        >>> from net2vec_pl.records import Finding
        >>> table = Table([Finding("Is it real?", "lead", 0.5, 0.4, 0.6, 12, "It leads.")])
        >>> table[0].value
        0.5
    """

    @overload  # type: ignore[override]
    def __getitem__(self, place: str) -> R: ...
    @overload
    def __getitem__(self, place: int) -> R: ...
    @overload
    def __getitem__(self, place: slice) -> "Table[R]": ...
    def __getitem__(self, place: Any) -> Any:
        """Return a row by its place, or the first one of a name: ``table["sky"]``.

        Raises:
            ConfigError: If no row has this name; near names are listed.
        """
        if isinstance(place, slice):
            return type(self)(super().__getitem__(place))
        if not isinstance(place, str):
            return super().__getitem__(place)
        names = [str(getattr(row, "name", "")) for row in self]
        if place not in names:
            raise ConfigError(unknown("row", place, names))
        return super().__getitem__(names.index(place))

    def cells(self) -> list[dict[str, Cell]]:
        """Return each row as column -> value, as a file of the table would have it."""
        return [row.cells() for row in self]

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the table as a data frame of pandas.

        Raises:
            ConfigError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError(
                f"to_pandas() needs pandas ({error}): pip install pandas. cells() needs nothing."
            ) from error
        return pandas.DataFrame(self.cells())

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the table, of at least one row, as the run folder would have it."""
        write_csv(self, Path(path))

    def _repr_html_(self) -> str:
        """Show the first rows in a notebook."""
        rows = self[:_SHOWN].cells()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        head = _line("th", columns)
        body = "".join(_line("td", (_text(row.get(name, "")) for name in columns)) for row in rows)
        more = f"<p>{len(self) - len(rows)} more rows</p>" if len(rows) < len(self) else ""
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(cell: Cell) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
