"""Annotations as a CSV with a line for each concept of an image, or as a folder for each class."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from net2vec_pl.datasets.files.concept_masks import Row, Shown
from net2vec_pl.datasets.files.image_files import files_by_key
from net2vec_pl.datasets.files.split import LEFT_OUT, side_of
from net2vec_pl.datasets.from_torch.labels import CATEGORY
from net2vec_pl.errors import DataError, shorten

CLASS = "class"
"""The category of labels of whole images that have no other."""
DOCS = "docs/datasets.md#table"
_COLUMNS = ("image", "concept", "mask", "split", "group", "category")


@dataclass(frozen=True)
class Table:
    """What a table says.

    Args:
        rows: An entry per image.
        splits: What the column ``split`` says of each image; empty without such a column.
        groups: What the column ``group`` says of each image; empty without such a column.
    """

    rows: list[Row]
    splits: list[bool]
    groups: list[str]

    @property
    def group_numbers(self) -> npt.NDArray[np.int64] | None:
        """A number per image, the same for images of a group; None without groups."""
        number = {group: n for n, group in enumerate(dict.fromkeys(self.groups))}
        return (
            np.array([number[group] for group in self.groups], dtype=np.int64) if number else None
        )


def read_table(path: Path) -> Table:
    """Read a CSV file with the columns image and concept, and any of mask, split, group, category.

    Paths are those below the file's folder. A line without a concept says that the image was looked
    at; a line without a mask is a label of the whole image, and may list several, separated by
    ``;``. Lines of the split ``test`` are left out.

    Args:
        path: The file.

    Raises:
        DataError: If it cannot be read, or its lines contradict each other.
    """
    lines = [line for line in _lines(path) if line.get("split", "").lower() not in LEFT_OUT]
    if not lines:
        raise DataError(f"{path} lists images of the split test only. {DOCS}")
    shown: dict[str, list[Shown]] = {}
    splits: dict[str, str] = {}
    groups: dict[str, str] = {}
    for place, line in enumerate(lines, start=2):
        where = f"{path}, line {place}"
        image = line["image"]
        if not image:
            raise DataError(f"{where} names no image. {DOCS}")
        shown.setdefault(image, []).extend(_shown(line, path, where))
        for column, said in (("split", splits), ("group", groups)):
            value = line.get(column, "")
            if said.setdefault(image, value) != value:
                raise DataError(f"{where}: {image} has {column} {value!r} and {said[image]!r}.")
    rows = [Row(name, path.parent / name, tuple(some)) for name, some in shown.items()]
    columns = lines[0]
    return Table(
        rows,
        [_side(splits[name], name, path) for name in shown] if "split" in columns else [],
        [groups[name] for name in shown] if "group" in columns else [],
    )


def class_rows(root: Path) -> list[Row]:
    """Return the images of a folder that has a folder for each class.

    Args:
        root: The folder; ``train`` and ``val`` may stand between it and the classes.

    Raises:
        DataError: If there is no such folder, or an image is in none of a class.
    """
    images = files_by_key(root)
    loose = [key for key in images if "/" not in key]
    if loose:
        raise DataError(
            f"{root} holds images that are in no folder of a class: {shorten(loose, shown=4)}. "
            "docs/datasets.md#classes"
        )
    split = all(side_of(key.split("/")[0]) is not None for key in images)
    rows = []
    for key, path in images.items():
        parts = key.split("/")
        if split and len(parts) < 3:
            raise DataError(f"{path} is in no folder of a class. docs/datasets.md#classes")
        rows.append(Row(key, path, (Shown(CLASS, parts[1 if split else 0], None),)))
    return rows


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lines = [
                {key: (value or "").strip() for key, value in line.items() if key in _COLUMNS}
                for line in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data.file={path} cannot be read: {error}. {DOCS}") from error
    absent = [name for name in ("image", "concept") if name not in (reader.fieldnames or ())]
    if absent:
        raise DataError(
            f"{path} has no column {shorten(absent)}; it has "
            f"{shorten(map(str, reader.fieldnames or ())) or 'none'}. {DOCS}"
        )
    if not lines:
        raise DataError(f"{path} lists no image. {DOCS}")
    return lines


def _shown(line: dict[str, str], path: Path, where: str) -> Sequence[Shown]:
    mask, given = line.get("mask", ""), line.get("category", "")
    if mask:
        if not line["concept"]:
            raise DataError(f"{where} has a mask, but no concept. {DOCS}")
        return [Shown(given or CATEGORY.name, line["concept"], path.parent / mask)]
    names = [name.strip() for name in line["concept"].split(";") if name.strip()]
    if not names:
        return [Shown(given or (CATEGORY.name if "mask" in line else CLASS), "", None)]
    return [Shown(given or CLASS, name, None) for name in names]


def _side(word: str, image: str, path: Path) -> bool:
    side = side_of(word)
    if side is None:
        raise DataError(f"{path}: the split of {image} is {word!r}; known: train, val. {DOCS}")
    return side
