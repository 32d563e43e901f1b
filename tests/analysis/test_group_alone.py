"""What an image's group alone gives: by a slow count of pairs, by hand, and of mere noise."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool, Int64
from support.group_pairs import group_pairs

from net2vec_pl.analysis.group_alone import group_alone

# Group, whether of train, and the label: True, False or None for unknown.
IMAGES = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from([True, False, None])),
    min_size=1,
    max_size=30,
)


def flags(
    labels: Sequence[bool | None],
) -> tuple[Bool[np.ndarray, "N 1"], Bool[np.ndarray, "N 1"]]:
    """Return which images have the concept, and which are known to lack it."""
    present, absent = ([label is flag for label in labels] for flag in (True, False))
    return np.array(present)[:, None], np.array(absent)[:, None]


@given(images=IMAGES)
def test_it_is_the_slow_count(images: list[tuple[int, bool, bool | None]]) -> None:
    groups, is_train, labels = (list(values) for values in zip(*images, strict=True))
    found = group_alone(*flags(labels), np.array(is_train), 7 * np.array(groups) - 9)
    assert [found.auc.item(), found.accuracy.item()] == pytest.approx(
        group_pairs(images), nan_ok=True
    )


def test_films_of_one_kind_each_say_it_all() -> None:
    labels = [True, False] + [True] * 20 + [False] * 30
    films = np.repeat([9, 9, 0, 1, 2, 3], [1, 1, 12, 8, 10, 20])
    is_train = np.arange(52) < 2
    found = group_alone(*flags(labels), is_train, films)
    assert (found.auc.item(), found.accuracy.item()) == (1, 1)


def test_one_film_says_nothing_and_neither_do_films_of_one_image() -> None:
    labels = [True, False, False] + [True, False] * 15
    is_train = np.arange(33) < 3
    for films in (np.repeat([0, 1], [3, 30]), np.arange(33)):
        found = group_alone(*flags(labels), is_train, films)
        assert (found.auc.item(), found.accuracy.item()) == (0.5, 0.5)


def test_a_group_on_both_sides_is_known_from_its_train_images_alone() -> None:
    # Groups 0 and 1 have shares of 1 and 0 on train, and the other way round on val.
    labels = [True, True, False, False, False, False, True, True]
    is_train, groups = np.arange(8) < 4, np.array([0, 0, 1, 1, 0, 0, 1, 1])
    found = group_alone(*flags(labels), is_train, groups)
    assert (found.auc.item(), found.accuracy.item()) == (0, 0)


def test_no_concept_is_none() -> None:
    none = np.zeros((4, 0), dtype=np.bool_)
    found = group_alone(none, none, np.array([True, False] * 2), np.arange(4))
    assert found.auc.shape == found.accuracy.shape == (0,)


def draw(
    rng: np.random.Generator, alike: float, concepts: int
) -> tuple[Bool[np.ndarray, "N C"], Bool[np.ndarray, "N"], Int64[np.ndarray, "N"]]:
    """Draw 20 films of 5 to 14 images, half of them train, of which some share of labels agree."""
    films = np.repeat(np.arange(20), rng.integers(5, 15, 20))
    of_film = rng.random((20, concepts)) < 0.4
    own = rng.random((len(films), concepts)) < 0.4
    follows = rng.random((len(films), concepts)) < alike
    return np.where(follows, of_film[films], own), films < 10, films


@pytest.mark.parametrize("both_sides", [False, True])
def test_labels_that_have_nothing_to_do_with_groups_give_a_half(both_sides: bool) -> None:
    rng = np.random.default_rng(0)
    present, is_train, films = draw(rng, 0.0, 2000)
    if both_sides:
        is_train = rng.random(len(films)) < 0.5
    found = group_alone(present, ~present, is_train, films)
    for scores in (found.auc, found.accuracy):
        error = scores.std() / np.sqrt(len(scores))
        assert abs(scores.mean() - 0.5) < 3 * error
        assert error < 0.005


def test_it_rises_with_how_much_alike_the_images_of_a_group_are() -> None:
    rng, means = np.random.default_rng(1), []
    for alike in (0.0, 0.4, 0.8, 1.0):
        present, is_train, films = draw(rng, alike, 300)
        means.append(np.nanmean(group_alone(present, ~present, is_train, films).auc))
    assert means == sorted(means)
    assert means[0] == pytest.approx(0.5, abs=0.02)
    assert means[2] > 0.75
    assert means[3] == 1
