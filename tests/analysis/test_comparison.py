import numpy as np
import pytest
from scipy.stats import ortho_group, spearmanr
from support.embeddings import bank

from net2vec_pl.analysis.comparison import (
    Comparison,
    Score,
    common,
    compare,
    concept_distances,
    frobenius_distance,
    linear_cka,
    neighbour_overlap,
    representational_similarity,
)
from net2vec_pl.errors import ConfigError

A, B = bank(15, 6, seed=1), bank(15, 9, seed=2)


def unit(weight: np.ndarray) -> np.ndarray:
    return np.array([row / np.sqrt(sum(x * x for x in row)) for row in weight])


def scores(found: Comparison) -> list[Score]:
    return [found.distance, found.correlation, found.cka, found.overlap]


def cosine(weight: np.ndarray) -> list[list[float]]:
    units = unit(weight)
    return [[float(sum(x * y for x, y in zip(a, b, strict=True))) for b in units] for a in units]


def average_ranks(values: list[float]) -> list[float]:
    """A value's rank is how many are below it, and half of those beside it."""
    return [
        sum(v < value for v in values) + (sum(v == value for v in values) - 1) / 2
        for value in values
    ]


def pearson(x: list[float], y: list[float]) -> float:
    x0, y0 = np.array(x) - np.mean(x), np.array(y) - np.mean(y)
    return float((x0 * y0).sum() / np.sqrt((x0**2).sum() * (y0**2).sum()))


def test_the_papers_distance_matches_loops_and_is_the_sum_over_concepts() -> None:
    of_a, of_b = cosine(A), cosine(B)
    parts = [sum((of_a[i][j] - of_b[i][j]) ** 2 for j in range(15)) for i in range(15)]
    np.testing.assert_allclose(concept_distances(A, B), parts)
    assert frobenius_distance(A, B, 3).value == pytest.approx(sum(parts))
    found = compare(A, B, permutations=3)
    assert found.distance.value == pytest.approx(sum(parts))
    assert found.per_pair == pytest.approx(sum(parts) / 225)


def test_representational_similarity_matches_ranks_by_hand() -> None:
    of_a, of_b = cosine(A), cosine(B)
    pairs = [(i, j) for i in range(15) for j in range(i + 1, 15)]
    x, y = [of_a[i][j] for i, j in pairs], [of_b[i][j] for i, j in pairs]
    found = representational_similarity(A, B, 3).value
    assert found == pytest.approx(pearson(average_ranks(x), average_ranks(y)))
    assert found == pytest.approx(spearmanr(x, y).statistic)


def test_representational_similarity_averages_tied_ranks() -> None:
    a = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    b = np.array([[1.0, 0, 0], [1, 0.5, 0], [0, 0, 1], [1, 1, 1]])
    upper = np.triu_indices(4, 1)
    x, y = (np.round(unit(m) @ unit(m).T, 9)[upper].tolist() for m in (a, b))
    found = representational_similarity(a, b, 3).value
    assert found == pytest.approx(pearson(average_ranks(x), average_ranks(y)))


def test_cka_matches_its_definition_by_hsic() -> None:
    centre = np.eye(15) - np.ones((15, 15)) / 15

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ centre @ m @ centre)) / 14**2

    k, m = unit(A) @ unit(A).T, unit(B) @ unit(B).T
    expected = hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))
    assert linear_cka(A, B, 3).value == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 4, 14, 99])
def test_neighbour_overlap_matches_loops(k: int) -> None:
    def near(weight: np.ndarray, c: int) -> set[int]:
        row = cosine(weight)[c]
        return set(sorted((o for o in range(15) if o != c), key=lambda o: -row[o])[: min(k, 4)])

    shares = [len(near(A, c) & near(B, c)) / min(k, 4) for c in range(15)]
    assert neighbour_overlap(A, B, k, 3).value == pytest.approx(np.mean(shares))
    assert compare(A, B, k, 3).k == min(k, 4)


def test_neighbour_overlap_is_the_mean_over_random_orders_of_what_ties() -> None:
    draw, counted = np.random.default_rng(0), []
    a, b = np.eye(4)[draw.integers(4, size=(2, 16))]
    for _ in range(300):
        near = [
            [
                sorted(draw.permutation([o for o in range(16) if o != c]), key=lambda o: -row[o])[
                    :3
                ]
                for c, row in enumerate(weight @ weight.T)
            ]
            for weight in (a, b)
        ]
        shared = [len(set(m) & set(n)) / 3 for m, n in zip(*near, strict=True)]
        counted.append(np.mean(shared))
    found = neighbour_overlap(a, b, 3, 20)
    assert found.value == pytest.approx(np.mean(counted), abs=0.02)
    assert found.permutations == 20


def test_an_embedding_is_itself() -> None:
    found = compare(A, A, permutations=99)
    assert found.distance.value == 0
    assert found.correlation.value == pytest.approx(1)
    assert found.cka.value == pytest.approx(1)
    assert found.overlap.value == pytest.approx(1)
    assert [score.p for score in scores(found)] == pytest.approx([0.01] * 4)


