"""Which names look like films, and which only like numbers."""

import csv
import random
from pathlib import Path

import pytest

from net2vec_pl.data.films import films_in
from net2vec_pl.data.groups import groups_by_name

_RANDOM = random.Random(0)
FILMS = {
    "^([^_]+)_": [f"road/{film}_{30 * n:06d}.png" for film in ("0001TP", "5VD") for n in range(9)],
    "folder": [f"seq{film:02d}/frame_{n:06d}.jpg" for film in range(3) for n in range(9)],
    "^([^-]+)-": [f"video{film}-f{n}.png" for film in range(3) for n in range(9)],
    r"^(.+)[_-][a-zA-Z]*\d+(?:\.\w+)?$": [
        f"my_data/seq_{film}_{n:04d}" for film in "ab" for n in range(9)
    ],
}
NO_FILMS = {
    "COCO 2017": [f"{_RANDOM.randrange(600000):012d}.jpg" for _ in range(300)],
    "COCO 2014": [
        f"{side}2014/COCO_{side}2014_{_RANDOM.randrange(600000):012d}.jpg"
        for side in ("train", "val")
        for _ in range(300)
    ],
    "ADE20K": [f"ADE_{side}_{n:08d}.jpg" for side in ("train", "val") for n in range(1, 300)],
    "ImageNet": [
        f"n{label:08d}/n{label:08d}_{n}.JPEG" for label in (1440764, 1443537) for n in range(99)
    ],
    "shapes": [f"{n:04d}" for n in range(99)],
    "VOC": [f"{year}_{n:06d}.jpg" for year in (2007, 2008) for n in range(99)],
    "Pets": [f"{cat}_{n}.jpg" for cat in ("Abyssinian", "great_pyrenees") for n in range(1, 99)],
    "DTD": [f"dtd/{kind}_{n:04d}.jpg" for kind in ("banded", "blotchy") for n in range(1, 99)],
    "Caltech": [f"{kind}/image_{n:04d}.jpg" for kind in ("accordion", "ant") for n in range(60)],
    "MNIST": [f"{digit}/{n:05d}.png" for digit in range(10) for n in range(60)],
    "cameras": [f"{name}_{n:04d}.jpg" for name in ("IMG", "IMG2", "DSC0") for n in range(60)],
    "one film": [f"seq1_{n:04d}.png" for n in range(99)],
    "few frames": [f"seq{film}_{n:04d}.png" for film in range(30) for n in range(4)],
    "some films": [f"seq{film}_{n}.png" for film in (1, 2) for n in range(6)]
    + [f"{n}.png" for n in range(99)],
    "uneven": [f"cam{c}_{_RANDOM.randrange(10**6)}.png" for c in (1, 2) for _ in range(60)],
}


@pytest.mark.parametrize("pattern", FILMS)
def test_the_pattern_told_makes_a_group_of_each_film(pattern: str) -> None:
    names = FILMS[pattern]
    found = films_in(names)
    assert found is not None
    assert (found.pattern, found.example) == (pattern, names[0])
    assert found.count == len(names) // 9
    assert groups_by_name(names, found.pattern).tolist() == [n // 9 for n in range(len(names))]


@pytest.mark.parametrize("kind", NO_FILMS)
def test_names_with_numbers_alone_raise_no_alarm(kind: str) -> None:
    assert films_in(NO_FILMS[kind]) is None


def test_the_films_of_camvid_are_found(shared: Path) -> None:
    with (shared / "data" / "camvid_broden_224" / "index.csv").open(newline="") as file:
        found = films_in([line["image"] for line in csv.DictReader(file)])
    assert found is not None
    assert (found.count, found.pattern) == (4, "^([^_]+)_")
