"""Groups of images: found in names, never divided, and spoken of."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.cli import composed
from support.planted import PlantedReader

from net2vec_pl.config.plan import Plan
from net2vec_pl.data.groups import (
    doubts_of,
    groups_by_name,
    if_few,
    num_val_groups,
    numbered,
    over_images,
    told_groups,
    with_groups,
)
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.datasets.split import train_rows
from net2vec_pl.errors import ConfigError

FILMS = ["a/x_01.png", "a/x_02.png", "b/y_01.png", "b/x_03.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("folder", [0, 0, 1, 1]), ("/([^_]+)_", [0, 0, 1, 0]), ("^(.+)_", [0, 0, 1, 2])],
)
def test_names_are_grouped_by_a_pattern_or_by_folder(pattern: str, expected: list[int]) -> None:
    assert groups_by_name(FILMS, pattern).tolist() == expected


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("z_(.)", "data.group='z_(.)' must match all 4 image names, and matches none, such as 'a/"),
        ("x_(.)", "matches not all: 1 are missed, such as 'b/y_01.png'. docs/datasets.md#groups"),
        ("^x|/(y)", "matches not all: 3 are missed, such as 'a/x_01.png', 'a/x_02.png', 'b/x_03.p"),
        ("_(0)", "data.group='_(0)' makes one group, '0', of the 4 images (such as 'a/x_01.png'"),
        ("(.+)", "data.group='(.+)' makes groups of one image each of the 4 images"),
        ("(", "data.group='(' is no regular expression: missing )"),
        ("x_", "data.group='x_' must have one pair of parentheses"),
        ("(.)(.)", "must have one pair of parentheses, around what the names of a group share"),
    ],
)
def test_a_pattern_that_groups_nothing_ends_in_one_message(pattern: str, said: str) -> None:
    with pytest.raises(ConfigError) as found:
        groups_by_name(FILMS, pattern)
    assert said in str(found.value)
    assert "docs/datasets.md#groups" in str(found.value)


def test_values_are_numbered_as_they_come() -> None:
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]
    for same in (torch.tensor([7, 2, 7]), np.array([7, 2, 7]), [7, 2, 7]):
        assert numbered(same).tolist() == [0, 1, 0]


def test_a_reader_is_grouped_in_a_copy(reader: PlantedReader) -> None:
    values = [row // 2 for row in range(len(reader))]
    grouped = with_groups(reader, values)
    assert reader.groups is None
    assert grouped.groups is not None
    assert grouped.groups.tolist() == values
    assert torch.equal(grouped[1].image, reader[1].image)
    with pytest.raises(ConfigError, match="groups has 1 values, the dataset has"):
        with_groups(reader, [0], "groups")


def test_the_command_line_groups_any_dataset() -> None:
    shapes = "data.num_images=20", "data.image_size=32"
    names = ShapesReader(num_images=20, image_size=32).image_names
    grouped = Plan(composed(*shapes, r"data.group='(\d)\D*$'")).reader.groups
    assert grouped is not None
    assert len({*zip(grouped.tolist(), [name[-1] for name in names], strict=True)}) == 10
    assert Plan(composed(*shapes)).reader.groups is None
    with pytest.raises(ConfigError, match=r"data\.group=7 must be a pattern in quotes, or folder"):
        _ = Plan(composed(*shapes, "data.group=7")).reader


def sided(groups: list[int], train: list[bool]) -> PlantedReader:
    reader = PlantedReader()
    reader.groups, reader.is_train = np.array(groups), np.array(train)
    reader.image_names = [f"{row:04d}" for row in range(len(groups))]
    return reader


def test_groups_on_both_sides_and_few_of_them_are_told() -> None:
    reader = sided([0, 0, 1, 1, 2], [True, False, True, True, False])
    rows = np.arange(5)
    assert told_groups(reader, rows) == "3 groups of images (2 train, 2 val)"
    both, few = doubts_of(reader, rows)
    assert both.startswith("1 of 3 groups, with 2 of 5 images, are on both sides of the split")
    assert few.startswith(
        "val has 2 groups only: intervals are wide, and no paired test can decide with fewer than 6"
    )
    (few,) = doubts_of(reader, rows[1:])  # the train image of group 0 cannot be read
    assert few.startswith("val has 2 groups only")
    assert num_val_groups(reader, rows[1:3]) == 2


def test_enough_groups_on_their_own_sides_raise_no_doubt() -> None:
    reader = sided([*range(12)], [row < 6 for row in range(12)])
    assert [*doubts_of(reader, np.arange(12))] == []
    assert len([*doubts_of(reader, np.arange(11))]) == 1  # five in val


def test_names_of_films_without_groups_are_told() -> None:
    reader = sided([0] * 20, [True] * 20)
    reader.groups = None
    assert told_groups(reader, np.arange(20)) == ""
    assert [*doubts_of(reader, np.arange(20))] == []
    reader.image_names = [f"00{film}TP_{30 * n:05d}.png" for film in (1, 2) for n in range(10)]
    (doubt,) = doubts_of(reader, np.arange(20))
    assert doubt.startswith("image names look like 2 films (as in 001TP_00000.png)")
    assert "data.group='^([^_]+)_'" in doubt
    assert num_val_groups(reader, np.arange(20)) is None


def test_intervals_say_what_they_are_over() -> None:
    assert over_images(None) == "over images"
    assert over_images(10) == "over 10 groups of images"
    assert if_few(None) == if_few(6) == ""
    assert if_few(5) == " No paired test can decide with fewer than 6 groups."


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 9))
def test_a_seeded_share_divides_no_group(groups: list[int], seed: int) -> None:
    if len({*groups}) < 2:
        return
    is_train = train_rows(0.3, groups, len(groups), seed)
    found = sided(groups, is_train.tolist())
    assert not any("both sides" in doubt for doubt in doubts_of(found, np.arange(len(groups))))
