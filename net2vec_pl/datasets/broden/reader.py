"""Read a folder in BRODEN's layout (broden1_224, _227 and _384, or your own in the same form).

The format, as NetDissect's ``joinseg.py`` writes it: ``index.csv`` has a row per image and a column
per category; a cell is empty (never annotated) or a ``;`` list of label numbers (true of the whole
image) and paths of PNG maps (a pixel may carry a label in each). ``label.csv`` names the numbers,
``category.csv`` the categories, and ``c_<category>.csv`` says how much of the dataset each label
covers within one category.
"""

import csv
import io
import logging
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample, UnreadableRowError
from net2vec_pl.datasets.digests import files_digest
from net2vec_pl.datasets.files.layouts import DOCS, likely_layout
from net2vec_pl.datasets.images.decoding import read_label_map
from net2vec_pl.datasets.images.photographs import TURNED, read_photograph
from net2vec_pl.datasets.told import ToldOnce
from net2vec_pl.errors import DataError, shorten

_log = logging.getLogger(__name__)
_INDEX_COLUMNS = ("image", "split", "ih", "iw", "sh", "sw")
_PAGE = f"{DOCS}#broden"
_MEMBERSHIP = re.compile(r"([^;()]+)\((\d+)\)")


@dataclass(frozen=True)
class _Row:
    """One line of index.csv."""

    image: str
    image_size: tuple[int, int]
    mask_size: tuple[int, int]
    maps: tuple[tuple[str, str], ...]  # (category, path)
    labels: tuple[tuple[str, int], ...]  # (category, number)

    def files(self) -> list[str]:
        return [self.image, *(path for _, path in self.maps)]


class BrodenReader(ConceptReader):
    """A dataset in BRODEN's layout.

    Rows without any annotation are left out (BRODEN has none). Two images are the same size
    throughout; a row of another size is unreadable.

    Args:
        root: The folder that holds ``index.csv`` and ``images/``.

    Raises:
        DataError: If the folder is no BRODEN (the absent file is named) or its tables contradict
            each other.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = _checked_root(Path(root).expanduser())
        self.name = self.root.resolve().name
        self._tell = ToldOnce(_log)
        names = [line["name"] for line in _read_csv(self.root / "category.csv", ("name",))]
        _check_unique("category", names, self.root / "category.csv")
        lines = _read_csv(self.root / "index.csv", (*_INDEX_COLUMNS, *names))
        if not lines:
            raise DataError(f"{self.root / 'index.csv'} lists no image.")
        rows, splits = [], []
        for number, line in enumerate(lines, start=2):  # line 1 is the header
            row = _parse_row(line, names, where=f"{self.root / 'index.csv'}, line {number}")
            if row.maps or row.labels:
                rows.append(row)
                splits.append(line["split"])
        if not rows:
            raise DataError(f"{self.root / 'index.csv'} annotates none of its images.")
        self._rows = rows
        self.image_names = [row.image for row in rows]
        _check_unique("image", self.image_names, self.root / "index.csv")
        self.is_train = np.array([split == "train" for split in splits])
        self.image_size = Counter(row.image_size for row in rows).most_common(1)[0][0]
        self.mask_size = Counter(row.mask_size for row in rows).most_common(1)[0][0]
        self.annotated = np.array(
            [[any(c == name for c, _ in (*r.maps, *r.labels)) for name in names] for r in rows]
        )
        mapped = {category for row in rows for category, _ in row.maps}
        self.categories = tuple(Category(name, pixels=name in mapped) for name in names)
        self.vocabulary = _read_vocabulary(self.root, self.categories)
        self._known = torch.zeros(1 << 16, dtype=torch.bool)
        self._known[torch.from_numpy(self.vocabulary.numbers)] = True
        self._known[0] = True

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        entry = self._rows[row]
        for what, given, wanted in (
            ("ih x iw", entry.image_size, self.image_size),
            ("sh x sw", entry.mask_size, self.mask_size),
        ):
            if given != wanted:
                raise UnreadableRowError(
                    f"its {what} is {given[0]}x{given[1]}, of most rows {wanted[0]}x{wanted[1]}"
                )
        for category, number in entry.labels:
            if not (0 < number < len(self._known) and self._known[number]):
                raise UnreadableRowError(f"label {number} of {category} is not in label.csv")
        maps = [self._read_map(path) for _, path in entry.maps]
        return Sample(
            image=self._read_image(self.root / "images" / entry.image),
            label_maps=torch.stack(maps) if maps else torch.zeros(0, *self.mask_size).int(),
            map_categories=tuple(category for category, _ in entry.maps),
            image_labels=entry.labels,
        )

    def files(self, row: int) -> list[str]:
        """Return image and maps of one row; see :class:`ConceptReader`."""
        folder = f"{self.root}/images/"  # text: a Path for each of 200,000 files takes a second
        return [folder + file for file in self._rows[row].files()]

    def _read_image(self, path: Path) -> UInt8[Tensor, "3 H W"]:
        height, width = self.image_size
        photograph = read_photograph(
            path, lambda size: size == (height, width), f"the dataset is {height}x{width}"
        )
        if photograph.unsure:
            self._tell(TURNED, self.name, path)
        return photograph.pixels

    def _read_map(self, path: str) -> Tensor:
        labels = read_label_map(self.root / "images" / path, self.mask_size)
        numbers = torch.where(labels < 0, UNKNOWN - labels, labels)
        if not self._known[numbers].all():
            wrong = sorted(set(numbers[~self._known[numbers]].tolist()))
            raise UnreadableRowError(
                f"mask {self.root / 'images' / path} holds labels that label.csv does not know: "
                f"{shorten(map(str, wrong))}"
            )
        return labels

    def fingerprint(self, row: int) -> bytes:
        """Digest the row's line of the index and the bytes of its files."""
        entry = self._rows[row]
        facts = repr((entry, bool(self.is_train[row])))
        return files_digest(facts, (self.root / "images" / file for file in entry.files()))


