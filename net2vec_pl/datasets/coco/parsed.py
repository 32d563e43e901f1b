"""What a JSON file of COCO's says, checked, image by image."""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from net2vec_pl.datasets.coco.json_file import (
    BOX,
    LABEL,
    OTHER,
    PANOPTIC,
    ImageId,
    Packed,
    fault,
    load_json,
    shown,
)  # fmt: skip
from net2vec_pl.errors import shorten

OBJECT = "object"
"""The category of concepts without a supercategory."""

_SHOWN = 5


@dataclass(frozen=True)
class CocoCategory:
    """A concept as the file names it.

    Args:
        number: Its id.
        name: Its name.
        supercategories: Where it belongs, the most frequent first.
    """

    number: int
    name: str
    supercategories: tuple[str, ...]


@dataclass(slots=True)
class CocoImage:
    """An image and what is said of it.

    Args:
        key: Its id.
        file: Path below the folder of images.
        size: (height, width) that the annotations are made for, in pixels.
        present: Ids of the categories that have an annotation.
        absent: Ids of the categories that were looked for and not found (LVIS).
        incomplete: Ids of the categories of which not every instance is annotated (LVIS).
        annotated: Supercategories that were annotated; None for all.
        panoptic: Name of the PNG with its segments, empty if there is none.
        packed: Its annotations.
    """

    key: ImageId
    file: str
    size: tuple[int, int]
    absent: tuple[int, ...] = ()
    incomplete: tuple[int, ...] = ()
    annotated: tuple[str, ...] | None = None
    panoptic: str = ""
    present: set[int] = field(default_factory=set)
    packed: list[bytes] = field(default_factory=list)

    def annotations(self) -> Iterator[dict[str, Any]]:
        """Return the annotations, as in the file but for what is not read."""
        return map(pickle.loads, self.packed)


@dataclass(frozen=True)
class CocoFile:
    """What a file holds.

    Args:
        path: The file.
        images: Its images, in its order.
        categories: Its categories by id, in its order.
        federated: Whether each image says which categories were looked for, as LVIS does.
        masked: Supercategories of which the file has masks.
        labelled: Supercategories of which it has labels for whole images.
        listed: Supercategories and whether they have masks, where the file says so itself.
    """

    path: Path
    images: list[CocoImage]
    categories: dict[int, CocoCategory]
    federated: bool
    masked: set[str]
    labelled: set[str]
    listed: Mapping[str, bool]


def read_coco(path: Path) -> CocoFile:
    """Read a file.

    Args:
        path: A JSON file with images, annotations and categories.

    Raises:
        DataError: If it cannot be read, is damaged, contradicts itself or has no masks.
    """
    content = load_json(path)
    annotations = _entries(path, content, "annotations")
    _check_kinds(path, annotations)
    categories = _categories(path, _entries(path, content, "categories"))
    images = _images(path, _entries(path, content, "images"))
    by_id = {image.key: image for image in images}
    masked: set[str] = set()
    labelled: set[str] = set()
    for annotation in annotations:
        image, seen = _place(path, annotation, by_id, categories)
        image.present |= seen
        image.packed.append(annotation.content)
        if annotation.kind == PANOPTIC:
            image.panoptic = pickle.loads(annotation.content)["file_name"]
        kinds = labelled if annotation.kind == LABEL else masked
        for number in seen:
            kinds.update(categories[number].supercategories)
    federated = any("neg_category_ids" in image for image in content["images"])
    listed = _listed(content.get("supercategories"))
    return CocoFile(path, images, categories, federated, masked, labelled, listed)


def _listed(entries: object) -> dict[str, bool]:
    """Read the supercategories as ``task=convert`` lists them; other files have no such list."""
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        return {}
    return {
        str(one["name"]): bool(one["pixels"]) for one in entries if {"name", "pixels"} <= {*one}
    }


def _entries(path: Path, content: Mapping[str, Any], name: str) -> list[Any]:
    entries = content.get(name)
    if isinstance(entries, list):
        return entries
    raise fault(
        path,
        f"has no list of {name}; COCO's layout has images, annotations and categories "
        f"(found: {shorten(content) or 'none of them'})",
    )


