"""What the class numbers of ADE20K mean: from the file beside each image, and the release's index.

The release of 2021 has a JSON file for each image, with number and name of every object and part.
That of 2016 has ``_atr.txt``: a line per object, ``instance # part level # occluded # class name #
raw name # "attributes"``, without numbers: class n is entry n of ``objectnames`` in
``index_ade20k.mat``. The pickle of the index is never read, for a pickle can run any program.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scipy.io import loadmat

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.decoding import read_bytes
from net2vec_pl.errors import DataError

_NAME, _LEVEL, _COLUMNS = 3, 1, 6  # of a line of _atr.txt


class NamedClass(NamedTuple):
    """An object or a part that an image has.

    Args:
        number: Class number, as R // 10 * 256 + G of the masks says it.
        name: Its synonyms, as in ``"car, auto, automobile"``.
        is_part: Whether it is a part of something here.
    """

    number: int
    name: str
    is_part: bool


def read_json(path: Path) -> set[NamedClass]:
    """Read which classes an image of the release of 2021 has.

    Raises:
        UnreadableRowError: If the file is absent, or not of that form.
    """
    try:
        found = json.loads(_text(path))["annotation"]["object"]
        objects = [found] if isinstance(found, dict) else found  # one alone is not in a list
        named = {
            NamedClass(int(one["name_ndx"]), one["name"].strip(), one["parts"]["part_level"] != 0)
            for one in objects
            if isinstance(one["name"], str)  # an object without a name has no class either
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableRowError(
            f"{path} is not ADE20K's description of an image: {type(error).__name__}: {error}"
        ) from error
    return {one for one in named if one.number > 0}


def read_attributes(path: Path, numbers: Mapping[str, int]) -> set[NamedClass]:
    """Read which classes an image of the release of 2016 has.

    Args:
        path: Its ``_atr.txt``.
        numbers: Name of a class, with all its synonyms -> number.

    Raises:
        UnreadableRowError: If the file is absent, not of that form, or names an unknown class.
    """
    found = set()
    for place, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("#", _COLUMNS - 1)]
        if len(cells) < _COLUMNS or not cells[_LEVEL].isdecimal():
            raise UnreadableRowError(
                f"{path}, line {place}: {line.strip()[:60]!r} is not "
                "instance # part level # occluded # class # raw name # attributes"
            )
        if cells[_NAME] not in numbers:
            raise UnreadableRowError(
                f"{path}, line {place}: class {cells[_NAME]!r} is not in index_ade20k.mat"
            )
        found.add(NamedClass(numbers[cells[_NAME]], cells[_NAME], int(cells[_LEVEL]) > 0))
    return found


def read_index(path: Path) -> dict[str, int]:
    """Read the numbers of all classes of the release of 2016, by name with all synonyms.

    Raises:
        DataError: If the file is absent, or no such index.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is absent: images with _atr.txt files are of ADE20K's release of 2016, whose "
            "class numbers stand in that file. See docs/datasets.md#ade20k."
        )
    try:
        names = loadmat(path, simplify_cells=True)["index"]["objectnames"]
        return {str(name).strip(): number for number, name in enumerate(names, start=1)}
    except Exception as error:  # whatever a damaged file leads SciPy to
        raise DataError(
            f"{path} is not ADE20K's index: {type(error).__name__}: {error}. See "
            "docs/datasets.md#ade20k."
        ) from error


def short_names(names: Mapping[int, str], images: Counter[int], taken: set[str]) -> dict[int, str]:
    """Give every class one of its synonyms, as BRODEN does: the first that is free.

    Args:
        names: Number -> synonyms, separated by commas.
        images: Number -> images that have the class; the most frequent class chooses first.
        taken: Names that are not free.

    Example:
        >>> short_names({1: "screen, CRT screen", 2: "screen"}, Counter({2: 9, 1: 3}), set())
        {1: 'CRT screen', 2: 'screen'}
    """
    taken, chosen = set(taken), {}
    for number in sorted(names, key=lambda number: (-images[number], number)):
        synonyms = [name.strip() for name in names[number].split(",")]
        last = f"{synonyms[0]} ({number})"  # all synonyms belong to others
        name = next(name for name in (*synonyms, last) if name and name not in taken)
        taken.add(name)
        chosen[number] = name
    return dict(sorted(chosen.items()))


def _text(path: Path) -> str:
    """Read a text file, UTF-8 or, as some of the release are, Latin-1."""
    data: Any = read_bytes(path, "description")
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return str(data.decode("latin-1"))