def _checked_root(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder. How to get BRODEN: {_PAGE}.")
    absent = [
        n for n in ("index.csv", "category.csv", "label.csv", "images") if not (root / n).exists()
    ]
    if absent:
        below = sorted(p.parent.name for p in root.glob("*/index.csv"))
        hint = f" Did you mean {root / below[0]}?" if below else f" {likely_layout(root)}"
        raise DataError(
            f"data.root={root} is not in BRODEN's layout: {shorten(absent)} absent.{hint} "
            f"The layout: {_PAGE}."
        )
    return root


def _read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"{path} is absent: {path.parent} is not in BRODEN's layout.")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a byte order mark
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    absent = [name for name in columns if name not in (reader.fieldnames or ())]
    if absent:
        raise DataError(f"{path} has no column {shorten(absent)}.")
    return [{key: value or "" for key, value in line.items() if key} for line in reader]


def _integer(text: str, what: str, where: str) -> int:
    if not text.isdecimal():
        raise DataError(f"{where}: {what} must be a whole number, not {text!r}.")
    return int(text)


def _parse_row(line: Mapping[str, str], categories: list[str], where: str) -> _Row:
    if line["split"] not in ("train", "val"):
        raise DataError(f"{where}: split must be 'train' or 'val', not {line['split']!r}.")
    ih, iw, sh, sw = (_integer(line[key], key, where) for key in ("ih", "iw", "sh", "sw"))
    if min(ih, iw, sh, sw) < 1:
        raise DataError(f"{where}: image size {ih}x{iw} and mask size {sh}x{sw} must be above 0.")
    cells = [
        (category, element.strip())
        for category in categories
        for element in line[category].split(";")
        if element.strip()
    ]
    return _Row(
        image=line["image"],
        image_size=(ih, iw),
        mask_size=(sh, sw),
        maps=tuple((category, text) for category, text in cells if not text.isdecimal()),
        labels=tuple((category, int(text)) for category, text in cells if text.isdecimal()),
    )


def _check_unique(what: str, names: list[str], where: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: {what} listed more than once: {shorten(twice)}.")


def _read_vocabulary(root: Path, categories: tuple[Category, ...]) -> Vocabulary:
    """Name the numbers; the primary category is that of largest coverage, ties to the later."""
    path = root / "label.csv"
    order = {category.name: place for place, category in enumerate(categories)}
    pixels = {category.name: category.pixels for category in categories}
    coverage = {category.name: _read_coverage(root, category.name) for category in categories}
    concepts = []
    for place, line in enumerate(_read_csv(path, ("number", "name", "category")), start=2):
        where = f"{path}, line {place}"
        number = _integer(line["number"], "number", where)
        if number == 0:
            continue
        if number >= 1 << 16:
            raise DataError(f"{where}: number {number} does not fit R + 256 * G.")
        members = tuple(name.strip() for name, _ in _MEMBERSHIP.findall(line["category"]))
        if not members or any(name not in order for name in members):
            raise DataError(f"{where}: category {line['category']!r} is not in category.csv.")
        primary = max(members, key=lambda name: (coverage[name].get(number, 0.0), order[name]))
        concepts.append(Concept(number, line["name"], primary, members, pixels[primary]))
    _check_unique("name", [c.name for c in concepts], path)
    _check_unique("number", [str(c.number) for c in concepts], path)
    return Vocabulary(concepts)


def _read_coverage(root: Path, category: str) -> dict[int, float]:
    path = root / f"c_{category}.csv"
    lines = _read_csv(path, ("number", "coverage"))
    try:
        coverage = {int(line["number"]): float(line["coverage"]) for line in lines}
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    if not all(map(math.isfinite, coverage.values())):
        raise DataError(f"{path}: coverage must be finite.")
    return coverage
