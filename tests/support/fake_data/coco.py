"""Write tiny datasets in COCO's layout. Nothing is shared with the package or its writer."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "living"},
    {"id": 3, "name": "dog", "supercategory": "living"},
    {"id": 90, "name": "cup", "supercategory": "kitchen"},
]


def square(left: int, top: int, right: int, bottom: int) -> list[int]:
    """Return a polygon around the pixels from (left, top) up to, not with, (right, bottom)."""
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask as uncompressed runs, column by column, of outside and inside in turn."""
    flat = mask.flatten(order="F").astype(int)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    ends = [0, *changes, len(flat)]
    counts = [b - a for a, b in pairwise(ends)]
    return {"size": [*mask.shape], "counts": counts}


def image(number: int, size: tuple[int, int] = (8, 12), **more: Any) -> dict[str, Any]:
    """Return an image as the JSON lists it; size is (height, width)."""
    name = f"{number:04d}.png"
    return {"id": number, "file_name": name, "height": size[0], "width": size[1]} | more


def annotation(number: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    """Return an annotation of an image."""
    return {
        "id": number * 100 + category,
        "image_id": number,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": 0,
    } | more


def write_json(
    path: Path,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]] = CATEGORIES,
) -> Path:
    """Write a JSON file, and beside it the images that are not there yet, grey and of one size."""
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    for entry in images:
        file = path.parent / str(entry.get("file_name"))
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            shade = 10 * int(entry["id"]) % 256 if isinstance(entry["id"], int) else 99
            Image.new("RGB", (entry["width"], entry["height"]), (shade, 7, 7)).save(file)
    return path
