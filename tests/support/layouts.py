"""One tiny set of scenes, written in every layout that is read."""

import csv
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask
from torch.utils.data import Dataset

from net2vec_pl.config.readers import READERS, open_reader
from net2vec_pl.data import ConceptReader
from net2vec_pl.datasets import DatasetReader
from net2vec_pl.formats.broden_writer import write_broden

NAMES = ("box", "sky", "tree top")
TRAIN = 8  # of COUNT images
COUNT = 12
SIDE = 48
UNKNOWN = 255


def scene(row: int, *, unsure: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture (SIDE, SIDE, 3) and the labels of half its size; no two of them overlap.

    Args:
        row: Which scene.
        unsure: Whether a block of the labels is unknown, 255.
    """
    rng = np.random.default_rng(row)
    labels = np.zeros((SIDE // 2, SIDE // 2), dtype=np.uint8)
    for label in range(1, 4):
        if label == 1 or rng.random() < 0.7:
            top, left = rng.integers(0, 14, 2)
            part = labels[8 * (label - 1) : 8 * label]
            part[top % 4 : top % 4 + 4, left : left + 9] = label
    colours = np.array([[90, 90, 90], [220, 40, 40], [40, 90, 230], [30, 160, 60]])
    picture = colours[labels.repeat(2, 0).repeat(2, 1)] + rng.integers(-20, 20, (SIDE, SIDE, 3))
    if unsure:
        labels[row : row + 9, 5:12] = UNKNOWN
    return picture.clip(0, 255).astype(np.uint8), labels


def side(row: int) -> str:
    """Return the split of a row."""
    return "train" if row < TRAIN else "val"


def write_images(folder: Path) -> None:
    """Write the pictures, without loss."""
    folder.mkdir(parents=True)
    for row in range(COUNT):
        Image.fromarray(scene(row)[0]).save(folder / f"{row:03d}.png")


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def write_split(path: Path) -> None:
    """Write which image is in which split."""
    write_rows(path, [{"image": f"{row:03d}", "split": side(row)} for row in range(COUNT)])


def opened(name: str, **options: Any) -> ConceptReader:
    """Open a dataset by name; options that are not given are those of its file of defaults."""
    defaults: Mapping[str, Any] = {
        **dict.fromkeys(READERS[name].options),
        "name": name,
        "resize": "squash",
        "group": None,
        "download": False,
        "unknown": "auto",
        "seed": 0,
    }
    return open_reader({**defaults, **options}, lambda: (SIDE, SIDE))


def as_dataset(_: Path, *, unsure: bool = False) -> ConceptReader:
    """Give the scenes as a torch dataset."""

    class Scenes(Dataset[Any]):
        def __len__(self) -> int:
            return COUNT

        def __getitem__(self, row: int) -> Any:
            return scene(row, unsure=unsure)

    return DatasetReader(Scenes(), NAMES, split=[side(row) for row in range(COUNT)])


def as_broden(root: Path, *, unsure: bool = False) -> ConceptReader:
    """Write the scenes in BRODEN's layout."""
    write_broden(as_dataset(root, unsure=unsure), root / "broden")
    return opened("broden", root=root / "broden")


def as_index_masks(root: Path, *, unsure: bool = False) -> ConceptReader:
    """Write a mask of label numbers for each image."""
    write_images(root / "images")
    (root / "masks").mkdir()
    for row in range(COUNT):
        Image.fromarray(scene(row, unsure=unsure)[1]).save(root / "masks" / f"{row:03d}.png")
    write_split(root / "split.csv")
    return opened("masks", root=root, labels=[*NAMES], split="split.csv")


def write_concept_masks(folder: Path, pattern: str) -> None:
    """Write a mask for each concept of each image."""
    for row in range(COUNT):
        for label, name in enumerate(NAMES, 1):
            path = folder / pattern.format(concept=name, image=f"{row:03d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = scene(row)[1] == label
            if shown.any():
                Image.fromarray(shown.astype(np.uint8) * 255).save(path)


def as_folders_of_concepts(root: Path) -> ConceptReader:
    """Write masks/CONCEPT/NAME.png."""
    write_images(root / "images")
    write_concept_masks(root / "masks", "{concept}/{image}.png")
    write_split(root / "split.csv")
    return opened("masks", root=root, concept_from="folder", labels=[*NAMES], split="split.csv")


def as_suffixes_of_concepts(root: Path) -> ConceptReader:
    """Write masks/NAME_CONCEPT.png."""
    write_images(root / "images")
    write_concept_masks(root / "masks", "{image}_{concept}.png")
    write_split(root / "split.csv")
    return opened("masks", root=root, concept_from="suffix", labels=[*NAMES], split="split.csv")


def as_table(root: Path) -> ConceptReader:
    """Write a table of images, concepts and masks."""
    write_images(root / "images")
    write_concept_masks(root / "masks", "{image}-{concept}.png")
    lines = [
        {
            "image": f"images/{row:03d}.png",
            "concept": name,
            "mask": f"masks/{row:03d}-{name}.png",
            "split": side(row),
        }
        for row in range(COUNT)
        for label, name in enumerate(NAMES, 1)
        if (scene(row)[1] == label).any()
    ]
    write_rows(root / "table.csv", lines)
    return opened("table", file=root / "table.csv")


def as_coco(root: Path, *, unsure: bool = False) -> ConceptReader:
    """Write COCO's JSON for train and val; what is unknown is a crowd of every concept."""
    write_images(root / "images")
    for part in ("train", "val"):
        rows = [row for row in range(COUNT) if side(row) == part]
        annotations = [
            {"image_id": row, "category_id": label, "iscrowd": crowd, "segmentation": rle(shown)}
            for row in rows
            for label in range(1, 1 + len(NAMES))
            for crowd, shown in enumerate(
                scene(row, unsure=unsure)[1] == v for v in (label, UNKNOWN)
            )
            if shown.any()
        ]
        numbered = [{"id": i, **annotation} for i, annotation in enumerate(annotations, 1)]
        files = [
            {"id": row, "file_name": f"{row:03d}.png", "height": SIDE, "width": SIDE}
            for row in rows
        ]
        named = [
            {"id": label, "name": name, "supercategory": "object"}
            for label, name in enumerate(NAMES, 1)
        ]
        content = {"images": files, "annotations": numbered, "categories": named}
        (root / f"{part}.json").write_text(json.dumps(content))
    both = [str(root / "train.json"), str(root / "val.json")]
    return opened("coco", annotations=both, images=str(root / "images"), split=0.3)


def rle(shown: np.ndarray) -> dict[str, Any]:
    """Encode a mask of half the side at the size of the images."""
    full = np.asfortranarray(shown.repeat(2, 0).repeat(2, 1).astype(np.uint8))
    encoded = mask.encode(full)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


LAYOUTS: Mapping[str, Callable[[Path], ConceptReader]] = {
    "broden": as_broden,
    "index masks": as_index_masks,
    "a folder a concept": as_folders_of_concepts,
    "a suffix a concept": as_suffixes_of_concepts,
    "table": as_table,
    "coco": as_coco,
    "dataset": as_dataset,
}
"""Writes the scenes below an empty folder and opens them, by the name of the layout."""

UNSURE: Mapping[str, Callable[[Path], ConceptReader]] = {
    "broden": partial(as_broden, unsure=True),
    "index masks": partial(as_index_masks, unsure=True),
    "coco": partial(as_coco, unsure=True),
    "dataset": partial(as_dataset, unsure=True),
}
"""The same for scenes with unknown pixels, in the layouts that can say so."""
