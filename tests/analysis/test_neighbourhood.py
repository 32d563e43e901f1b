import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated.space import CASES, CATEGORIES, one_filter, shuffled
from support.embeddings import bank, groups

from net2vec_pl.analysis.comparison import neighbour_overlap
from net2vec_pl.analysis.neighbourhood import (
    all_alike,
    among_nearest,
    category_matrix,
    neighbourhood_size,
)
from net2vec_pl.analysis.space import cosines, nearest, unit_rows
from net2vec_pl.errors import ConfigError


@given(cells=st.lists(st.integers(-2, 2), min_size=10, max_size=10), k=st.integers(1, 4))
def test_ties_share_the_places_that_are_left_as_random_orders_do(cells: list[int], k: int) -> None:
    cosine = np.eye(5)
    cosine[np.triu_indices(5, 1)] = cosine.T[np.triu_indices(5, 1)] = np.array(cells) / 4
    chance = among_nearest(cosine, k)
    draw = np.random.default_rng(0)
    for c in range(5):
        others = [other for other in range(5) if other != c]
        counted = np.zeros(5)
        for _ in range(400):
            order = sorted(draw.permutation(others), key=lambda other: -cosine[c, other])
            counted[order[:k]] += 1 / 400
        np.testing.assert_allclose(chance[c], counted, atol=0.12)
    np.testing.assert_allclose(chance.sum(axis=1), k)


def test_without_ties_the_nearest_are_those_that_are_named() -> None:
    weight = bank(20)
    chance = among_nearest(cosines(unit_rows(weight).rows), 4)
    for c, found in enumerate(nearest(weight, 4).index):
        assert np.flatnonzero(chance[c]).tolist() == sorted(found.tolist())


def test_the_order_of_the_bank_does_not_choose_among_ties() -> None:
    cosine, order = cosines(one_filter(3)), np.random.default_rng(0).permutation(40)
    turned = among_nearest(cosine[order][:, order], 5)
    np.testing.assert_allclose(turned, among_nearest(cosine, 5)[order][:, order])


def test_a_third_of_the_others_are_neighbours_at_most_but_one_at_least() -> None:
    sizes = [neighbourhood_size(5, concepts) for concepts in (0, 2, 3, 6, 7, 15, 16, 99)]
    assert sizes == [1, 1, 1, 1, 2, 4, 5, 5]
    with pytest.raises(ConfigError, match="k=0"):
        neighbourhood_size(0, 9)


def test_concepts_of_a_filter_each_are_all_alike_and_twins_are_not() -> None:
    assert all_alike(np.eye(4))
    assert all_alike(np.ones((4, 4)))
    assert not all_alike(cosines(np.eye(3)[[0, 0, 1, 2]]))


def test_category_matrix_shares_out_ties() -> None:
    # Nearest to the first and to the last are the middle two, with a chance of one half each.
    weight = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    found = category_matrix(weight, ["a", "a", "b", "b"], k=1, permutations=5)
    np.testing.assert_allclose(found.share, [[0.75, 0.25]] * 2)


def test_category_matrix_matches_loops() -> None:
    weight, rng = bank(30), np.random.default_rng(3)
    weight[4] = 0
    categories = rng.choice(["object", "part", "color"], size=30, p=[0.6, 0.3, 0.1]).tolist()
    found = category_matrix(weight, categories, k=4, permutations=5)
    near = nearest(weight, 4).index
    valid = [c for c in range(30) if c != 4]
    for i, row in enumerate(found.categories):
        mine = [c for c in valid if categories[c] == row]
        assert found.count[i] == len(mine)
        for j, column in enumerate(found.categories):
            shares = [np.mean([categories[n] == column for n in near[c]]) for c in mine]
            assert found.share[i, j] == pytest.approx(np.mean(shares))
            others = [c for c in valid if c != mine[0]]
            chance = np.mean([categories[c] == column for c in others])
            assert found.chance[i, j] == pytest.approx(chance)
    assert found.diagonal == pytest.approx(np.diag(found.share).mean())
    np.testing.assert_allclose(found.share.sum(axis=1), 1)


def test_categories_that_keep_together_are_far_from_chance() -> None:
    weight, categories = groups(each=20)
    found = category_matrix(weight, categories, permutations=200)
    assert found.diagonal == pytest.approx(1)
    assert found.chance_diagonal == pytest.approx(19 / 39)
    assert found.p == pytest.approx(1 / 201)


def test_random_embeddings_keep_no_category_together() -> None:
    found = category_matrix(bank(200), ["a", "b"] * 100, permutations=200)
    assert found.diagonal == pytest.approx(found.chance_diagonal, abs=0.05)
    assert found.p > 0.05


def test_a_category_whose_concepts_have_no_direction_stays_as_a_row_of_nan() -> None:
    weight, categories = groups()
    weight[0], categories[0] = 0, "lost"
    found = category_matrix(weight, categories, permutations=10)
    assert found.categories[0] == "lost"
    assert found.count.tolist() == [0, 9, 10]
    assert np.isnan(found.share[0]).all()
    assert np.isnan(found.chance[0]).all()
    assert found.diagonal == pytest.approx(1)


def test_too_few_concepts_give_no_category_matrix_but_a_reason() -> None:
    for concepts in (0, 1, 2):
        found = category_matrix(bank(concepts), ["a", "b"][:concepts])
        assert np.isnan(found.diagonal)
        assert np.isnan(found.p)
        assert np.isnan(found.share).all()
        assert found.reason == f"{concepts} concepts have a direction, 3 are needed"


def test_neighbours_looked_at_are_cut_to_a_third_of_those_there() -> None:
    found = category_matrix(bank(5), ["a", "a", "b", "b", "b"], k=50, permutations=10)
    assert found.k == 1
    assert (found.share != found.chance).any()


def test_equal_categories_or_directions_give_no_matrix_but_a_reason() -> None:
    for weight, categories, reason in [
        (bank(6), ["a"] * 6, "all concepts are of one category"),
        (bank(6), [*"abcdef"], "every concept has a category of its own"),
        (np.eye(6), ["a", "b"] * 3, "all cosines are equal"),
        (np.ones((6, 2)), ["a", "b"] * 3, "all cosines are equal"),
    ]:
        found = category_matrix(weight, categories)
        assert found.reason == reason
        assert np.isnan([found.diagonal, found.chance_diagonal, found.p]).all()
        assert found.permutations == 0


@pytest.mark.parametrize("case", CASES)
def test_what_is_unrelated_is_rarely_called_related(case: str) -> None:
    assert 0.005 <= CASES[case](150) <= 0.1


def test_filters_that_follow_categories_are_found_among_ties() -> None:
    found = []
    for seed in range(40):
        categories, rng = shuffled(seed), np.random.default_rng(seed)
        best = np.where(rng.random(40) < 0.5, categories, rng.integers(8, size=40))
        overlap = neighbour_overlap(
            np.eye(8)[best], np.eye(CATEGORIES)[categories], permutations=99
        )
        matrix = category_matrix(np.eye(8)[best], [*map(str, categories)], permutations=99)
        found += [overlap.p <= 0.05, matrix.p <= 0.05]
    assert np.mean(found) > 0.9


def test_categories_must_be_as_many_as_embeddings() -> None:
    with pytest.raises(ValueError, match="2 categories for 5 embeddings"):
        category_matrix(bank(5), ["a", "b"])
