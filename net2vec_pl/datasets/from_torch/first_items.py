"""Look at the first items of a user's dataset, and refuse early what cannot be meant."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError
from net2vec_pl.datasets.from_torch.items import Item
from net2vec_pl.errors import ConfigError

_LOOKED_AT = 16
_USUAL_SIZE = (224, 224)  # of images that differ in size


@dataclass(frozen=True)
class FirstItems:
    """What the first readable items have.

    Args:
        image_sizes: The (H, W) that occur.
        mask_sizes: The (h, w) that occur.
        names: The names of masks that occur; None if masks hold label numbers.
        labels: The label numbers that occur in the masks, rising; :data:`UNKNOWN` among them.
        unknown: Share of the mask pixels that are unknown.
        count: How many rows were looked at.
    """

    image_sizes: frozenset[tuple[int, int]]
    mask_sizes: frozenset[tuple[int, int]]
    names: tuple[str, ...] | None
    labels: tuple[int, ...]
    unknown: float
    count: int

    @property
    def image_size(self) -> tuple[int, int]:
        """The size to read images at: their own if they agree, else 224 x 224."""
        return next(iter(self.image_sizes)) if len(self.image_sizes) == 1 else _USUAL_SIZE

    def mask_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the size to read masks at: their own if they agree on half the image's or less.

        Args:
            image_size: (H, W) that images are read at.

        Returns:
            (sh, sw); half of the image's otherwise, as in BRODEN.
        """
        half = max(image_size[0] // 2, 1), max(image_size[1] // 2, 1)
        own = next(iter(self.mask_sizes)) if len(self.mask_sizes) == 1 else None
        return own if own and own[0] <= half[0] and own[1] <= half[1] else half


@dataclass(frozen=True)
class _Facts:
    image_size: tuple[int, int]
    mask_sizes: frozenset[tuple[int, int]]
    names: tuple[str, ...] | None
    labels: frozenset[int]
    unknown: float
    digest: bytes


def look_at(read: Callable[[int], Item], count: int) -> FirstItems:
    """Read the first items, each twice.

    Args:
        read: Reads a row.
        count: Rows of the dataset.

    Raises:
        ConfigError: If none can be read, they change from one reading to the next, or their masks
            are of two kinds or hold 0 and 255 only.
    """
    looked_at = min(count, _LOOKED_AT)
    seen: list[_Facts] = []
    faults: list[str] = []
    for row in range(looked_at):
        try:
            facts = _facts(read(row))
            again = _facts(read(row))
        except UnreadableRowError as error:
            faults.append(f"row {row}: {error}.")
            continue
        if again.digest != facts.digest:
            raise ConfigError(
                f"row {row} of the dataset differs when it is read again, as with random "
                "augmentation; give the dataset without random transforms."
            )
        seen.append(facts)
    if not seen:
        raise ConfigError(f"the dataset cannot be used: {faults[0]}")
    return _summed_up(seen, looked_at)


def _summed_up(seen: list[_Facts], looked_at: int) -> FirstItems:
    if len({facts.names is None for facts in seen}) > 1:
        raise ConfigError(
            "some masks of the dataset are label numbers, others are {name: mask}; use one kind."
        )
    labels = tuple(sorted(set().union(*(facts.labels for facts in seen))))
    if UNKNOWN in labels and set(labels) <= {0, UNKNOWN}:
        held = "0, 255" if 0 in labels else "255"
        raise ConfigError(
            f"the first {looked_at} masks hold only {held}, but 255 means unknown; "
            "for masks of 0 and 255 give mask > 0."
        )
    named = [facts.names for facts in seen if facts.names is not None]
    return FirstItems(
        image_sizes=frozenset(facts.image_size for facts in seen),
        mask_sizes=frozenset().union(*(facts.mask_sizes for facts in seen)),
        names=tuple(dict.fromkeys(name for names in named for name in names)) if named else None,
        labels=labels,
        unknown=sum(facts.unknown for facts in seen) / len(seen),
        count=looked_at,
    )


def _facts(item: Item) -> _Facts:
    digest = blake2b(item.image.numpy().tobytes(), digest_size=16)
    for mask in item.all_masks:
        digest.update(mask.tobytes())
    height, width = item.image.shape[1:]
    return _Facts(
        image_size=(height, width),
        mask_sizes=frozenset((mask.shape[0], mask.shape[1]) for mask in item.all_masks),
        names=tuple(item.masks) if isinstance(item.masks, dict) else None,
        labels=frozenset(n for mask in item.all_masks for n in np.unique(mask).tolist()),
        unknown=item.unknown,
        digest=digest.digest(),
    )
