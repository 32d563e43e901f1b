"""Read a JSON file of COCO's as objects, its annotations packed into bytes.

The files are large (860,000 annotations, 450 MB), so an annotation is packed as soon as it is
parsed, and processes that read images share these bytes.
"""

import gc
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from net2vec_pl.errors import DataError, shorten

PAGE = "docs/datasets.md#coco"
MASK, LABEL, BOX, PANOPTIC, OTHER = "mask", "label", "box", "panoptic", "other"
"""What an annotation gives: masks, a label of the image, no more than a box, a panoptic PNG."""

ImageId = int | str

_KEPT = ("id", "category_id", "iscrowd", "segmentation", "supercategory", "segments_info")
_SHOWN = 5


class Packed(NamedTuple):
    """An annotation: its image, category and kind, and all that is read of it later."""

    image: ImageId
    category: Any
    kind: str
    content: bytes


def load_json(path: Path) -> dict[str, Any]:
    """Read a file; its annotations come as :class:`Packed`. What is no object is read as empty.

    Raises:
        DataError: If it is absent, damaged or no JSON.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        near = sorted(file.name for file in path.parent.glob("*.json"))
        hint = f" {path.parent} holds {shorten(near, _SHOWN)}." if near else ""
        raise DataError(f"data.annotations={path}: no such file.{hint} See {PAGE}.") from error
    except OSError as error:
        raise fault(path, f"cannot be read: {error.strerror}. Name the JSON file") from error
    try:
        with _without_collector():
            content = json.loads(data, object_hook=_pack)
    except json.JSONDecodeError as error:
        if not error.doc.strip():
            raise fault(path, "is empty") from error
        cut = error.doc.lstrip()[:1] in "{[" and (
            error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        )
        raise fault(
            path,
            "ends in the middle: was it copied or downloaded only in part?"
            if cut
            else f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise fault(path, "is not JSON text") from error
    return content if isinstance(content, dict) else {}


@contextmanager
def _without_collector() -> Iterator[None]:
    """Spare the search for cycles, of which JSON has none: it takes half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _pack(entry: dict[str, Any]) -> Any:
    """Pack an annotation; leave every other object as it is."""
    if "image_id" not in entry or not isinstance(entry["image_id"], int | str):
        return entry
    kept = {name: entry[name] for name in _KEPT if name in entry}
    if "segments_info" in entry:
        kind = PANOPTIC
        kept["file_name"] = str(entry.get("file_name", ""))
    elif "category_id" not in entry:
        kind = OTHER
    elif entry.get("segmentation"):
        kind = MASK
    elif "segmentation" in entry or "bbox" in entry or "keypoints" in entry:
        kind = BOX
        kept.setdefault("segmentation", None)
    else:
        kind = LABEL
    return Packed(entry["image_id"], entry.get("category_id"), kind, pickle.dumps(kept, 5))


def shown(entry: object) -> str:
    """Show what is wrong in a message, shortened."""
    text = repr(entry)
    return text if len(text) <= 80 else f"{text[:77]}..."


def fault(path: Path, what: str) -> DataError:
    """Say what is wrong with a file, and which page helps."""
    end = "" if what.endswith("?") else "."
    return DataError(f"data.annotations={path} {what}{end} See {PAGE}.")
