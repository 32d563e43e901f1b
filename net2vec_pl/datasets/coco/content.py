"""What the annotations of one image say: where concepts are, where that is unknown, labels."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from net2vec_pl.datasets.coco.layers import Seen
from net2vec_pl.datasets.coco.masks import runs_of, union
from net2vec_pl.datasets.coco.panoptic import read_segments
from net2vec_pl.datasets.coco.rows import CocoRow
from net2vec_pl.datasets.coco.vocabulary import CocoNames

_Key = tuple[str, int]  # category and label number


@dataclass(frozen=True)
class RowContent:
    """One image.

    Args:
        concepts: The concepts that are annotated in it, by category.
        unknown: Where nothing is known, of any category.
        labels: (category, number) of the labels that hold for all of it.
    """

    concepts: Mapping[str, Sequence[Seen]]
    unknown: Bool[np.ndarray, "height width"]
    labels: Sequence[_Key]


def row_content(row: CocoRow, names: CocoNames) -> RowContent:
    """Read the masks of an image.

    Args:
        row: The image.
        names: What the ids mean.

    Raises:
        UnreadableRowError: If a mask is empty, damaged or made for another size.
    """
    size = row.image.size
    runs: dict[tuple[str, int, bool], list[dict[str, Any]]] = defaultdict(list)
    labels: list[_Key] = []
    for annotation in row.image.annotations():
        if "segments_info" in annotation:
            return _segments(row, annotation["segments_info"], names)
        concept = names.concept(annotation["category_id"])
        own = annotation.get("supercategory")
        category = own if own in concept.categories else concept.category
        if "segmentation" not in annotation:
            labels.append((category, concept.number))
            continue
        what = f"annotation {annotation.get('id')} ({concept.name})"
        key = (category, concept.number, bool(annotation.get("iscrowd", 0)))
        runs[key] += runs_of(annotation["segmentation"], size, what)
    found: dict[_Key, Seen] = {}
    for category, number in sorted({(category, number) for category, number, _ in runs}):
        crowd = union(runs.get((category, number, True), []), size)
        if number - names.offset in row.image.incomplete:
            crowd[:] = True
        there = union(runs.get((category, number, False), []), size)
        found[category, number] = Seen(number, there, crowd)
    return RowContent(_by_category(found), np.zeros(size, dtype=np.bool_), labels)


def _segments(row: CocoRow, infos: Sequence[Mapping[str, Any]], names: CocoNames) -> RowContent:
    """Read the panoptic segments of an image; what belongs to none is unknown."""
    segments, unknown = read_segments(row.panoptic, infos, row.image.size)
    found: dict[_Key, Seen] = {}
    for category_id, crowd, pixels in segments:
        concept = names.concept(category_id)
        key, nowhere = (concept.category, concept.number), np.zeros_like(pixels)
        seen = found.get(key, Seen(concept.number, nowhere, nowhere))
        found[key] = (
            replace(seen, unknown=seen.unknown | pixels)
            if crowd
            else replace(seen, there=seen.there | pixels)
        )
    concepts = _by_category(found)
    if unknown.any():
        concepts |= {c.name: [] for c in names.categories if c.name not in concepts}
    return RowContent(concepts, unknown, ())


def _by_category(found: Mapping[_Key, Seen]) -> dict[str, list[Seen]]:
    concepts: dict[str, list[Seen]] = defaultdict(list)
    for (category, _), seen in sorted(found.items(), key=lambda entry: entry[0]):
        concepts[category].append(seen)
    return dict(concepts)
