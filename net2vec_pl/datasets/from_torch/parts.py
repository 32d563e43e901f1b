"""The datasets that a user gives, one or (train, val), and what their rows are called."""

from os import PathLike
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset, Subset

from net2vec_pl.errors import ConfigError

_SIDES = ("train", "val")


def checked_sides(parts: tuple[Any, ...]) -> list[str]:
    """Return the side of every row if there are two datasets, (train, val), else nothing.

    Raises:
        ConfigError: If a dataset is empty or no map-style dataset.
    """
    if len(parts) not in (1, 2):
        raise ConfigError(f"{len(parts)} datasets were given; give one, or (train, val).")
    for part in parts:
        kind = type(part).__name__
        if isinstance(part, IterableDataset) or not hasattr(part, "__len__"):
            raise ConfigError(
                f"{kind} has no length; give a map-style dataset, with __len__ and __getitem__."
            )
        if len(part) == 0:
            raise ConfigError(f"{kind} is empty.")
    if len(parts) == 1:
        return []
    return [side for side, part in zip(_SIDES, parts, strict=True) for _ in range(len(part))]


def class_name(dataset: Any) -> str:
    """Return the name of a dataset's class; of a subset, that of the whole."""
    whole = isinstance(dataset, Subset)
    return class_name(dataset.dataset) if whole else type(dataset).__name__


def image_names(parts: tuple[Any, ...]) -> list[str]:
    """Return the names of the image files where all are known and unique, else numbers."""
    for names in ([_file_names(part) for part in parts], [_numbers(len(part)) for part in parts]):
        joined = [name for part in names for name in part]
        if len({*joined}) < len(joined) and len(parts) == 2:
            joined = [f"{_SIDES[i]}/{name}" for i, part in enumerate(names) for name in part]
        if len({*joined}) == len(joined) == sum(map(len, parts)):
            break
    return joined


def _numbers(count: int) -> list[str]:
    width = max(4, len(str(count - 1)))
    return [f"{row:0{width}d}" for row in range(count)]


def _file_names(dataset: Any) -> list[str]:
    """Return the names of image files from ``images`` or ``imgs``, where torchvision lists them."""
    if isinstance(dataset, Subset):
        names = _file_names(dataset.dataset)
        return [names[row] for row in dataset.indices] if names else []
    for attribute in ("images", "imgs"):
        entries = getattr(dataset, attribute, None)
        if isinstance(entries, list) and len(entries) == len(dataset):
            paths = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
            if all(isinstance(path, str | PathLike) for path in paths):
                return [Path(path).name for path in paths]
    return []
