"""Rows that belong together, such as the frames of a film, and what a run says of them.

Images of a group resemble each other. So a group stays on one side of a split and in one fold of
the train images, and whatever makes intervals or tests over val images takes whole groups.
"""

import copy
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from net2vec_pl.data.films import films_in
from net2vec_pl.data.reader import ConceptReader
from net2vec_pl.errors import ConfigError, shorten

Groups: TypeAlias = Sequence[Hashable] | npt.NDArray[Any] | Tensor

FOLDER = "folder"
FEW = 6  # with fewer, no paired test can decide
_SHOWN = 3
_HELP = "docs/datasets.md#groups has examples."


def numbered(values: Groups) -> npt.NDArray[np.int64]:
    """Number the values of rows, in the order in which they first occur.

    Args:
        values: A value per row; rows of one value are of one group.

    Returns:
        The number of each row's group, shape (N,).

    Example:
        >>> numbered(["b", "a", "b"]).tolist()
        [0, 1, 0]
    """
    plain = values.tolist() if isinstance(values, np.ndarray | Tensor) else values
    number = {value: n for n, value in enumerate(dict.fromkeys(plain))}
    return np.array([number[value] for value in plain], dtype=np.int64)


def groups_by_name(
    names: Sequence[str], pattern: str, option: str = "data.group"
) -> npt.NDArray[np.int64]:
    r"""Group images by what a pattern finds in their names.

    Args:
        names: A name per row.
        pattern: A regular expression, searched for in each name; its one group in parentheses is
            what images of a group share. Or ``folder``: the folder of each image.
        option: How the pattern was given, for messages.

    Returns:
        The number of each row's group, shape (N,).

    Raises:
        ConfigError: If the pattern is none, misses a name, or its groups say nothing, being a
            single one or one per image.

    Example:
        >>> groups_by_name(["a_1.jpg", "a_2.jpg", "b_1.jpg"], "^([^_]+)_").tolist()
        [0, 0, 1]
    """
    given = f"{option}='{pattern}'"
    if pattern == FOLDER:
        found: list[str | None] = [str(PurePosixPath(name).parent) for name in names]
    else:
        matches = [_compiled(given, pattern).search(name) for name in names]
        found = [match and match[1] for match in matches]
    missed = [name for name, value in zip(names, found, strict=True) if value is None]
    if missed:
        which = "none" if len(missed) == len(names) else f"not all: {len(missed)} are missed"
        raise ConfigError(
            f"{given} must match all {len(names)} image names, and matches {which}, such as "
            f"{shorten(map(repr, missed), _SHOWN)}. {_HELP}"
        )
    count = len({*found})
    if count == 1 or count == len(names):
        says = f"one group, {found[0]!r}," if count == 1 else "groups of one image each"
        raise ConfigError(
            f"{given} makes {says} of the {len(names)} images (such as "
            f"{shorten(map(repr, names), _SHOWN)}), which says nothing. {_HELP}"
        )
    return numbered(found)


def with_groups(
    reader: ConceptReader, groups: Groups | str, option: str = "data.group"
) -> ConceptReader:
    """Return a dataset whose rows are grouped; the one given stays as it is.

    Args:
        reader: The dataset. Its split stays too.
        groups: A value per row, or a pattern as :func:`groups_by_name` takes it.
        option: How they were given, for messages.

    Raises:
        ConfigError: If there is not a value per row, or the pattern cannot be used.
    """
    if isinstance(groups, str):
        numbers = groups_by_name(reader.image_names, groups, option)
    else:
        numbers = numbered(checked(groups, len(reader), option))
    grouped = copy.copy(reader)
    grouped.groups = numbers
    return grouped


def checked(groups: Groups, count: int, option: str = "groups") -> Groups:
    """Return the values if there is one for every row.

    Raises:
        ConfigError: If there is not.
    """
    if len(groups) != count:
        raise ConfigError(f"{option} has {len(groups)} values, the dataset has {count} rows.")
    return groups


def told_groups(reader: ConceptReader, rows: npt.NDArray[np.int64]) -> str:
    """Say how many groups some rows are of; empty without groups.

    Args:
        reader: The dataset.
        rows: The rows.
    """
    if reader.groups is None:
        return ""
    train, val = _sides(reader, rows)
    return f"{len(train | val)} groups of images ({len(train)} train, {len(val)} val)"


def doubts_of(reader: ConceptReader, rows: npt.NDArray[np.int64]) -> Iterator[str]:
    """Say what of the groups makes scores or intervals look better than they are.

    Args:
        reader: The dataset.
        rows: The rows that are used.
    """
    if reader.groups is None:
        films = films_in([reader.image_names[row] for row in rows.tolist()])
        if films is not None:
            yield (
                f"image names look like {films.count} films (as in {films.example}), whose images "
                "resemble each other, and no group is given: intervals are too short. "
                f"data.group='{films.pattern}' (in Python groups=) makes a group of each. {_HELP}"
            )
        return
    train, val = _sides(reader, rows)
    both = train & val
    if both:
        there = int(np.isin(reader.groups[rows], [*both]).sum())
        yield (
            f"{len(both)} of {len(train | val)} groups, with {there} of {len(rows)} images, are on "
            "both sides of the split: val images resemble train images, so scores are optimistic. "
            f"{_HELP}"
        )
    if val and len(val) < FEW:
        yield (
            f"val has {len(val)} groups only: intervals are wide, and no paired test can decide "
            f"with fewer than {FEW}."
        )


def num_val_groups(reader: ConceptReader, rows: npt.NDArray[np.int64]) -> int | None:
    """Return of how many groups some rows are; None without groups."""
    return None if reader.groups is None else len(np.unique(reader.groups[rows]))


def over_images(num_groups: int | None) -> str:
    """Say what an interval is over.

    Args:
        num_groups: Groups that are left out in turn; None where images are.

    Example:
        >>> over_images(None), over_images(40)
        ('over images', 'over 40 groups of images')
    """
    return "over images" if num_groups is None else f"over {num_groups} groups of images"


def if_few(num_groups: int | None) -> str:
    """Say what few groups do to tests; empty where there are enough, or none.

    Args:
        num_groups: Groups that are left out in turn; None where images are.

    Example:
        >>> if_few(3), if_few(10), if_few(None)
        (' No paired test can decide with fewer than 6 groups.', '', '')
    """
    if num_groups is None or num_groups >= FEW:
        return ""
    return f" No paired test can decide with fewer than {FEW} groups."


def _compiled(given: str, pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{given} is no regular expression: {error}. {_HELP}") from error
    if compiled.groups != 1:
        raise ConfigError(
            f"{given} must have one pair of parentheses, around what the names of a group share, "
            f"as in '^([^_]+)_' for film_0001.jpg; or be the word {FOLDER}. {_HELP}"
        )
    return compiled


def _sides(reader: ConceptReader, rows: npt.NDArray[np.int64]) -> tuple[set[int], set[int]]:
    """Return the groups of train rows and of val rows."""
    assert reader.groups is not None
    of_rows, is_train = reader.groups[rows], reader.is_train[rows]
    return {*of_rows[is_train].tolist()}, {*of_rows[~is_train].tolist()}
