"""Recognise how a folder of images and masks is laid out, by the names of what lies in it."""

import json
from pathlib import Path

from net2vec_pl.datasets.files.image_files import is_image_file

DOCS = "docs/datasets.md"

# Folders that hold images, and folders that hold masks of label numbers, as datasets call them.
IMAGES = ("images", "JPEGImages", "leftImg8bit", "image", "imgs", "img", "photos", "img_dir")
MASKS = (
    "masks", "annotations", "SegmentationClass", "gtFine", "gtCoarse", "labels", "mask", "ann_dir",
    "segmentation", "segmentations",
)  # fmt: skip
_SPLITS = ("train", "val", "training", "validation")


def images_folder(root: Path) -> Path | None:
    """Return the folder below a root that holds images by its name, if there is one."""
    return next((root / name for name in IMAGES if (root / name).is_dir()), None)


def masks_folder(root: Path) -> Path | None:
    """Return the folder below a root that holds masks by its name, if there is one."""
    folders = (root / name for name in MASKS if (root / name).is_dir())
    return next((folder for folder in folders if not any(folder.glob("*.json"))), None)


def choice_of(root: Path) -> str | None:
    """Return which dataset a folder looks like: ``broden``, ``masks``, ``coco``, ``classes``.

    Args:
        root: The folder.

    Returns:
        The choice of ``data=``, or None where nothing tells.
    """
    if (root / "index.csv").is_file() and (root / "label.csv").is_file():
        return "broden"
    if images_folder(root) and masks_folder(root):
        return "masks"
    if any(map(_is_coco, [*root.glob("*.json"), *root.glob("annotations/*.json")])):
        return "coco"
    inside = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if {path.name for path in inside} & {*_SPLITS}:
        inside = [path for split in inside for path in split.iterdir() if path.is_dir()]
    if len(inside) > 1 and all(_holds_images_only(path) for path in inside):
        return "classes"
    return None


def likely_layout(root: Path) -> str:
    """Say which ``data=`` fits a folder, and which page helps."""
    choice = choice_of(root) if root.is_dir() else None
    if choice in (None, "broden"):
        return f"{DOCS} has the layouts that are read, and how to write BRODEN's."
    options = "data.annotations=FILE data.images=DIR" if choice == "coco" else f"data.root={root}"
    return f"It looks like data={choice} {options}: {DOCS}#{choice}."


def _is_coco(path: Path) -> bool:
    """Return whether a file begins as COCO's annotations do; large files are not read whole."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if b'"annotations"' in head and (b'"images"' in head or b'"categories"' in head):
        return True
    if not head.lstrip().startswith(b"{") or path.stat().st_size > 1 << 26:
        return b'"images"' in head and b'"license"' in head
    try:
        return {"images", "annotations"} <= {*json.loads(path.read_bytes())}
    except (ValueError, TypeError):
        return False


def _holds_images_only(folder: Path) -> bool:
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(inside) and all(is_image_file(path) for path in inside)
