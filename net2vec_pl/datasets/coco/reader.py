"""Read images with COCO's annotations: instances, stuff and panoptic segments, LVIS' among them."""

import json
import logging
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from net2vec_pl.data.groups import groups_by_name
from net2vec_pl.data.reader import ConceptReader, Sample
from net2vec_pl.datasets.coco.content import row_content
from net2vec_pl.datasets.coco.layers import pack_layers
from net2vec_pl.datasets.coco.masks import coco_tools
from net2vec_pl.datasets.coco.parsed import CocoImage, read_coco
from net2vec_pl.datasets.coco.rows import (
    CocoRow,
    Paths,
    check_found,
    folders_of,
    in_order,
    paths_of,
    unique_names,
)  # fmt: skip
from net2vec_pl.datasets.coco.vocabulary import merged_names
from net2vec_pl.datasets.digests import files_digest
from net2vec_pl.datasets.images.photographs import TURNED, note_of, read_photograph
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.datasets.split import SHARE, train_rows
from net2vec_pl.datasets.told import ToldOnce

_log = logging.getLogger(__name__)


class CocoReader(ConceptReader):
    """A dataset in COCO's layout.

    A category of COCO is a concept, its supercategory the concept's category. Where instances of
    one concept overlap, it is their union; a crowd is unknown, but for what other instances cover.
    An image without annotations holds none of the concepts. Where images say for which concepts
    they were searched (LVIS), every concept is a category of its own: it is annotated where
    instances were found or ``neg_category_ids`` lists it, and unknown around the instances where
    ``not_exhaustive_category_ids`` does.

    Rows are in the order of the image ids; if these are no numbers, or two files share one, in the
    order of the files.

    Args:
        annotations: The JSON file, or those of train and val.
        images: The folder that file names begin at, or those of train and val; None for the folder
            of the annotations.
        resizing: The sizes of images and masks.
        panoptic: The folder of panoptic PNGs, or those of train and val; None for the folder that
            is called as the JSON is.
        split: Share of the val images, drawn at random; of no use with two files.
        groups: A pattern on the names of images as :func:`~net2vec_pl.data.groups.groups_by_name`
            takes it; images of a group are drawn together.
        seed: Seed of the draw.

    Raises:
        ConfigError: If pycocotools is absent, or an argument is out of its range.
        DataError: If a file is absent, damaged, contradicts itself or has no masks.
    """

    def __init__(
        self,
        annotations: Paths,
        images: Paths | None = None,
        *,
        resizing: Resizing,
        panoptic: Paths | None = None,
        split: float = SHARE,
        groups: str | None = None,
        seed: int = 0,
    ) -> None:
        coco_tools()
        paths = paths_of("annotations", annotations)
        folders = folders_of("images", images, [path.parent for path in paths])
        masks = folders_of("panoptic", panoptic, [path.with_suffix("") for path in paths])
        files = [read_coco(path) for path in paths]
        names = merged_names(files)
        self.name = paths[0].stem
        self.vocabulary, self.categories = names.vocabulary, names.categories
        self._names = names
        parts = [
            [CocoRow(image, folder, mask, train) for image in file.images]
            for file, folder, mask, train in zip(files, folders, masks, (True, False), strict=False)
        ]
        self._rows = in_order(parts)
        check_found(self._rows)
        self.image_names = unique_names(self._rows)
        self.is_train = np.array([row.train for row in self._rows])
        if groups is not None:
            self.groups = groups_by_name(self.image_names, groups, "data.group")
        if len(files) == 1:
            self.is_train = train_rows(split, self.groups, len(self._rows), seed)
        self.annotated = np.array([self._annotated(row.image) for row in self._rows])
        self._resizing, self._tell = resizing, ToldOnce(_log)
        self.image_size = resizing.image_size
        self.mask_size = resizing.mask_size or resizing.image_size
        self._members = {
            category.name: {c.number for c in self.vocabulary if category.name in c.categories}
            for category in self.categories
        }

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        entry = self._rows[row]
        image = self._resizing.image(self._photograph(entry))
        content = row_content(entry, self._names)
        maps: list[Int32[np.ndarray, "height width"]] = []
        of: list[str] = []
        for category, concepts in content.concepts.items():
            complete = {concept.number for concept in concepts} == self._members[category]
            layers = pack_layers(concepts, content.unknown, complete=complete)
            maps.extend(layers)
            of.extend([category] * len(layers))
        return self._sample(row, image, maps, of, content.labels)

    def _photograph(self, entry: CocoRow) -> Tensor:
        height, width = entry.image.size
        photograph = read_photograph(
            entry.file,
            lambda size: size == (height, width),
            f"its annotations are made for {height}x{width}: was it resized afterwards?",
        )
        if photograph.unsure:
            self._tell(TURNED, self.name, entry.file)
        return photograph.pixels

    def _sample(
        self,
        row: int,
        image: Tensor,
        maps: Sequence[Int32[np.ndarray, "height width"]],
        of: list[str],
        labels: Sequence[tuple[str, int]],
    ) -> Sample:
        """Resize the maps; if resizing leaves unknown edges, every annotated category needs one."""
        size = self._rows[row].image.size
        resized = [self._resizing.masks(torch.from_numpy(np.stack(maps)))] if maps else []
        blank = self._resizing.masks(torch.zeros((1, *size), dtype=torch.int32))
        if blank.any():
            rest = [
                category.name
                for category, annotated in zip(self.categories, self.annotated[row], strict=True)
                if annotated and category.pixels and category.name not in of
            ]
            of = [*of, *rest]
            resized.append(blank.expand(len(rest), -1, -1))
        return Sample(
            image=image,
            label_maps=torch.cat(resized) if resized else blank[:0],
            map_categories=tuple(of),
            image_labels=tuple(labels),
        )

    def at_mask_size(self, size: tuple[int, int] | None) -> "CocoReader":
        """Return the same rows with masks of another size; see :class:`ConceptReader`."""
        other = copy(self)
        other._resizing = self._resizing.at_mask_size(size)
        other.mask_size = size or self.mask_size
        return other

    def files(self, row: int) -> list[Path]:
        """Return the image of a row, and the PNG of its segments; see :class:`ConceptReader`."""
        entry = self._rows[row]
        return [entry.file, *([entry.panoptic] if entry.image.panoptic else [])]

    def notes(self, row: int) -> tuple[str, ...]:
        """Return the image's own size and how it was resized; see :class:`ConceptReader`."""
        return (note_of(self._rows[row].file, self._resizing.rule),)

    def fingerprint(self, row: int) -> bytes:
        """Digest the bytes of the row's files, its annotations and how they are resized."""
        entry = self._rows[row]
        image = entry.image
        said = [image.file, image.size, image.absent, image.incomplete, image.annotated]
        how = [self._resizing.rule, self._resizing.image_size, bool(self.is_train[row])]
        return files_digest(json.dumps([said, how, *image.annotations()]), self.files(row))

    def _annotated(self, image: CocoImage) -> list[bool]:
        """Return whether an image was annotated for each category."""
        if image.annotated is not None:
            return [category.name in image.annotated for category in self.categories]
        if not self._names.federated:
            return [True] * len(self.categories)
        known = {number + self._names.offset for number in (*image.present, *image.absent)}
        return [concept.number in known for concept in self.vocabulary]
