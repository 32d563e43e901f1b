"""Tiny sets in the layouts of VOC, Cityscapes, ADE20K SceneParse, CVAT and Label Studio.

Each writer returns the labels that were drawn, by the name of the image.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((12, 18), (16, 10))  # (height, width) of photographs, in turn
Drawn = dict[str, np.ndarray]


def photograph(row: int) -> np.ndarray:
    """Draw noise."""
    rng = np.random.default_rng(row)
    return rng.integers(0, 256, (*SIZES[row % 2], 3), dtype=np.uint8)


def labels(row: int, values: tuple[int, ...]) -> np.ndarray:
    """Draw stripes of labels."""
    height, width = SIZES[row % 2]
    drawn = np.zeros((height, width), dtype=np.uint8)
    for place, value in enumerate(values):
        drawn[2 * place : 2 * place + 2, row : width - place] = value
    return drawn


def save(pixels: np.ndarray, path: Path, colours: list[int] | None = None) -> None:
    """Save an image, with a palette if there are colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if colours is not None:
        image.putpalette(colours)
    image.save(path)


def write_voc(root: Path) -> Drawn:
    """Write VOC2012: palette masks of some of the images, with a line of 255 around objects."""
    drawn = {}
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for row in range(5):
        name = f"2007_{row:06d}"
        save(photograph(row), root / "JPEGImages" / f"{name}.jpg")
        if row < 4:
            drawn[name] = labels(row, (1, 15, 255))
            path = root / "SegmentationClass" / f"{name}.png"
            save(drawn[name], path, [(37 * value) % 256 for value in range(768)])
            lists["train" if row < 2 else "val"].append(name)
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return drawn


def write_cityscapes(root: Path) -> Drawn:
    """Write Cityscapes: images in cities, beside each mask files of other kinds."""
    drawn = {}
    for row, place in enumerate(("train/aachen", "train/ulm", "val/lindau")):
        city = place.split("/")[1]
        stem = f"{place}/{city}_{row:06d}_000019"
        save(photograph(row), root / "leftImg8bit" / f"{stem}_leftImg8bit.png")
        drawn[stem] = labels(row, (7, 3, 33))
        save(drawn[stem], root / "gtFine" / f"{stem}_gtFine_labelIds.png")
        save(photograph(9), root / "gtFine" / f"{stem}_gtFine_color.png")
        (root / "gtFine" / f"{stem}_gtFine_polygons.json").write_text("{}")
    return drawn


def write_sceneparse(root: Path) -> Drawn:
    """Write ADE20K SceneParse: grey masks, 0 for what has none of the 150 labels."""
    drawn = {}
    for row, place in enumerate(("training", "training", "validation")):
        stem = f"{place}/ADE_{row:08d}"
        save(photograph(row), root / "images" / f"{stem}.jpg")
        drawn[stem] = labels(row, (1, 150, 3))
        save(drawn[stem], root / "annotations" / f"{stem}.png")
    lines = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    lines += [f"{n}\t0.1\t9\t1\t1\tthing, {n}" for n in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    return drawn


CVAT_COLOURS = {0: (0, 0, 0), 1: (250, 50, 83), 2: (51, 221, 255)}


def write_cvat(root: Path) -> Drawn:
    """Write an export of CVAT, "Segmentation mask 1.1": masks in colours, with a table of them."""
    drawn = {}
    for row in range(3):
        save(photograph(row), root / "JPEGImages" / f"shot {row}.png")
        drawn[f"shot {row}"] = labels(row, (1, 2))
        colours = np.array([CVAT_COLOURS[n] for n in range(3)], dtype=np.uint8)
        save(colours[drawn[f"shot {row}"]], root / "SegmentationClass" / f"shot {row}.png")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "cat:250,50,83::"]
    (root / "labelmap.txt").write_text("\n".join([*lines, "sofa:51,221,255::"]) + "\n")
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    (folder / "default.txt").write_text("".join(f"shot {row}\n" for row in range(3)))
    return drawn


def write_label_studio(root: Path) -> Drawn:
    """Write an export of Label Studio: brush masks named by task, and the list of tasks."""
    drawn, tasks = {}, []
    for row in range(3):
        save(photograph(row), root / "images" / f"{row}.png")
        drawn[f"{row}"] = labels(row, (1, 2))
        tasks.append({"id": 40 + row, "image": f"/data/upload/1/0a1b2c3d-{row}.png"})
        for label, name in ((1, "cat"), (2, "sofa")):
            shown = np.where(drawn[f"{row}"] == label, 255, 0).astype(np.uint8)
            file = f"task-{40 + row}-annotation-{7 + row}-by-1-tag-{name}-0.png"
            save(shown, root / "brush" / file)
    (root / "tasks.json").write_text(json.dumps(tasks))
    return drawn
