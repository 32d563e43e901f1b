"""A page that one file holds: tables that sort, figures, no network, no server.

Templates stand in ``templates/``: ``base.html`` has the look and the script, and each page fills
its blocks. All text is escaped by jinja2.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from PIL import Image

from net2vec_pl.report.packing import data_uri
from net2vec_pl.runs.files import whole

_LARGEST_SVG = 300_000  # bytes; a larger figure is shown as a picture
_QUALITY = 85  # of that picture
_MOST_CELLS = 20_000  # of a table; a browser sorts so many at once


@dataclass(frozen=True)
class Link:
    """Text that leads to another page.

    Args:
        text: What is read.
        address: Address of that page, as seen from this one.
    """

    text: str
    address: str

    @classmethod
    def to_file(cls, text: str, path: Path, page: Path) -> "Link":
        """Return a link to a file, from a page."""
        return cls(text, quote(Path(os.path.relpath(path, page.parent)).as_posix()))


@dataclass(frozen=True)
class Cell:
    """A cell of a table on a page.

    Args:
        text: What is read.
        key: What it is sorted by.
        number: Whether the key is one.
        address: Where it leads; empty if nowhere.
    """

    text: str
    key: str
    number: bool
    address: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table on a page; the file beside the page has all of it.

    Args:
        title: Heading.
        rows: Cells by column, the same columns in every row: text, links, numbers, or
            (value, low, high).
        file: The CSV file with all rows and columns.
        note: A sentence below the heading.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    file: str
    note: str = ""

    @cached_property
    def same(self) -> dict[str, str]:
        """Columns that say the same in every one of several rows: told once, above the table."""
        first, *others = [[_cell(value).text for value in row.values()] for row in self.rows]
        names = zip(self.rows[0], first, strict=True)
        return {
            name: text
            for i, (name, text) in enumerate(names)
            if others and all(row[i] == text for row in others)
        }

    @property
    def columns(self) -> dict[str, bool]:
        """Names of the columns that are shown, and whether they hold numbers."""
        cells = zip(*self.cells, strict=True)
        names = [name for name in self.rows[0] if name not in self.same]
        return {n: any(c.number for c in of) for n, of in zip(names, cells, strict=True)}

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """The first rows, as they are read, without the columns that say the same."""
        most = _MOST_CELLS // len(self.rows[0])
        return [
            [_cell(value) for name, value in row.items() if name not in self.same]
            for row in self.rows[:most]
        ]

    @property
    def cut(self) -> str:
        """What to say of the rows that are not shown; empty if all are."""
        if len(self.cells) == len(self.rows):
            return ""
        return f"The first {len(self.cells)} of {len(self.rows)} rows; the file has all."


@dataclass(frozen=True)
class PageFigure:
    """A figure on a page.

    Args:
        title: Heading.
        source: The image itself, as a data URI.
        text: What it shows, for those who do not see it.
    """

    title: str
    source: str
    text: str

    @classmethod
    def load(cls, folder: Path, name: str, title: str, text: str) -> "PageFigure":
        """Take a figure that ``save_figure`` wrote: the SVG, or the pixels if that is large."""
        path = folder / f"{name}.svg"
        if path.stat().st_size > _LARGEST_SVG:
            with Image.open(folder / f"{name}.png") as image:
                return cls(title, data_uri(image.convert("RGB"), _QUALITY), text)
        data = base64.b64encode(path.read_bytes()).decode()
        return cls(title, f"data:image/svg+xml;base64,{data}", text)


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fill a template, and write the page whole or not at all.

    Args:
        path: Path of the page.
        template: Name of a file in ``templates/``.
        **content: What the template asks for.

    Raises:
        jinja2.UndefinedError: If the template asks for something that is not given.
    """
    with whole(path) as part:
        part.write_text(templates().get_template(template).render(**content), encoding="utf-8")


def templates() -> Environment:
    """Return the templates of ``templates/``; what is filled into HTML is escaped."""
    return Environment(
        loader=PackageLoader("net2vec_pl.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _cell(value: Any) -> Cell:
    if isinstance(value, tuple):
        point, low, high = map(float, value)
        if not np.isfinite([low, high]).all():
            return _cell(point)
        form = (
            "{:.3f} [{:.3f}, {:.3f}]"
            if 0.001 <= max(-low, high) < 1000
            else "{:.2g} [{:.2g}, {:.2g}]"
        )
        return Cell(form.format(point, low, high), repr(point), True)
    if isinstance(value, Link):
        return Cell(value.text, value.text, False, value.address)
    if isinstance(value, bool | str):
        return Cell(str(value), str(value), False)
    return Cell(_number(float(value)), repr(float(value)), True)


def _number(value: float) -> str:
    """Write a number as it is read in a table.

    Example:
        >>> _number(0.12345), _number(12.0), _number(0.00012), _number(float("nan"))
        ('0.123', '12', '0.00012', '–')
        >>> _number(4512.3)
        '4512'
    """
    if not np.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:.0f}"
    if 1000 <= abs(value) < 1e9:
        return f"{value:.0f}"
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 else f"{value:.2g}"
