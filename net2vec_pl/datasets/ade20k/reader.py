"""Read the full ADE20K: objects, parts, parts of parts, and scenes.

Below ``images/``, at any depth below ``training/`` and ``validation/``, lie for each image
``ADE_train_00000001.jpg``, ``…_seg.png`` with its objects, and ``…_parts_1.png``, ``…_parts_2.png``
and on with parts, parts of parts, and theirs. The class of a pixel is R // 10 * 256 + G; B tells
instances apart and is not read. ``ade20k_names.py`` reads what the numbers mean.
"""

import os
from collections import Counter
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.datasets.ade20k.names import (
    NamedClass,
    read_attributes,
    read_index,
    read_json,
    short_names,
)
from net2vec_pl.datasets.digests import files_digest
from net2vec_pl.datasets.images.any_image import any_image_pixels
from net2vec_pl.datasets.images.decoding import decode, read_bytes
from net2vec_pl.datasets.images.photographs import note_of
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.errors import DataError, shorten

OBJECT, PART, SCENE = "object", "part", "scene"
_SPLITS = {"training": True, "validation": False}
_CLASSES = 26 * 256  # what R // 10 * 256 + G can be
_PAGE = "See docs/datasets.md#ade20k."


@dataclass(frozen=True)
class _Row:
    """An image, with the files that say what it shows."""

    image: Path
    train: bool
    maps: tuple[Path, ...]  # objects, then parts by level
    names: Path
    scene: str
    fault: str = ""  # why its names cannot be read


