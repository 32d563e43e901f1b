import sys
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score
from support.embeddings import bank, groups

from net2vec_pl.analysis.clusters import Clusters, agreement, k_means, layout, tree
from net2vec_pl.analysis.space import unit_rows
from net2vec_pl.errors import ConfigError


def test_two_planted_groups_are_found() -> None:
    weight, _ = groups()
    found = k_means(weight, 2)
    assert found.number == 2
    assert found.label.tolist() == [0] * 10 + [1] * 10
    assert found.reason == ""


def test_clusters_do_not_depend_on_length_of_vectors() -> None:
    weight, _ = groups()
    longer = weight * np.random.default_rng(1).uniform(0.01, 100, size=(20, 1))
    np.testing.assert_array_equal(k_means(weight, 2).label, k_means(longer, 2).label)


def test_closeness_is_the_cosine_with_the_centre() -> None:
    weight, _ = groups()
    found = k_means(weight, 2)
    units = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    for c in range(20):
        centre = units[found.label == found.label[c]].mean(axis=0)
        expected = units[c] @ centre / np.linalg.norm(centre)
        assert found.closeness[c] == pytest.approx(expected)


def test_the_largest_cluster_is_number_zero() -> None:
    weight, _ = groups()
    assert np.bincount(k_means(weight[7:], 2).label).tolist() == [10, 3]
    assert np.bincount(k_means(bank(60), 7).label).tolist() == sorted(
        np.bincount(k_means(bank(60), 7).label), reverse=True
    )


@pytest.mark.parametrize(("concepts", "clusters"), [(4, 2), (21, 5), (100, 10)])
def test_the_root_of_concepts_is_the_number_of_clusters(concepts: int, clusters: int) -> None:
    assert k_means(bank(concepts)).number == clusters


def test_at_most_fifty_clusters_are_made_unasked() -> None:
    assert k_means(bank(2700, 2)).number == 50


def test_there_are_no_more_clusters_than_directions() -> None:
    weight = np.repeat(bank(3), 4, axis=0)
    assert k_means(weight, 99).number == 3
    assert k_means(np.ones((6, 4))).number == 1
    with pytest.raises(ConfigError, match="number=0"):
        k_means(weight, 0)


def test_concepts_without_direction_have_no_cluster_place_or_leaf() -> None:
    weight, _ = groups()
    weight[0], weight[15, 3] = 0, np.nan
    found, merged, placed = k_means(weight, 2), tree(weight), layout(weight)
    assert np.flatnonzero(found.label < 0).tolist() == [0, 15]
    assert np.flatnonzero(np.isnan(found.closeness)).tolist() == [0, 15]
    assert np.flatnonzero(np.isnan(placed.position).any(axis=1)).tolist() == [0, 15]
    assert sorted(merged.order) == merged.index.tolist() == [*range(1, 15), *range(16, 20)]


@pytest.mark.parametrize("concepts", [0, 1, 3])
def test_too_few_concepts_give_nothing_but_a_reason(concepts: int) -> None:
    weight = bank(concepts)
    reason = f"{concepts} concepts have a direction, 4 are needed"
    assert k_means(weight).reason == tree(weight).reason == layout(weight).reason == reason
    assert k_means(weight).number == 0
    assert (k_means(weight).label == -1).all()
    assert np.isnan(layout(weight).position).all()
    assert tree(weight).order.tolist() == list(range(concepts))


def test_agreement_is_one_for_the_same_partition_and_chance_for_none() -> None:
    weight, categories = groups(each=20)
    same = agreement(k_means(weight, 2).label, categories, permutations=100)
    assert same.score == pytest.approx(1)
    assert same.chance == pytest.approx(0, abs=0.1)
    assert same.p == pytest.approx(1 / 101)
    assert same.permutations == 100
    other = agreement(k_means(bank(200), 5).label, ["a", "b"] * 100, permutations=100)
    assert other.score == pytest.approx(0, abs=0.05)
    assert other.p > 0.02


