"""Write any dataset as a folder in BRODEN's layout; ``broden.py`` reads it back as it was.

The layout: ``images/`` holds every image and label map; ``index.csv`` has a row per image and a
cell per category; ``category.csv``, ``label.csv`` and ``c_<category>.csv`` count the labels. A
frequency is a number of images; a coverage is a sum over images of the share that is covered.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from torch import Tensor

from net2vec_pl.concepts import Concept
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample
from net2vec_pl.errors import DataError, shorten
from net2vec_pl.formats.checked import check_reader, checked_sample
from net2vec_pl.formats.written import new_folder, png_paths, save_png

_Row = Sequence[str | int | float]

_INDEX_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
_DIVIDES = re.compile(r"[;()/\\]")


@dataclass
class _Tally:
    """What the tables count, by (category, label number)."""

    frequency: Counter[tuple[str, int]] = field(default_factory=Counter)
    coverage: defaultdict[tuple[str, int], float] = field(
        default_factory=lambda: defaultdict(float)
    )

    def add(self, sample: Sample) -> None:
        """Count one image; layers of one category cover separately, but show a label once."""
        shares: defaultdict[tuple[str, int], float] = defaultdict(float)
        for category, labels in zip(sample.map_categories, sample.label_maps, strict=True):
            numbers, pixels = labels.unique(return_counts=True)
            for number, count in zip(numbers.tolist(), pixels.tolist(), strict=True):
                if number > 0:
                    shares[category, number] += count / labels.numel()
        for entry in sample.image_labels:
            shares[entry] += 1.0
        self.frequency.update(shares.keys())
        for entry, share in shares.items():
            self.coverage[entry] += share


def write_broden(reader: ConceptReader, folder: Path) -> None:
    """Write a dataset as a folder in BRODEN's layout.

    Rows keep their order and their names, but for the suffix: images become PNG, so that nothing is
    lost. The folder appears when all of it is written. Where a category of maps was annotated but
    nothing of it is seen, an empty map is written, for an empty cell would mean unknown.

    Args:
        reader: The dataset.
        folder: Where to; it must not exist, or be empty.

    Raises:
        DataError: If the folder holds anything, the layout cannot hold the dataset's names or
            numbers, or the reader contradicts itself.
    """
    check_reader(reader)
    _check_names(reader)
    images = png_paths(reader.image_names, "BRODEN's")
    with new_folder(folder) as part:
        _write_folder(reader, images, part)


def _check_names(reader: ConceptReader) -> None:
    """Refuse what the cells of the tables, the names of files and the maps cannot hold."""
    names = [category.name for category in reader.categories]
    wrong = [name for name in names if _DIVIDES.search(name) or name in _INDEX_COLUMNS]
    if wrong:
        raise DataError(f"BRODEN's layout cannot hold categories of these names: {shorten(wrong)}.")
    numbers = reader.vocabulary.numbers
    if len(numbers) and numbers.max() >= 1 << 16:
        raise DataError(f"BRODEN's layout holds label numbers up to 65535, not {numbers.max()}.")


def _write_folder(reader: ConceptReader, images: list[PurePosixPath], root: Path) -> None:
    names = [category.name for category in reader.categories]
    sizes = (*reader.image_size, *reader.mask_size)
    tally = _Tally()
    rows: list[_Row] = []
    for row, image in enumerate(images):
        sample = _with_empty_maps(reader, row)
        tally.add(sample)
        save_png(sample.image.permute(1, 2, 0).numpy(), root / "images" / image)
        split = "train" if reader.is_train[row] else "val"
        cells = [_write_cell(sample, name, image, root / "images") for name in names]
        rows.append((str(image), split, *sizes, *cells))
    header = (*_INDEX_COLUMNS, *names)
    _write_csv(root / "index.csv", header, rows)
    _write_tables(reader, tally, root)


def _with_empty_maps(reader: ConceptReader, row: int) -> Sample:
    """Read a row and add an empty map for each category of maps that was annotated, not seen."""
    sample = checked_sample(reader, row)
    seen = {*sample.map_categories, *(category for category, _ in sample.image_labels)}
    unseen = [
        category.name
        for category, annotated in zip(reader.categories, reader.annotated[row], strict=True)
        if annotated and category.pixels and category.name not in seen
    ]
    empty = torch.zeros((len(unseen), *reader.mask_size), dtype=torch.int32)
    return Sample(
        image=sample.image,
        label_maps=torch.cat([sample.label_maps, empty]),
        map_categories=(*sample.map_categories, *unseen),
        image_labels=sample.image_labels,
    )


def _write_cell(sample: Sample, category: str, image: PurePosixPath, root: Path) -> str:
    """Write the maps of one category of one image and return the cell of the index."""
    maps = [m for m, name in enumerate(sample.map_categories) if name == category]
    elements = [str(number) for name, number in sample.image_labels if name == category]
    for layer, m in enumerate(maps, start=1):
        suffix = f"_{category}_{layer}" if len(maps) > 1 else f"_{category}"
        path = image.with_name(f"{image.stem}{suffix}.png")
        save_png(encode_labels(sample.label_maps[m]), root / path)
        elements.append(str(path))
    return ";".join(elements)


def encode_labels(labels: Int32[Tensor, "sh sw"]) -> UInt8[np.ndarray, "sh sw 3"]:
    """Encode label numbers, 0 to 65535, as red, green and blue: number = R + 256 * G.

    Blue is 0 where a label is known. It is 255 where it is unknown whether the concept of the
    number is there, or any of the category with number 0.

    Example:
        >>> encode_labels(torch.tensor([[0, 258, -1, -259]], dtype=torch.int32)).tolist()
        [[[0, 0, 0], [2, 1, 0], [0, 0, 255], [2, 1, 255]]]
    """
    given = labels.numpy()
    numbers = np.where(given < 0, UNKNOWN - given, given)
    assert numbers.max(initial=0) < 1 << 16, "R + 256 * G holds 16 bits"
    blue = np.where(given < 0, 255, 0)
    return np.stack([numbers % 256, numbers // 256, blue], axis=2).astype(np.uint8)


def _write_tables(reader: ConceptReader, tally: _Tally, root: Path) -> None:
    label_columns = ("number", "name", "category", "frequency", "coverage", "syns")
    labels = [_label_row(concept, tally) for concept in reader.vocabulary]
    _write_csv(root / "label.csv", label_columns, labels)
    rows: list[_Row] = []
    for category in (category.name for category in reader.categories):
        members = [c for c in reader.vocabulary if category in c.categories]
        entries = [
            (
                code,
                c.number,
                c.name,
                tally.frequency[category, c.number],
                tally.coverage[category, c.number],
            )
            for code, c in enumerate(members, start=1)
        ]
        code_columns = ("code", "number", "name", "frequency", "coverage")
        _write_csv(root / f"c_{category}.csv", code_columns, entries)
        numbers = [c.number for c in members] or [0]
        total = sum(tally.frequency[category, number] for number in numbers)
        rows.append((category, min(numbers), max(numbers), len(members), total))
    _write_csv(root / "category.csv", ("name", "first", "last", "count", "frequency"), rows)


def _label_row(concept: Concept, tally: _Tally) -> _Row:
    keys = [(category, concept.number) for category in concept.categories]
    keys.sort(key=lambda key: -tally.frequency[key])
    return (
        concept.number,
        concept.name,
        ";".join(f"{category}({tally.frequency[category, number]})" for category, number in keys),
        sum(tally.frequency[key] for key in keys),
        sum(tally.coverage[key] for key in keys),
        "",
    )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
