"""Which image files are for training, which for validation: by folders, files or chance."""

import csv
import io
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from net2vec_pl.datasets.split import SHARE, train_rows
from net2vec_pl.errors import DataError, shorten

DOCS = "docs/datasets.md#train-and-val"
_TRAIN = ("train", "training")
_VAL = ("val", "validation", "valid")
LEFT_OUT = ("test", "testing")
"""Splits that are neither for training nor for validation."""
# Where datasets keep train.txt and val.txt.
_LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets", "splits", ".")


def side_of(word: str) -> bool | None:
    """Return whether a word means the train split (True) or the val split (False), else None."""
    known = {**dict.fromkeys(_TRAIN, True), **dict.fromkeys(_VAL, False)}
    return known.get(word.strip().lower())


def split_names(
    names: Sequence[str],
    given: Any,
    root: Path,
    seed: int,
    groups: Sequence[Hashable] | None = None,
) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """Return the images to use, and which are for training.

    Args:
        names: Names of images: paths without their endings.
        given: None for what the folders and files of the dataset say, or else a share; a number,
            the share of val images drawn by chance; a file or folder of lists of names.
        root: The dataset's folder.
        seed: Seed of the draw.
        groups: A value per name; names of one value are drawn together.

    Returns:
        The names in their order, without those of other splits, and a bool for each.

    Raises:
        DataError: If a list names what is not there, or cannot be read.
        ConfigError: If a side is empty.
    """
    told: Mapping[str, bool] | None = None
    if given is None:
        told = _by_folder(names) or _by_lists(names, root)
        given = SHARE
    elif not isinstance(given, int | float):
        told = _by_files(names, given, root)
    if told is None:
        return [*names], train_rows(float(given), groups, len(names), seed)
    kept = [name for name in names if name in told]
    return kept, train_rows([told[name] for name in kept], None, len(kept), seed)


def _by_folder(names: Sequence[str]) -> Mapping[str, bool] | None:
    """Read the split off the first part of the names, where both splits are there."""
    sides = {name: side_of(PurePosixPath(name).parts[0]) for name in names}
    told = {name: side for name, side in sides.items() if side is not None}
    return told if {*told.values()} == {True, False} else None


def _by_lists(names: Sequence[str], root: Path) -> Mapping[str, bool] | None:
    for folder in _LISTS:
        train, val = root / folder / "train.txt", root / folder / "val.txt"
        if train.is_file() and val.is_file():
            return _by_files(names, [train, val], root)
    return None


def _by_files(names: Sequence[str], given: Any, root: Path) -> Mapping[str, bool]:
    paths = [_found(one, root) for one in (given if isinstance(given, list) else [given])]
    if len(paths) == 1 and paths[0].is_dir():
        paths = [paths[0] / "train.txt", paths[0] / "val.txt"]
    if len(paths) > 2:
        raise DataError(f"data.split={given}: give a file, a folder, or [train, val]. {DOCS}")
    lines = [_read(path) for path in paths]
    if len(paths) == 1:
        listed = _columns(lines[0], paths[0])
    else:
        listed = [
            (line.split()[0], side == 0)
            for side, part in enumerate(lines)
            for line in part
            if line.strip()
        ]
    by_name = {name: name for name in names} | {PurePosixPath(n).name: n for n in names}
    told, absent = {}, []
    for word, side in listed:
        for key in (word, str(PurePosixPath(word).with_suffix("")), PurePosixPath(word).stem):
            if key in by_name:
                told[by_name[key]] = side
                break
        else:
            absent.append(word)
    if absent:
        raise DataError(
            f"{paths[0]} lists {len(absent)} images that have no image or no mask: "
            f"{shorten(absent, shown=4)}. {DOCS}"
        )
    return told


def _found(given: Any, root: Path) -> Path:
    path = Path(str(given)).expanduser()
    return root / path if (root / path).exists() else path


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.split: {path} cannot be read: {error}. {DOCS}") from error


def _columns(lines: list[str], path: Path) -> list[tuple[str, bool]]:
    listed = []
    for line in csv.DictReader(io.StringIO("\n".join(lines))):
        if "image" not in line or "split" not in line:
            raise DataError(f"{path} needs the columns image and split. {DOCS}")
        word = (line["split"] or "").strip()
        if (side := side_of(word)) is not None:
            listed.append((line["image"], side))
        elif word.lower() not in LEFT_OUT:
            raise DataError(f"{path}: the split of {line['image']} is {word!r}; known: train, val.")
    return listed
