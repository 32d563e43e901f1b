"""The tables of a prediction: scores image by image, and what was found in the end."""

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.concepts import Concept
from net2vec_pl.predict.masks import Sheet
from net2vec_pl.predict.sources import Source
from net2vec_pl.records.predict import PaletteRow, ScoreRow
from net2vec_pl.runs.files import whole

SCORES = "scores.csv"
_SHOWN = 20
# Column of a run's table -> the table, and what it is called on the console.
_TABLES = {"multi_val": "concepts.csv", "accuracy": "classification.csv"}
_TITLES = {"multi_val": "set IoU on val", "accuracy": "accuracy on val"}


class ScoreTable:
    """Writes ``scores.csv`` row by row, for there may be millions, and counts what is found.

    Args:
        file: Where to.
        concepts: Those asked for.
        bank: The folder of the bank; how good it is on val is read beside it.
        masks: Whether the bank gives masks.

    Attributes:
        images: How many there are so far.
    """

    def __init__(
        self, file: TextIO, concepts: Sequence[Concept], bank: Path, *, masks: bool
    ) -> None:
        self.images = 0
        self._concepts, self._masks = concepts, masks
        self._quality = "multi_val" if masks else "accuracy"
        known = _quality(bank, self._quality)
        self._known = [known.get(concept.name, math.nan) for concept in concepts]
        self._found = np.zeros(len(concepts), dtype=np.int64)
        self._area = np.zeros(len(concepts))
        self._rows = csv.writer(file)
        self._begun = False

    def add(
        self,
        source: Source,
        scores: Float[np.ndarray, "c"],
        areas: Float[np.ndarray, "c"] | None = None,
    ) -> None:
        """Write the rows of one image.

        Args:
            source: The image.
            scores: How likely each concept is there, in [0, 1].
            areas: The share of the picture that its mask takes, where there are masks.
        """
        self.images += 1
        self._found += scores > 0.5 if areas is None else areas > 0
        self._area += 0 if areas is None else areas
        for i, concept in enumerate(self._concepts):
            row = ScoreRow(
                image=str(source.path),
                name=source.name,
                concept=concept.name,
                category=concept.category,
                score=float(scores[i]),
                area=None if areas is None else float(areas[i]),
                **{self._quality: self._known[i]},
            )
            self._write(row)

    def _write(self, row: ScoreRow) -> None:
        cells = row.cells()
        if not self._begun:
            self._rows.writerow(cells)
            self._begun = True
        self._rows.writerow(
            f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells.values()
        )

    def tell(self, console: Console) -> None:
        """Print in how many images each concept is, the most frequent and trusted first."""
        table = Table(title=f"Concepts in {self.images} images")
        for name in ("concept", "category"):
            table.add_column(name, overflow="fold")
        mean = self._area / max(self.images, 1)
        columns = ["found in", *(["mean area"] if self._masks else []), _TITLES[self._quality]]
        for name in columns:
            table.add_column(name, justify="right")
        order = np.lexsort((-mean, -np.nan_to_num(self._known), -self._found)).tolist()
        for i in order[:_SHOWN]:
            names = escape(self._concepts[i].name), escape(self._concepts[i].category)
            area = [f"{mean[i]:.1%}"] if self._masks else []
            known = "-" if math.isnan(self._known[i]) else f"{self._known[i]:.3f}"
            table.add_row(*names, str(self._found[i]), *area, known)
        console.print(table)
        if len(order) > _SHOWN:
            console.print(f"and {len(order) - _SHOWN} more; {SCORES} has all.")


@contextmanager
def score_table(
    folder: Path, concepts: Sequence[Concept], bank: Path, *, masks: bool
) -> Iterator[ScoreTable]:
    """Open ``scores.csv``, which is there once all is written, and never in part.

    Args:
        folder: Where to.
        concepts: The concepts asked for.
        bank: The folder of the bank; how good it is on val is read beside it.
        masks: Whether the bank gives masks.
    """
    with (
        whole(folder / SCORES) as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield ScoreTable(file, concepts, bank, masks=masks)


def _quality(folder: Path, column: str) -> dict[str, float]:
    """Return the bank's own score of every concept, as far as a table beside it tells it."""
    try:
        with (folder / _TABLES[column]).open(newline="", encoding="utf-8") as file:
            return {row["name"]: float(row[column]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def palette_rows(sheets: Sequence[Sheet]) -> list[PaletteRow]:
    """Tabulate what the numbers in the masks mean.

    Args:
        sheets: The concepts, by sheet.
    """
    return [
        PaletteRow(
            folder=sheet.folder,
            index=index,
            concept=concept.name,
            category=concept.category,
            colour="#" + bytes(colour.tolist()).hex(),
        )
        for sheet in sheets
        for index, (concept, colour) in enumerate(
            zip(sheet.concepts, sheet.colours, strict=True), start=1
        )
    ]
