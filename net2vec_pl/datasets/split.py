"""Which rows of a user's dataset are for training, and which for validation."""

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from net2vec_pl.data.groups import Groups, checked, numbered
from net2vec_pl.errors import ConfigError

Split: TypeAlias = float | Sequence[bool | str] | npt.NDArray[Any] | Tensor

SHARE = 0.3

_SIDES = {"train": True, "val": False}


def train_rows(split: Split, groups: Groups | None, count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows are in the train split, shape (count,).

    Args:
        split: The share of val rows, drawn at random; or True (train) or False, or ``train`` or
            ``val``, for every row.
        groups: A value per row; rows with the same value stay on one side.
        count: Number of rows.
        seed: Seed of the draw.

    Raises:
        ConfigError: If a side is empty, or groups are on both.
    """
    groups = groups.tolist() if isinstance(groups, np.ndarray | Tensor) else groups
    if groups is not None:
        checked(groups, count)
    if isinstance(split, int | float | np.floating) and not isinstance(split, bool):
        is_train = _drawn(float(split), groups, count, seed)
    else:
        is_train = _told(split, count)
    if is_train.all() or not is_train.any():
        side = "train" if is_train.all() else "val"
        raise ConfigError(f"split leaves all {count} rows in {side}; both sides need images.")
    if groups is not None:
        _check_groups(is_train, groups)
    return is_train


def _drawn(
    share: float, groups: Sequence[Hashable] | None, count: int, seed: int
) -> npt.NDArray[np.bool_]:
    if not 0 < share < 1:
        raise ConfigError(
            f"split={share:g} must be the share of val images, between 0 and 1, "
            "or say 'train' or 'val' of every row."
        )
    wanted = min(max(round(share * count), 1), max(count - 1, 0))
    rng = np.random.default_rng(seed)
    is_train = np.ones(count, dtype=np.bool_)
    if groups is None:
        is_train[rng.permutation(count)[:wanted]] = False
        return is_train
    group_of = numbered(groups)
    if group_of.max() == 0:
        raise ConfigError("groups has one value for all rows; a split needs two or more.")
    return ~np.isin(group_of, _val_groups(np.bincount(group_of), wanted, rng))


def _val_groups(sizes: npt.NDArray[np.int64], wanted: int, rng: np.random.Generator) -> list[int]:
    """Choose groups by chance that together hold about as many rows as wanted."""
    chosen: list[int] = []
    held = 0
    for group in rng.permutation(len(sizes)).tolist():
        nearer = abs(held + sizes[group] - wanted) < abs(held - wanted)
        if nearer and len(chosen) + 1 < len(sizes):
            chosen.append(group)
            held += int(sizes[group])
    return chosen or [int(sizes.argmin())]


def _told(split: Any, count: int) -> npt.NDArray[np.bool_]:
    """Read what is said of every row."""
    if isinstance(split, str) or not hasattr(split, "__len__"):
        raise ConfigError(
            f"split={split!r} must be the share of val images, or 'train' or 'val' of every row."
        )
    values = split.tolist() if hasattr(split, "tolist") else list(split)
    for value in values:
        if not (isinstance(value, bool | np.bool_) or value in ("train", "val")):
            raise ConfigError(
                f"split holds {value!r}; it takes True (train) or False (val), or 'train' or "
                "'val', for every row. Row numbers? [row in rows for row in range(len(dataset))]"
            )
    if len(values) != count:
        raise ConfigError(f"split has {len(values)} values, the dataset has {count} rows.")
    return np.array([_SIDES.get(value, value) for value in values], dtype=np.bool_)


def _check_groups(is_train: npt.NDArray[np.bool_], groups: Sequence[Hashable]) -> None:
    val = {group for group, train in zip(groups, is_train, strict=True) if not train}
    for group, train in zip(groups, is_train, strict=True):
        if train and group in val:
            raise ConfigError(f"group {group!r} has rows in train and in val; keep it on one side.")
