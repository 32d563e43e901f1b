"""Write any dataset as COCO's JSON with PNG images; ``data=coco`` reads it back as it was.

``train.json`` and ``val.json`` hold the two sides, ``images/`` the images. A concept is a category,
its primary category the supercategory. Every concept of an image is one annotation, an RLE mask at
the size of the image; where it is unknown whether the concept is there, a second one has
``iscrowd`` 1. A label of a whole image is an annotation without a mask, as in iNaturalist.

What COCO has no word for stands under names of its own, which other tools pass over:
``supercategories`` of the file (all of them in order, and whether they have masks) and of a
category (if more than one), ``supercategory`` of an annotation (if not the first), and
``annotated_supercategories`` of an image (if not all were annotated).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from net2vec_pl.concepts import Concept
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample, unknown_label
from net2vec_pl.datasets.coco.masks import coco_tools
from net2vec_pl.errors import DataError
from net2vec_pl.formats.checked import check_reader, checked_sample
from net2vec_pl.formats.written import new_folder, png_paths, save_png

_Mask = Bool[np.ndarray, "height width"]


def write_coco(reader: ConceptReader, folder: Path) -> None:
    """Write a dataset as COCO's JSON and PNG images.

    Rows keep their order (it is that of the image ids) and their names, but for the suffix. Masks
    are enlarged to the size of the images; read at their own size they are as they were.

    Args:
        reader: The dataset.
        folder: Where to; it must not exist, or be empty. It appears when all of it is written.

    Raises:
        ConfigError: If pycocotools is absent.
        DataError: If the folder holds anything, the masks are larger than the images, or the
            reader contradicts itself.
    """
    coco_tools()
    check_reader(reader)
    (height, width), (rows, columns) = reader.image_size, reader.mask_size
    if rows > height or columns > width:
        raise DataError(
            f"the masks of {reader.name} are {rows}x{columns}, larger than its images "
            f"({height}x{width}); COCO holds masks at the size of the images. Choose smaller masks."
        )
    images = png_paths(reader.image_names, "COCO's")
    with new_folder(folder) as part:
        sides: dict[bool, dict[str, Any]] = {}
        ids = 0
        for row, image in enumerate(images):
            train = bool(reader.is_train[row])
            side = sides.setdefault(train, _file(reader))
            sample = checked_sample(reader, row)
            save_png(sample.image.permute(1, 2, 0).numpy(), part / "images" / image)
            side["images"].append(_image(reader, row, image))
            for annotation in _annotations(reader, sample):
                ids += 1
                side["annotations"].append({"id": ids, "image_id": row + 1} | annotation)
        for train, side in sides.items():
            path = part / ("train.json" if train else "val.json")
            path.write_text(json.dumps(side, ensure_ascii=False), encoding="utf-8")


def _file(reader: ConceptReader) -> dict[str, Any]:
    return {
        "images": [],
        "annotations": [],
        "categories": [_category(concept) for concept in reader.vocabulary],
        "supercategories": [
            {"name": category.name, "pixels": category.pixels} for category in reader.categories
        ],
    }


def _category(concept: Concept) -> dict[str, Any]:
    entry = {"id": concept.number, "name": concept.name, "supercategory": concept.category}
    if concept.categories == (concept.category,):
        return entry
    return entry | {"supercategories": [*concept.categories]}


def _image(reader: ConceptReader, row: int, file: PurePosixPath) -> dict[str, Any]:
    height, width = reader.image_size
    entry = {"id": row + 1, "file_name": str(file), "height": height, "width": width}
    if reader.annotated[row].all():
        return entry
    pairs = zip(reader.categories, reader.annotated[row], strict=True)
    return entry | {"annotated_supercategories": [c.name for c, known in pairs if known]}


def _annotations(reader: ConceptReader, sample: Sample) -> Iterator[dict[str, Any]]:
    """Write the masks of an image, category by category, and its labels."""
    maps = _enlarged(sample.label_maps.numpy(), reader.image_size)
    concepts = {concept.number: concept for concept in reader.vocabulary}
    for category in dict.fromkeys(sample.map_categories):
        layers = maps[[name == category for name in sample.map_categories]]
        unknown = (layers == UNKNOWN).any(axis=0)
        numbers = {max(number, UNKNOWN - number) for number in np.unique(layers).tolist()} - {0}
        if unknown.any():
            numbers |= {c.number for c in reader.vocabulary if category in c.categories}
        for number in sorted(numbers):
            there = (layers == number).any(axis=0)
            doubt = unknown | (layers == unknown_label(number)).any(axis=0)
            concept = concepts[number]
            yield from _masks(concept, category, {0: there, 1: doubt & ~there})
    for category, number in sample.image_labels:
        yield _named(concepts[number], category)


def _masks(concept: Concept, category: str, masks: Mapping[int, _Mask]) -> Iterator[dict[str, Any]]:
    tools = coco_tools()
    for crowd, mask in masks.items():
        if not mask.any():
            continue
        runs = tools.encode(np.asfortranarray(mask, dtype=np.uint8))
        yield _named(concept, category) | {
            "iscrowd": crowd,
            "area": int(tools.area(runs)),
            "bbox": tools.toBbox(runs).tolist(),
            "segmentation": {"size": [*mask.shape], "counts": runs["counts"].decode()},
        }


def _named(concept: Concept, category: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"category_id": concept.number}
    return entry if category == concept.category else entry | {"supercategory": category}


def _enlarged(
    maps: Int32[np.ndarray, "M sh sw"], size: tuple[int, int]
) -> Int32[np.ndarray, "M height width"]:
    """Give every pixel of the image the label of the mask's pixel that its centre lies in."""
    rows, columns = (
        (2 * np.arange(wide) + 1) * narrow // (2 * wide)
        for wide, narrow in zip(size, maps.shape[1:], strict=True)
    )
    return maps[:, rows[:, None], columns[None, :]]
