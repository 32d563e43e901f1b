"""Which concepts the masks of a user's dataset show, and their label maps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int32
from PIL import Image
from torch import Tensor

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError, unknown_label
from net2vec_pl.datasets.from_torch.items import UNKNOWN_GIVEN, Item, Labels
from net2vec_pl.errors import ConfigError, shorten

CATEGORY = Category("object", pixels=True)

NOTHING = ("background", "__background__", "nothing", "unlabeled", "unlabelled")


def concepts_of(names: Sequence[str] | Mapping[int, str], *, are_labels: bool) -> Vocabulary:
    """Return a concept for every name.

    Args:
        names: The names of labels 1, 2, ..., or {label: name}.
        are_labels: Whether masks hold these labels; otherwise masks have names.

    Raises:
        ConfigError: If a name or a label cannot be one.
    """
    if isinstance(names, str):
        raise ConfigError(f"names={names!r} is one text; give a list of names or {{label: name}}.")
    listed = not isinstance(names, Mapping)
    numbered = dict(names) if isinstance(names, Mapping) else dict(enumerate(names, 1))
    _check_names([*numbered.values()])
    _check_numbers(numbered)
    if are_labels:
        _check_labels(numbered, listed=listed)
    return Vocabulary(
        Concept(int(number), name, CATEGORY.name, (CATEGORY.name,), CATEGORY.pixels)
        for number, name in numbered.items()
    )


def _check_names(names: list[Any]) -> None:
    if not names:
        raise ConfigError("names is empty; name the concepts to learn.")
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"names holds {name!r}; every name is a text.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"names holds more than once: {shorten(twice)}.")


def _check_numbers(numbered: Mapping[Any, str]) -> None:
    for number, name in numbered.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise ConfigError(f"names holds {number!r}: {name!r}; labels are 1, 2, ...")
        if number == 0:
            raise ConfigError(
                f"names calls label 0 {name!r}, but 0 is nothing and needs no name. If 0 is a "
                "concept of yours, add 1 to every label but 255."
            )


def _check_labels(numbered: Mapping[int, str], *, listed: bool) -> None:
    if UNKNOWN_GIVEN in numbered:
        name = numbered[UNKNOWN_GIVEN]
        raise ConfigError(f"names calls label 255 {name!r}, but 255 means unknown.")
    if listed and numbered[1].lower() in NOTHING:
        raise ConfigError(
            f"names begins with {numbered[1]!r}, but label 0 is nothing and needs no name: "
            f"leave it out, or give {{1: {numbered[1]!r}, ...}} if label 1 has this name."
        )


def label_maps(
    item: Item, concepts: Vocabulary, size: tuple[int, int] | None, *, complete: bool
) -> Int32[Tensor, "M sh sw"]:
    """Return the label maps of an item; what has no name is 0.

    Unknown is a pixel of a mask of label numbers for all concepts, of a named mask for its own.

    Args:
        item: The item.
        concepts: The concepts, with their label numbers.
        size: (sh, sw) of the maps; masks of other sizes are resized, nearest neighbour. None
            leaves them as they are.
        complete: Whether a label number without a name is a mistake.

    Raises:
        UnreadableRowError: If the masks hold such a label.
    """
    height, width = item.all_masks[0].shape if item.all_masks else item.image.shape[1:]
    size = size or (height, width)
    if not isinstance(item.masks, dict):
        named = _named_labels(item.masks, concepts, complete=complete)
        return torch.from_numpy(nearest(named, size))[None]
    masks = {}
    for concept in concepts:
        if concept.name in item.masks:
            labels = nearest(item.masks[concept.name], size)
            masks[concept.number] = labels > 0
            if (labels == UNKNOWN).any():
                masks[unknown_label(concept.number)] = labels == UNKNOWN
    return torch.from_numpy(packed(masks, size))


def _named_labels(labels: Labels, concepts: Vocabulary, *, complete: bool) -> Labels:
    has_name: Bool[np.ndarray, "h w"] = np.isin(labels, concepts.numbers)
    if complete:
        nameless = np.unique(labels[~has_name & (labels > 0)])
        if len(nameless):
            raise UnreadableRowError(
                f"its mask holds label {shorten(map(str, nameless.tolist()))}, "
                f"but there are names for 1 to {len(concepts)} only"
            )
    return np.where(has_name | (labels == UNKNOWN), labels, 0).astype(np.int32)


def nearest(labels: Labels, size: tuple[int, int]) -> Int32[np.ndarray, "sh sw"]:
    """Resize label numbers, nearest neighbour as PIL does it.

    Args:
        labels: The numbers.
        size: (sh, sw) wanted.
    """
    if labels.shape == size:
        return labels
    image = Image.fromarray(labels)
    return np.array(image.resize((size[1], size[0]), Image.Resampling.NEAREST))


def packed(
    masks: Mapping[int, Bool[np.ndarray, "sh sw"]], size: tuple[int, int]
) -> Int32[np.ndarray, "M sh sw"]:
    """Draw masks that may overlap into few maps, each mask into the first with room for it.

    Args:
        masks: A mask per label number.
        size: (sh, sw) of the masks.

    Returns:
        One map at least.
    """
    maps = [np.zeros(size, dtype=np.int32)]
    for number, mask in masks.items():
        free = next((one for one in maps if not one[mask].any()), None)
        if free is None:
            free = np.zeros(size, dtype=np.int32)
            maps.append(free)
        free[mask] = number
    return np.stack(maps)