class Ade20kReader(ConceptReader):
    """ADE20K as it is released, of 2021 or of 2016.

    Concepts have the first synonym of their class that is not the name of a more frequent one, and
    parts are named plainly (``handle``, not ``door / handle``), as in BRODEN. An object that is a
    part elsewhere is one concept of both categories. Pixels that nobody annotated are 0. Images are
    read as they are stored, as their masks lie, whatever their EXIF tag says.

    Args:
        root: The folder that holds ``images/``.
        image_size: (H, W) to read images at.
        mask_size: (sh, sw) to read masks at; None for half of the images', as in BRODEN.
        resize: How images of other proportions fit; one of
            :data:`~net2vec_pl.datasets.images.resizing.RULES`.

    Raises:
        ConfigError: If there is no such rule.
        DataError: If the folder is no ADE20K, or its index cannot be read.
    """

    def __init__(
        self,
        root: str | Path,
        image_size: tuple[int, int] = (224, 224),
        mask_size: tuple[int, int] | None = None,
        resize: str = "squash",
    ) -> None:
        self.root = Path(root).expanduser()
        height, width = image_size
        self.mask_size = mask_size or (max(height // 2, 1), max(width // 2, 1))
        self.name, self.image_size = "ade20k", image_size
        self._resizing = Resizing(resize, image_size, self.mask_size)
        found = _found_rows(self.root)
        described = _Described(self.root)
        self._rows = [described.read(row) for row in found]
        self.image_names = [row.image.relative_to(self.root).as_posix() for row in found]
        self.is_train = np.array([row.train for row in found], dtype=np.bool_)
        self.annotated = np.array(
            [[len(row.maps) > 0, len(row.maps) > 1, bool(row.scene)] for row in found]
        )
        self.categories = (Category(OBJECT, True), Category(PART, True), Category(SCENE, False))
        self.vocabulary = described.vocabulary(row.scene for row in found)
        self._scenes = {c.name: c.number for c in self.vocabulary if c.category == SCENE}
        self._known = torch.zeros(_CLASSES, dtype=torch.bool)
        numbers = [0, *(c.number for c in self.vocabulary if c.category != SCENE)]
        self._known[torch.tensor(numbers)] = True

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        entry = self._rows[row]
        if entry.fault:
            raise UnreadableRowError(entry.fault)
        decoded = decode(read_bytes(entry.image, "image"), entry.image, "image")
        image = any_image_pixels(decoded, f"image {entry.image}", upright=False)
        maps = [self._read_map(path, tuple(image.shape[1:])) for path in entry.maps]
        labels = torch.stack(maps) if maps else torch.zeros(0, *image.shape[1:]).int()
        return Sample(
            image=self._resizing.image(image),
            label_maps=self._resizing.masks(labels),
            map_categories=(OBJECT, *[PART] * (len(maps) - 1))[: len(maps)],
            image_labels=((SCENE, self._scenes[entry.scene]),) if entry.scene else (),
        )

    def at_mask_size(self, size: tuple[int, int] | None) -> "Ade20kReader":
        """Return the same rows with masks of another size; see :class:`ConceptReader`."""
        other = copy(self)
        other._resizing = self._resizing.at_mask_size(size)
        other.mask_size = size or self.mask_size
        return other

    def notes(self, row: int) -> tuple[str, ...]:
        """Return the image's own size and how it was resized; see :class:`ConceptReader`."""
        return (note_of(self._rows[row].image, self._resizing.rule),)

    def files(self, row: int) -> list[Path]:
        """Return image, masks and names of a row; see :class:`ConceptReader`."""
        entry = self._rows[row]
        return [entry.image, *entry.maps, entry.names]

    def fingerprint(self, row: int) -> bytes:
        """Digest the bytes of the row's files, and how they are resized."""
        entry = self._rows[row]
        facts = (self.image_names[row], entry.train, entry.scene, self._resizing)
        return files_digest(repr(facts), (entry.image, *entry.maps))

    def _read_map(self, path: Path, size: tuple[int, ...]) -> Int32[Tensor, "H W"]:
        mask = decode(read_bytes(path, "mask"), path, "mask")
        if (mask.mode, mask.format) != ("RGB", "PNG"):
            raise UnreadableRowError(
                f"mask {path} is a {mask.format} of mode {mask.mode}; ADE20K's are PNG, RGB"
            )
        if (mask.height, mask.width) != size:
            raise UnreadableRowError(
                f"mask {path} is {mask.height}x{mask.width} (height x width), its image "
                f"{size[0]}x{size[1]}"
            )
        wide = torch.from_numpy(
            np.array(mask)
        ).int()  # before the product, which 8 bits cannot hold
        labels = wide[..., 0] // 10 * 256 + wide[..., 1]
        if not self._known[labels].all():
            wrong = sorted(set(labels[~self._known[labels]].tolist()))
            raise UnreadableRowError(
                f"mask {path} holds classes that no description names: {shorten(map(str, wrong))}"
            )
        return labels


class _Described:
    """What the files beside the images say, gathered into one vocabulary."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._images: Counter[tuple[int, bool]] = Counter()

    def read(self, row: _Row) -> _Row:
        """Read what an image has, and return its row, with the fault if it cannot be read."""
        try:
            found = self._classes(row.names)
        except UnreadableRowError as error:
            return replace(row, fault=str(error))
        self._names = {one.number: one.name for one in found} | self._names  # the first name stays
        self._images.update({(one.number, one.is_part) for one in found})
        return row

    def _classes(self, path: Path) -> set[NamedClass]:
        if path.suffix == ".json":
            return read_json(path)
        if not self._numbers:
            self._numbers = read_index(self._root / "index_ade20k.mat")
            self._names = {number: name for name, number in self._numbers.items()}
        return read_attributes(path, self._numbers)

    def vocabulary(self, scenes: Iterable[str]) -> Vocabulary:
        """Name every class that an image has, and every scene."""
        seen = Counter[int]()
        for (number, _), images in self._images.items():
            seen[number] += images
        places = sorted({*scenes} - {""})
        names = short_names({n: self._names[n] for n in seen}, seen, {*places})
        concepts = []
        for number, name in names.items():
            kinds = Counter({OBJECT: self._images[number, False], PART: self._images[number, True]})
            members = tuple(kind for kind, images in kinds.most_common() if images)
            concepts.append(Concept(number, name, members[0], members, True))
        for number, name in enumerate(places, start=_CLASSES):
            concepts.append(Concept(number, name, SCENE, (SCENE,), False))
        return Vocabulary(concepts)


def _found_rows(root: Path) -> list[_Row]:
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder. {_PAGE}")
    rows = []
    for folder, below, files in os.walk(root / "images"):
        here, there = Path(folder), {*files}
        # Masks of single instances lie in a folder beside each image, named as it is.
        below[:] = sorted(name for name in below if f"{name}.jpg" not in there)
        parts = here.relative_to(root).parts
        split = next((part for part in parts if part in _SPLITS), None)
        if split is not None:
            scene = _scene(parts[parts.index(split) + 1 :])
            images = sorted(name for name in files if name.lower().endswith((".jpg", ".jpeg")))
            rows += [_row(here / name, _SPLITS[split], scene, there) for name in images]
    if not rows:
        raise DataError(_what_is_there_instead(root))
    return rows


def _row(image: Path, train: bool, scene: str, files: set[str]) -> _Row:
    maps = [f"{image.stem}_seg.png"]
    while (parts := f"{image.stem}_parts_{len(maps)}.png") in files:
        maps.append(parts)
    attributes = f"{image.stem}_atr.txt"
    names = attributes if attributes in files else f"{image.stem}.json"
    return _Row(
        image, train, tuple(image.with_name(name) for name in maps), image.with_name(names), scene
    )


def _scene(folders: tuple[str, ...]) -> str:
    """Name a scene as BRODEN does, after the folders below the kind of scene or the first letter.

    Example:
        >>> _scene(("urban", "street")), _scene(("b", "bow_window", "indoor")), _scene(())
        ('street-s', 'bow_window-indoor-s', '')
        >>> _scene(("outliers", "a", "attic"))
        'attic-s'
    """
    kept = folders[2:] if folders[:1] == ("outliers",) else folders[1:]
    return "-".join((*kept, "s")) if kept else ""


def _what_is_there_instead(root: Path) -> str:
    text = f"data.root={root} is not in ADE20K's layout: no image below images/**/training"
    if below := sorted(path.parent.name for path in root.glob("*/images")):
        return f"{text}. Did you mean {root / below[0]}? {_PAGE}"
    if (root / "annotations").is_dir():
        return (
            f"{text}/SCENE. It looks like the scene parsing benchmark of 150 classes, with one map "
            f"an image in annotations/, which data=masks reads. {_PAGE}"
        )
    return f"{text} or images/**/validation. {_PAGE}"
