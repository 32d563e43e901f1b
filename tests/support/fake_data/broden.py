"""Write tiny datasets in the layout of broden1_224, _227 and _384.

As in the release: ``index.csv`` has a row per image, its columns in the release's order; a cell is
empty or a ``;`` list of label numbers and of maps, which are 8-bit RGB PNGs with number = R + 256 G
beside the image, ``<stem>_<category>.png`` or ``<stem>_<category>_<1..n>.png``. Nothing is
shared with the package or its writer.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
IMAGE_SIZE = (8, 10)
MASK_SIZE = (4, 5)

Grid = NDArray[np.int64]
Cell = Sequence[int | Grid]
Table = list[dict[str, str]]


@dataclass(frozen=True)
class FakeImage:
    """A row of index.csv; each cell holds label numbers and maps of them, in order."""

    name: str
    split: str = "train"
    cells: Mapping[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeLabel:
    """A row of label.csv; ``coverage`` by category overrules what is counted on the images."""

    number: int
    name: str
    categories: tuple[str, ...]
    coverage: Mapping[str, float] = field(default_factory=dict)


def grid(*rows: Sequence[int]) -> Grid:
    """Return a map of label numbers."""
    return np.array(rows, dtype=np.int64)


GOLDEN_LABELS = (
    FakeLabel(2, "red-c", ("color",)),
    FakeLabel(5, "wheel", ("object", "part")),  # 8 and 3 pixels as an object, 20 + 3 as a part
    FakeLabel(60, "handle", ("object", "part"), {"object": 0.25, "part": 0.25}),
    FakeLabel(61, "door", ("part", "object"), {"object": 0.5, "part": 0.25}),
    FakeLabel(62, "brick", ("material",)),
    FakeLabel(70, "street-s", ("scene",)),
    FakeLabel(71, "dotted", ("texture",)),
    FakeLabel(256, "car", ("object",)),
    FakeLabel(300, "lid", ("part",)),
    FakeLabel(700, "paint", ("material",)),
)

GOLDEN_IMAGES = (
    FakeImage(  # everything at once: parts in two layers, one pixel of which carries 5 and 300
        "ade/one.jpg",
        "train",
        {
            "color": [grid([2, 2, 2, 2, 2], [2, 0, 0, 0, 2], [0] * 5, [2] * 5)],
            "object": [grid([256] * 5, [256, 256, 5, 5, 0], [0, 0, 60, 61, 61], [0] * 5)],
            "part": [
                grid([5, 5, 0, 0, 0], [0] * 5, [0, 0, 0, 0, 60], [0] * 5),
                grid([300, 0, 300, 0, 0], [0] * 5, [0] * 5, [0, 0, 0, 0, 5]),
            ],
            "scene": [70],
        },
    ),
    FakeImage(  # a mixed cell: a map, and the wheel as a number, so everywhere
        "ade/two.jpg",
        "train",
        {
            "object": [grid([0] * 5, [0, 5, 5, 0, 0], [0] * 5, [0, 0, 0, 0, 256])],
            "part": [grid([61, 300, 0, 0, 0], [0] * 5, [0] * 5, [0] * 5), 5],
            "scene": [70],
        },
    ),
    FakeImage("none/zero.jpg", "train"),  # nothing annotated: no row of the dataset
    FakeImage(  # no object and no part was ever annotated here
        "opensurfaces/three.jpg",
        "val",
        {
            "color": [grid([2] * 5, [0] * 5, [0] * 5, [0] * 5)],
            "material": [grid([700] * 5, [700] * 5, [0, 0, 62, 700, 700], [0] * 5)],
        },
    ),
    FakeImage("dtd/four.jpg", "val", {"texture": [71]}),
    FakeImage(  # objects were annotated, and there are none
        "pascal/five.jpg",
        "val",
        {
            "object": [np.zeros(MASK_SIZE, dtype=np.int64)],
            "part": [grid([5, 5, 5, 0, 0], [0] * 5, [0] * 5, [300] * 5)],
        },
    ),
)


def random_images(count: int, seed: int = 0) -> tuple[FakeImage, ...]:
    """Return images with GOLDEN_LABELS in random places, some unannotated, every third val."""
    rng = np.random.default_rng(seed)
    members = {
        category: [0, *(x.number for x in GOLDEN_LABELS if category in x.categories)]
        for category in CATEGORIES
    }
    images = []
    for i in range(count):
        cells: dict[str, Cell] = {}
        for category, layers in (("color", 1), ("object", 1), ("part", 2)):
            if category == "color" or rng.random() < 0.6:
                cells[category] = [
                    rng.choice(members[category], size=MASK_SIZE, p=_mostly_zero(members[category]))
                    for _ in range(layers)
                ]
        if rng.random() < 0.4:
            cells["scene"] = [70]
        if rng.random() < 0.3:
            cells["part"] = [*cells.get("part", []), 5]
        images.append(FakeImage(f"some/{i:03d}.jpg", "val" if i % 3 == 2 else "train", cells))
    return tuple(images)


def _mostly_zero(numbers: Sequence[int]) -> list[float]:
    return [0.7, *[0.3 / (len(numbers) - 1)] * (len(numbers) - 1)]


def write_broden_fixture(
    folder: Path,
    images: Sequence[FakeImage] = GOLDEN_IMAGES,
    labels: Sequence[FakeLabel] = GOLDEN_LABELS,
    *,
    image_size: tuple[int, int] = IMAGE_SIZE,
    mask_size: tuple[int, int] = MASK_SIZE,
) -> Path:
    """Write a dataset of these images and return its folder.

    Args:
        folder: Where to; made if absent.
        images: Rows of index.csv, in order.
        labels: Rows of label.csv, in order.
        image_size: (ih, iw) of every image; their pixels are noise.
        mask_size: (sh, sw) of every map.
    """
    rows = []
    for i, image in enumerate(images):
        stem = PurePosixPath(image.name)
        write_picture(folder / "images" / stem, image_size, seed=i)
        row: dict[str, object] = {"image": image.name, "split": image.split}
        row |= dict(zip(("ih", "iw", "sh", "sw"), (*image_size, *mask_size), strict=True))
        for category in CATEGORIES:
            row[category] = _write_cell(image.cells.get(category, ()), category, stem, folder)
        rows.append(row)
    write_table(folder / "index.csv", rows)
    _write_label_tables(folder, images, labels, mask_size)
    return folder


def _write_cell(cell: Cell, category: str, image: PurePosixPath, folder: Path) -> str:
    layers = sum(not isinstance(element, int) for element in cell)
    layer, elements = 0, []
    for element in cell:
        if isinstance(element, int):
            elements.append(str(element))
            continue
        layer += 1
        suffix = f"_{category}_{layer}.png" if layers > 1 else f"_{category}.png"
        path = image.with_name(image.stem + suffix)
        write_map(folder / "images" / path, element)
        elements.append(str(path))
    return ";".join(elements)


def write_map(path: Path, numbers: Grid) -> None:
    """Write label numbers as R + 256 G; blue means nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = np.stack([numbers % 256, numbers // 256, np.zeros_like(numbers)], axis=-1)
    Image.fromarray(channels.astype(np.uint8)).save(path)


def write_picture(path: Path, size: tuple[int, int], seed: int = 0, mode: str = "RGB") -> None:
    """Write noise in a mode of PIL's (RGB, L, CMYK ...); the suffix chooses the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = size if channels == 1 else (*size, channels)
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(noise, mode).save(path)


def _write_label_tables(
    folder: Path,
    images: Sequence[FakeImage],
    labels: Sequence[FakeLabel],
    mask_size: tuple[int, int],
) -> None:
    frequency, coverage = _count(images, mask_size)
    for label in labels:
        coverage.update({(category, label.number): c for category, c in label.coverage.items()})
    label_rows, category_rows = [], []
    for label in labels:
        keys = [(category, label.number) for category in label.categories]
        members = ";".join(f"{category}({frequency[category, n]})" for category, n in keys)
        counts = (sum(frequency[key] for key in keys), sum(coverage[key] for key in keys))
        label_rows.append(
            {"number": label.number, "name": label.name, "category": members}
            | dict(zip(("frequency", "coverage", "syns"), (*counts, ""), strict=True))
        )
    write_table(folder / "label.csv", label_rows)
    for category in CATEGORIES:
        codes = [
            {
                "code": code,
                "number": label.number,
                "name": label.name,
                "frequency": frequency[category, label.number],
                "coverage": coverage[category, label.number],
            }
            for code, label in enumerate((x for x in labels if category in x.categories), start=1)
        ]
        columns = ("code", "number", "name", "frequency", "coverage")
        write_table(folder / f"c_{category}.csv", codes, columns)
        numbers = [label.number for label in labels if category in label.categories] or [0]
        total = sum(frequency[category, number] for number in numbers)
        row = (category, min(numbers), max(numbers), len(codes), total)
        category_rows.append(
            dict(zip(("name", "first", "last", "count", "frequency"), row, strict=True))
        )
    write_table(folder / "category.csv", category_rows)


def _count(
    images: Sequence[FakeImage], mask_size: tuple[int, int]
) -> tuple[defaultdict[tuple[str, int], int], defaultdict[tuple[str, int], float]]:
    """Count images and covered shares by (category, number); layers cover separately."""
    frequency: defaultdict[tuple[str, int], int] = defaultdict(int)
    coverage: defaultdict[tuple[str, int], float] = defaultdict(float)
    for image in images:
        for category, cell in image.cells.items():
            seen: set[int] = set()
            for element in cell:
                full = np.full(mask_size, element) if isinstance(element, int) else element
                for number in set(full[full > 0].tolist()):
                    coverage[category, number] += float((full == number).mean())
                    seen.add(number)
            for number in seen:
                frequency[category, number] += 1
    return frequency, coverage


def write_table(
    path: Path, rows: Sequence[Mapping[str, object]], columns: Iterable[str] | None = None
) -> None:
    """Write a CSV file; the columns are those of the first row unless given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns or rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> Table:
    """Read a CSV file, to be changed and written again."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def set_cell(path: Path, row: int, column: str, value: str) -> None:
    """Change one cell of a CSV file; rows count from 0 below the header."""
    rows = read_table(path)
    rows[row][column] = value
    write_table(path, rows)