def test_rotation_and_length_change_nothing() -> None:
    turned = A @ ortho_group.rvs(6, random_state=0) * 7
    lengths = np.random.default_rng(0).uniform(0.1, 10, size=(15, 1))
    for changed in (turned, A * lengths, np.hstack([A, np.zeros((15, 3))])):
        for one, other in zip(
            scores(compare(A, B, permutations=20)),
            scores(compare(changed, B, permutations=20)),
            strict=True,
        ):
            assert other.value == pytest.approx(one.value)
            assert other.chance == pytest.approx(one.chance)
            assert other.p == one.p


def test_order_of_concepts_and_of_the_two_changes_no_value() -> None:
    order = np.random.default_rng(5).permutation(15)
    expected = [score.value for score in scores(compare(A, B, permutations=2))]
    for found in (compare(A[order], B[order], permutations=2), compare(B, A, permutations=2)):
        assert [score.value for score in scores(found)] == pytest.approx(expected)


def test_permutations_match_shuffled_rows() -> None:
    draw = np.random.default_rng(7)
    shuffled = [compare(A, B[draw.permutation(15)], permutations=0) for _ in range(10)]
    found = compare(A, B, permutations=10, seed=7)
    for i, score in enumerate(scores(found)):
        values = np.array([scores(one)[i].value for one in shuffled])
        assert score.chance == pytest.approx(values.mean())
        sign = -1 if i == 0 else 1
        assert score.p == pytest.approx((1 + (sign * values >= sign * score.value).sum()) / 11)


def test_unrelated_embeddings_are_at_chance_and_related_ones_are_not() -> None:
    one, other = bank(60, 20, seed=1), bank(60, 90, seed=2)
    for score in scores(compare(one, other, permutations=200)):
        assert score.p > 0.02
        assert score.value == pytest.approx(score.chance, rel=0.35, abs=0.06)
    mixed = one @ np.random.default_rng(3).normal(size=(20, 90)) + other
    for score in scores(compare(one, mixed, permutations=200)):
        assert score.p == pytest.approx(1 / 201)


def test_chance_of_the_overlap_is_that_of_a_draw() -> None:
    found = neighbour_overlap(bank(60, 20, seed=1), bank(60, 20, seed=2), 5, permutations=300)
    assert found.chance == pytest.approx(5 / 59, abs=0.005)


def test_cka_of_many_filters_is_high_by_chance() -> None:
    found = linear_cka(bank(20, 500, seed=1), bank(20, 500, seed=2), 100)
    assert found.chance > 0.8
    assert found.p > 0.02


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, again = compare(A, B, permutations=20), compare(A, B, permutations=20)
    assert scores(one) == scores(again)
    assert one.cka.chance != compare(A, B, permutations=20, seed=1).cka.chance


def test_concepts_are_matched_by_name() -> None:
    of_a, of_b = common(["a", "blue-green", "c", "d"], ["d", "x", "c", "blue-green"])
    assert of_a.tolist() == [1, 2, 3]
    assert of_b.tolist() == [3, 2, 0]
    with pytest.raises(ConfigError, match="occur twice: a"):
        common(["a", "a"], ["a"])


def test_nothing_in_common_is_not_a_number_but_a_reason() -> None:
    of_a, of_b = common(["a", "b"], ["c"])
    found = compare(A[of_a], B[of_b])
    for score in scores(found):
        assert np.isnan([score.value, score.chance, score.p]).all()
        assert score.reason == "no concept has a direction in both embeddings"
    assert np.isnan(found.per_pair)
    assert found.compared == found.excluded == 0


@pytest.mark.parametrize("concepts", [1, 2])
def test_fewer_than_three_concepts_are_not_compared(concepts: int) -> None:
    for score in scores(compare(A[:concepts], B[:concepts])):
        assert np.isnan([score.value, score.chance, score.p]).all()
        assert "3 are needed" in score.reason


def test_concepts_without_direction_in_either_are_left_out_and_counted() -> None:
    a, b = A.copy(), B.copy()
    a[2], b[2], b[9, 1] = 0, np.nan, np.inf
    kept = [c for c in range(15) if c not in (2, 9)]
    found, expected = compare(a, b, permutations=9), compare(A[kept], B[kept], permutations=9)
    assert (found.compared, found.excluded) == (13, 2)
    assert scores(found) == scores(expected)
    assert np.flatnonzero(np.isnan(found.per_concept)).tolist() == [2, 9]
    np.testing.assert_allclose(found.per_concept[kept], expected.per_concept)


@pytest.mark.parametrize("same", [np.outer(np.arange(1.0, 16), np.ones(4)), np.eye(15)])
def test_an_embedding_that_tells_no_concepts_apart_has_a_distance_alone(same: np.ndarray) -> None:
    found = compare(same, B, permutations=5)
    for score in (found.correlation, found.cka, found.overlap):
        assert np.isnan([score.value, score.chance, score.p]).all()
        assert score.reason == "all cosines are equal"
    assert np.isfinite(found.distance.value)
    assert found.distance.p == 1


def test_less_than_one_neighbour_is_refused() -> None:
    with pytest.raises(ConfigError, match="k=0"):
        neighbour_overlap(A, B, 0)
