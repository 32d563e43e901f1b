"""Do names of images look like frames of films? A guess, made to warn rarely and then rightly."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

_FRAME = re.compile(r"^(?:(?P<head>.*)[_-])?(?P<letters>[a-zA-Z]*)(?P<number>\d+)$")
_LEAST_IMAGES = 5  # of a film
_REGULAR = 0.75  # share of steps between frames that are the film's usual one
_MOST = 0.5  # share of the images that are of films
# One number after the other is also how the pictures of a class are named, so then something else
# must say that they are of a film.
_WORDS = re.compile(r"(?i)(seq|film|video|clip|scene|shot|cam|take|frame|episode)")
_NO_FILM = re.compile(r"(?i)train|val|test|^n\d{8}$|^(19|20)\d\d$|^(img|image|photo|dsc|pic)")
_PATTERNS = ("folder", "^([^_]+)_", "^([^-]+)-", r"^(.+)[_-][a-zA-Z]*\d+(?:\.\w+)?$")


@dataclass(frozen=True)
class Films:
    """What names look like.

    Args:
        count: Films among the images, of five images or more.
        example: The name of an image of one.
        pattern: What ``data.group`` takes to make a group of each.
    """

    count: int
    example: str
    pattern: str


def films_in(names: Sequence[str]) -> Films | None:
    """Look for names with a common beginning, or in a common folder, and numbers in even steps.

    Args:
        names: Names of images, with or without folders.

    Returns:
        The films, if most images are of any; None if not, or if there is but one.

    Example:
        >>> films_in([f"{film}_{30 * n:05d}.png" for film in ("0001TP", "16E5") for n in range(9)])
        Films(count=2, example='0001TP_00000.png', pattern='^([^_]+)_')
        >>> films_in([f"{n:012d}.jpg" for n in (139, 285, 632, 724, 776, 785, 802, 872)])
    """
    rows: dict[tuple[str, str], list[int]] = {}
    numbers: dict[tuple[str, str], list[int]] = {}
    for row, name in enumerate(names):
        path = PurePosixPath(name)
        match = _FRAME.match(path.stem)
        if match is not None:
            key = str(path.parent), match["head"] or ""
            rows.setdefault(key, []).append(row)
            numbers.setdefault(key, []).append(int(match["number"]))
    films = [
        key
        for key in rows
        if len(rows[key]) >= _LEAST_IMAGES
        and _is_film(*key, names[rows[key][0]], np.array(numbers[key]))
    ]
    images = sum(len(rows[key]) for key in films)
    if len(films) < 2 or images < _MOST * len(names):
        return None
    example = names[rows[films[0]][0]]
    wanted = {row: key for key in rows for row in rows[key]}
    count = sum(len(of_key) >= _LEAST_IMAGES for of_key in rows.values())
    return Films(count, example, _pattern_for(names, wanted))


def _is_film(folder: str, head: str, name: str, numbers: np.ndarray) -> bool:
    """Return whether the frames of one beginning come in even steps, and are of no class."""
    title = head or PurePosixPath(folder).name
    if not title or _NO_FILM.search(title):
        return False
    steps = np.diff(np.unique(numbers))
    if len(steps) == 0:
        return False
    step, times = Counter(steps.tolist()).most_common(1)[0]
    if times < _REGULAR * len(steps):
        return False
    mixed = any(c.isdigit() for c in title) and any(c.isalpha() for c in title)
    return step > 1 or mixed or _WORDS.search(name) is not None


def _pattern_for(names: Sequence[str], wanted: dict[int, tuple[str, str]]) -> str:
    """Return the simplest pattern that finds the same groups; the most general if none does."""
    for pattern in _PATTERNS[:-1]:
        if pattern == "folder":
            found: list[str | None] = [str(PurePosixPath(name).parent) for name in names]
        else:
            found = [match and match[1] for match in (re.search(pattern, name) for name in names)]
        pairs = {(found[row], key) for row, key in wanted.items()}
        if None not in found and len(pairs) == len({*found}) == len({*wanted.values()}):
            return pattern
    return _PATTERNS[-1]
