"""Turn a folder in BRODEN's layout (CamVid) into COCO's JSON; shares nothing with the package.

Masks become runs (RLE), which lose nothing, or the polygons that an annotator's tool would export:
outlines of each part, cut where it has holes, for COCO's polygons have none.
"""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from support.fake_data.coco import runs

Mask = npt.NDArray[np.bool_]


def camvid_as_coco(root: Path, out: Path, form: Callable[[Mask], Any]) -> list[Path]:
    """Write the train and val files of a folder whose masks are half as large as its images.

    Args:
        root: The folder in BRODEN's layout.
        out: The folder for the two files; images stay where they are.
        form: How a mask is written: :func:`~support.fake_data.coco.runs` or :func:`polygons`.
    """
    out.mkdir()
    with (root / "label.csv").open(newline="") as file:
        labels = [(int(r["number"]), r["name"], r["category"]) for r in csv.DictReader(file)]
    categories = [
        {"id": number, "name": name, "supercategory": category.partition("(")[0]}
        for number, name, category in labels
    ]
    sides: dict[str, dict[str, Any]] = {
        side: {"images": [], "annotations": [], "categories": categories}
        for side in ("train", "val")
    }
    with (root / "index.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            side = sides[row["split"]]
            height, width = int(row["ih"]), int(row["iw"])
            side["images"].append(
                {"id": number, "file_name": row["image"], "height": height, "width": width}
            )
            for cell in (row["color"], row["object"], row["scene"]):
                side["annotations"].extend(
                    {"id": 0, "image_id": number} | entry for entry in _entries(root, cell, form)
                )
    for name, content in sides.items():
        (out / f"{name}.json").write_text(json.dumps(content))
    return [out / "train.json", out / "val.json"]


def _entries(root: Path, cell: str, form: Callable[[Mask], Any]) -> Iterator[dict[str, Any]]:
    for element in filter(None, cell.split(";")):
        if element.isdecimal():
            yield {"category_id": int(element)}
            continue
        pixels = np.array(Image.open(root / "images" / element)).astype(int)
        numbers = (pixels[..., 0] + 256 * pixels[..., 1]).repeat(2, axis=0).repeat(2, axis=1)
        for number in sorted({*numbers.flatten().tolist()} - {0}):
            segmentation = form(numbers == number)
            yield {"category_id": number, "segmentation": segmentation, "iscrowd": 0}


def polygons(mask: Mask) -> list[list[float]]:
    """Outline a mask, in COCO's coordinates, in which pixel (0, 0) reaches from 0 to 1."""
    found: list[list[float]] = []
    parts, count = ndimage.label(mask)
    for part in range(1, count + 1):
        found.extend(_outlines(parts == part))
    return found


def _outlines(part: Mask) -> Iterator[list[float]]:
    holes = ndimage.binary_fill_holes(part) & ~part
    if holes.any():
        cut = int(np.flatnonzero(holes.any(axis=0))[0]) + 1  # through the first hole
        for side in (np.arange(part.shape[1]) < cut, np.arange(part.shape[1]) >= cut):
            yield from polygons(part & side)
        return
    padded = np.pad(part.astype(float), 1)
    for line in contourpy.contour_generator(z=padded).lines(0.5):
        # The middle of pixel 0 is at 1 of the padded grid and at 0.5 of COCO's.
        points = np.clip(np.asarray(line) - 0.5, 0, [part.shape[1], part.shape[0]])
        yield points[:-1].flatten().tolist()


__all__ = ["camvid_as_coco", "polygons", "runs"]