def _check_kinds(path: Path, annotations: Iterable[Any]) -> None:
    """Refuse a file that has annotations, none of which is of use."""
    kinds = {a.kind if isinstance(a, Packed) else None for a in annotations}
    if None in kinds:
        raise fault(path, "has annotations without image_id, which says what image they belong to")
    if OTHER in kinds:
        raise fault(
            path,
            "has annotations without category_id, such as captions: they say nothing of where a "
            "concept is. COCO's masks are in instances_*.json, stuff_*.json and panoptic_*.json",
        )
    if kinds == {BOX}:
        raise fault(
            path,
            "has boxes or keypoints only: no annotation has a segmentation. Masks are needed; "
            "export polygons or RLE masks",
        )


def _categories(path: Path, entries: list[Any]) -> dict[int, CocoCategory]:
    found: dict[int, CocoCategory] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str | int):
            raise fault(path, f"has a category without a name: {shown(entry)}")
        number, name = entry.get("id"), str(entry["name"]).strip()
        if type(number) is not int or not 0 <= number < 1 << 31:
            raise fault(path, f"category {name!r} has the id {number!r}, not a whole number")
        if not name:
            raise fault(path, f"has a category without a name: {shown(entry)}")
        given = entry.get("supercategories") or [entry.get("supercategory")]
        if number in found:
            raise fault(
                path, f"category id {number} belongs to {found[number].name!r} and {name!r}"
            )
        supercategories = tuple(str(one).strip() if one else OBJECT for one in given)
        found[number] = CocoCategory(number, name, supercategories)
    _check_unique(path, "category name", [category.name for category in found.values()])
    if not found:
        raise fault(path, "names no category")
    return found


def _images(path: Path, entries: list[Any]) -> list[CocoImage]:
    found = [_image(path, entry) for entry in entries]
    if not found:
        raise fault(path, "lists no image")
    _check_unique(path, "image id", [image.key for image in found])
    _check_unique(path, "image", [image.file for image in found])
    return found


def _image(path: Path, entry: Any) -> CocoImage:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
        raise fault(path, f"has an image without an id: {shown(entry)}")
    # LVIS has addresses only; their last parts are the folder and the file of COCO.
    file = entry.get("file_name") or "/".join(str(entry.get("coco_url", "")).split("/")[-2:])
    height, width = entry.get("height"), entry.get("width")
    if not file or not isinstance(file, str):
        raise fault(path, f"image {entry['id']!r} has no file_name")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise fault(
            path, f"image {file} has the size {height!r}x{width!r} (height x width); masks need it"
        )
    annotated = entry.get("annotated_supercategories")
    return CocoImage(
        key=entry["id"],
        file=file.replace("\\", "/"),
        size=(height, width),
        absent=tuple(entry.get("neg_category_ids", ())),
        incomplete=tuple(entry.get("not_exhaustive_category_ids", ())),
        annotated=None if annotated is None else tuple(annotated),
    )


def _place(
    path: Path,
    annotation: Packed,
    images: Mapping[ImageId, CocoImage],
    categories: Mapping[int, CocoCategory],
) -> tuple[CocoImage, set[int]]:
    """Return the image of an annotation, and the categories that it shows."""
    image = images.get(annotation.image)
    if image is None:
        raise fault(path, f"has an annotation of image id {annotation.image!r}, which it lacks")
    numbers = [annotation.category]
    if annotation.kind == PANOPTIC:
        segments = pickle.loads(annotation.content)["segments_info"]
        numbers = [segment.get("category_id") for segment in segments]
    wrong = [number for number in numbers if number not in categories]
    if wrong:
        raise fault(
            path,
            f"has an annotation of category id {wrong[0]!r} on {image.file}; its categories are "
            f"{shorten(map(str, categories))}",
        )
    return image, set(numbers)


def _check_unique(path: Path, what: str, names: list[Any]) -> None:
    if len({*names}) == len(names):
        return
    seen: set[Any] = set()
    twice = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    raise fault(path, f"has the same {what} more than once: {shorten(map(str, twice), _SHOWN)}")