def test_agreement_leaves_out_concepts_without_a_cluster() -> None:
    label = np.array([0, 0, 1, 1, -1, -1])
    found = agreement(label, ["a", "a", "b", "a", "b", "c"], permutations=5)
    assert found.number == 4
    assert found.score == pytest.approx(adjusted_mutual_info_score([0, 0, 1, 0], [0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("label", "categories"),
    [
        ([0, 0, 0], ["a", "b", "a"]),
        ([0, 1, 1], ["a", "a", "a"]),
        ([0, 1, 1], ["a", "b", "c"]),
        ([0, 1, 2, -1], ["a", "b", "b", "b"]),
        ([-1, -1], ["a", "b"]),
        ([], []),
    ],
)
def test_agreement_of_one_group_is_not_a_number(label: list[int], categories: list[str]) -> None:
    found = agreement(np.array(label, dtype=np.int64), categories)
    assert np.isnan([found.score, found.chance, found.p]).all()
    assert "needed" in found.reason


def average_linkage(distance: np.ndarray) -> list[float]:
    """Merge the two groups of least mean distance until one is left."""
    clusters, heights = [[i] for i in range(len(distance))], []
    while len(clusters) > 1:
        means = {
            (i, j): np.mean([distance[a, b] for a in clusters[i] for b in clusters[j]])
            for i in range(len(clusters))
            for j in range(i)
        }
        i, j = min(means, key=lambda pair: means[pair])
        heights.append(float(means[i, j]))
        clusters[j] += clusters.pop(i)
    return heights


def test_tree_matches_average_linkage_by_loops() -> None:
    weight = bank(12)
    heights = average_linkage(cdist(weight, weight, "cosine"))
    np.testing.assert_allclose(tree(weight).linkage[:, 2], heights, atol=1e-9)


def test_leaves_of_a_planted_group_stand_together() -> None:
    weight, _ = groups()
    mixed = np.random.default_rng(4).permutation(20)
    sides = (mixed < 10)[tree(weight[mixed]).order]
    assert np.count_nonzero(np.diff(sides)) == 1


def test_a_map_keeps_planted_groups_apart_and_is_the_same_again() -> None:
    weight, _ = groups(each=20)
    found = layout(weight)
    assert found.reason == ""
    assert "perplexity 13" in found.note
    distance = cdist(found.position, found.position)
    np.fill_diagonal(distance, np.inf)
    assert ((distance.argmin(axis=1) < 20) == (np.arange(40) < 20)).all()
    np.testing.assert_array_equal(found.position, layout(weight).position)


def test_the_smallest_map_has_four_concepts() -> None:
    assert np.isfinite(layout(bank(4)).position).all()
    assert "perplexity 1," in layout(bank(4)).note


def test_concepts_without_two_dimensions_give_no_map_but_a_reason() -> None:
    assert "one filter" in layout(bank(9, 1)).reason
    assert "same direction" in layout(np.outer(np.arange(1.0, 8), [1.0, 2, 3])).reason
    assert np.isfinite(layout(np.hstack([bank(9, 2), np.zeros((9, 3))])).position).all()


def test_a_map_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tsne'"):
        layout(bank(), "t-sne")


def test_umap_that_is_not_installed_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    found = layout(bank(), "umap")
    assert "pip install 'net2vec_pl[map]'" in found.reason
    assert np.isnan(found.position).all()


@pytest.mark.parametrize(("concepts", "neighbours"), [(5, 4), (40, 15)])
def test_umap_is_asked_for_no_more_neighbours_than_there_are(
    monkeypatch: pytest.MonkeyPatch, concepts: int, neighbours: int
) -> None:
    given: dict[str, object] = {}

    class Fake:
        def __init__(self, **options: object) -> None:
            given.update(options)

        def fit_transform(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, :2].astype(np.float32)

    module = ModuleType("umap")
    module.UMAP = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    found = layout(bank(concepts), "umap", seed=3)
    assert found.position.shape == (concepts, 2)
    assert found.reason == ""
    assert given["n_neighbors"] == neighbours
    assert given["random_state"] == 3


@pytest.mark.slow  # numba compiles UMAP first
def test_umap_where_it_is_installed_keeps_planted_groups_apart() -> None:
    pytest.importorskip("umap", reason="needs umap-learn: pip install 'net2vec_pl[map]'")
    position = layout(groups(each=20)[0], "umap").position
    distance = cdist(position, position)
    np.fill_diagonal(distance, np.inf)
    assert ((distance.argmin(axis=1) < 20) == (np.arange(40) < 20)).all()


def test_members_that_cancel_have_no_centre_to_be_close_to() -> None:
    found: Clusters = k_means(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), 1)
    assert found.number == 1
    assert np.isnan(found.closeness).all()


def test_chance_is_the_mean_over_permuted_categories() -> None:
    label, kinds = np.array([0, 0, 0, 1, 1, 2]), ["a", "a", "b", "b", "b", "c"]
    rng, codes = np.random.default_rng(5), np.array([0, 0, 1, 1, 1, 2])
    drawn = [adjusted_mutual_info_score(rng.permutation(codes), label) for _ in range(30)]
    found = agreement(label, kinds, permutations=30, seed=5)
    value = adjusted_mutual_info_score(codes, label)
    assert found.score == pytest.approx(value)
    assert found.chance == pytest.approx(np.mean(drawn))
    assert found.p == pytest.approx((1 + sum(d >= value - 1e-9 for d in drawn)) / 31)


def test_leaves_beside_each_other_are_as_alike_as_the_tree_allows() -> None:
    weight = np.random.default_rng(1).normal(size=(9, 4))
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    found = tree(weight)

    def orders(node: int) -> list[list[int]]:
        """All orders of the leaves below a node: either branch may come first."""
        if node < 9:
            return [[node]]
        one, other = (orders(int(child)) for child in found.linkage[node - 9, :2])
        return [x + y for a in one for b in other for x, y in ((a, b), (b, a))]

    def length(order: list[int]) -> float:
        return float(distance[order[:-1], order[1:]].sum())

    assert length(found.order.tolist()) == pytest.approx(min(map(length, orders(16))))


def test_a_map_looks_at_cosines() -> None:
    weight = np.random.default_rng(2).normal(size=(7, 3))
    units = unit_rows(weight).rows
    maker = TSNE(perplexity=2, init="pca", metric="cosine", random_state=4)
    np.testing.assert_allclose(layout(weight, seed=4).position, maker.fit_transform(units))
