"""Read any torch Dataset of images with masks."""

import copy
import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from torch.utils.data import ConcatDataset, Dataset

from net2vec_pl.data.groups import Groups, groups_by_name, numbered
from net2vec_pl.data.reader import ConceptReader, Sample, UnreadableRowError
from net2vec_pl.datasets.from_torch.first_items import FirstItems, look_at
from net2vec_pl.datasets.from_torch.items import Item, read_item
from net2vec_pl.datasets.from_torch.labels import CATEGORY, concepts_of, label_maps
from net2vec_pl.datasets.from_torch.parts import checked_sides, class_name, image_names
from net2vec_pl.datasets.images.any_image import fit
from net2vec_pl.datasets.split import SHARE, Split, train_rows
from net2vec_pl.datasets.told import ToldOnce
from net2vec_pl.errors import ConfigError, shorten

_log = logging.getLogger(__name__)

Names: TypeAlias = Sequence[str] | Mapping[int, str]


class DatasetReader(ConceptReader):
    """Any map-style dataset of pairs (image, mask) or (image, {name: mask}).

    Images are PIL images, uint8 or floats in [0, 1]; (3, H, W), (H, W, 3), (1, H, W) or (H, W). A
    mask of label numbers is a PIL image, array or tensor (H, W) or (1, H, W): 0 is nothing, 255
    unknown, to all concepts. In a mask with a name of its own 255 is unknown to this concept, and
    all else but 0 is the concept; such masks may overlap. What is absent or empty is not there.

    Without ``names``, named masks are read once to the end of the dataset, to know all names.

    Args:
        dataset: The dataset, without random transforms and without Normalize; or (train, val).
        names: What labels 1, 2, ... are called, or {label: name}; labels that such a dict leaves
            out are nothing. Of named masks: which to learn, in this order.
        split: Share of val images, drawn at random; or for every row True (train) or False, or
            ``train`` or ``val``.
        groups: A value per row, such as its film; or a pattern on the names of images, as
            :func:`~net2vec_pl.data.groups.groups_by_name` takes it. Rows of one value stay on one
            side, and count as one in intervals.
        image_size: Side or (H, W) in pixels to resize images to. Their own if the first 16 agree,
            otherwise 224.
        mask_size: Side or (sh, sw) in pixels to resize masks to. Their own if the first 16 agree
            and that is at most half the image's, otherwise half of it.
        seed: Seed of the split.
        name: Short name for tables; by default the dataset's class, in lower case.

    Raises:
        ConfigError: If the first items or an argument cannot be used; the text says why.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | tuple[Dataset[Any], Dataset[Any]],
        names: Names | None = None,
        *,
        split: Split = SHARE,
        groups: Groups | str | None = None,
        image_size: int | tuple[int, int] | None = None,
        mask_size: int | tuple[int, int] | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        parts = dataset if isinstance(dataset, tuple) else (dataset,)
        sides = checked_sides(parts)
        if sides and not (isinstance(split, float) and split == SHARE):
            raise ConfigError(
                "split was given along with (train, val); these two are the split, so drop it."
            )
        self._dataset: Dataset[Any] = ConcatDataset(parts) if sides else parts[0]
        self._given: tuple[int, Sample | UnreadableRowError] | None = None
        self.name = name or class_name(parts[0]).lower()
        self.image_names = image_names(parts)
        first = look_at(self._item, len(self))
        self._named = first.names is not None
        self._complete = not isinstance(names, Mapping)
        chosen = self._all_names(first) if names is None else names
        self.vocabulary = concepts_of(chosen, are_labels=not self._named)
        self.categories = (CATEGORY,)
        self.annotated = np.ones((len(self), 1), dtype=np.bool_)
        self.image_size = _size("image_size", image_size) or first.image_size
        self.mask_size = _size("mask_size", mask_size) or first.mask_size(self.image_size)
        if isinstance(groups, str):
            groups = groups_by_name(self.image_names, groups, "groups")
        self.is_train = train_rows(sides or split, groups, len(self), seed)
        self.groups = None if groups is None else numbered(groups)
        self._own_sizes = False
        self._tell = ToldOnce(_log)
        self._tell_unknown(first.unknown, f"the first {first.count} masks")

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} rows")
        row %= len(self)
        given, self._given = self._given, None
        sample = given[1] if given is not None and given[0] == row else self._outcome(row)
        if isinstance(sample, UnreadableRowError):
            raise sample
        return sample

    def fingerprint(self, row: int) -> bytes:
        """Digest the row's pixels, labels and split; the row is kept until it is asked for."""
        sample = self._outcome(row)
        self._given = row, sample
        digest = blake2b(b"train" if self.is_train[row] else b"val", digest_size=16)
        if isinstance(sample, UnreadableRowError):
            digest.update(b"unreadable")
        else:
            digest.update(repr((sample.image.shape, sample.label_maps.shape)).encode())
            digest.update(sample.image.numpy().tobytes())
            digest.update(sample.label_maps.numpy().tobytes())
        return digest.digest()

    def at_mask_size(self, size: tuple[int, int] | None) -> "DatasetReader":
        """Return the same rows with masks of another size; see :class:`ConceptReader`."""
        other = copy.copy(self)
        other._own_sizes, other.mask_size = size is None, size or self.mask_size
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_given": None}

    def _outcome(self, row: int) -> Sample | UnreadableRowError:
        try:
            return self._sample(row)
        except UnreadableRowError as error:
            return error

    def _sample(self, row: int) -> Sample:
        item = self._item(row)
        if isinstance(item.masks, dict) != self._named:
            raise UnreadableRowError(
                "its mask is of another kind than the first: label numbers or {name: mask}"
            )
        size = None if self._own_sizes else self.mask_size
        maps = label_maps(item, self.vocabulary, size, complete=self._complete)
        self._tell_unknown(item.unknown, f"the mask of {self.image_names[row]}")
        image = fit(item.image, self.image_size)
        return Sample(image, maps, (CATEGORY.name,) * len(maps), ())

    def _item(self, row: int) -> Item:
        try:
            return read_item(self._dataset[row])
        except UnreadableRowError:
            raise
        except Exception as error:  # of the user's own code, or of PIL that opens lazily
            raise UnreadableRowError(f"{type(error).__name__}: {error}") from error

    def _all_names(self, first: FirstItems) -> list[str]:
        """Return the names of all masks, in the order in which they first occur."""
        if first.names is None:
            labels = shorten(str(n) for n in first.labels if n > 0) or "no labels"
            raise ConfigError(
                f"the masks are label numbers without names: {labels} occur in the first "
                f"{first.count}. Say what they are, as in names=['cat', 'sofa'] for labels 1 and "
                "2, or names={1: 'cat', 7: 'sofa'}."
            )
        names = dict.fromkeys(first.names)
        for row in range(first.count, len(self)):
            try:
                masks = self._item(row).masks
            except UnreadableRowError:
                continue  # the scan tells
            names |= dict.fromkeys(masks if isinstance(masks, dict) else ())
        if not names:
            raise ConfigError("no item of the dataset has a mask: every {name: mask} is empty.")
        return [*names]

    def _tell_unknown(self, share: float, where: str) -> None:
        if share > 0:
            self._tell(
                "%s: %.1f%% of the pixels of %s are 255, unknown; such pixels are left out.",
                *(self.name, 100 * share, where),
            )


def _size(what: str, given: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    size = (given, given) if isinstance(given, int) else tuple(given)
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ConfigError(f"{what}={given!r} must be a side or (height, width), 1 or more pixels.")
    return size[0], size[1]
