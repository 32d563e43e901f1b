"""Groups and maps of concepts: k-means, a tree, two dimensions, and what categories say of them.

The paper lists clusters without saying how they were made; these are k-means on unit vectors with
a fixed seed. Concepts whose embedding has no direction take no part and are marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.space import cosines, unit_rows
from net2vec_pl.errors import ConfigError, unknown

_FEWEST = 4
_MOST_CLUSTERS = 50
_PERPLEXITY = 30.0
_UMAP_NEIGHBOURS = 15
_MAPS = ("tsne", "umap")


@dataclass(frozen=True)
class Clusters:
    """A cluster for every concept.

    Args:
        label: Cluster of each concept, 0 the largest; -1 for a concept that has none.
        closeness: Cosine of each with the centre of its cluster: who stands for it; else NaN.
        number: Clusters made, at most as many as there are different directions.
        reason: Why there are none; empty if there are.
    """

    label: Int64[np.ndarray, "C"]
    closeness: Float64[np.ndarray, "C"]
    number: int
    reason: str


def k_means(weight: Float[np.ndarray, "C K"], number: int | None = None, seed: int = 0) -> Clusters:
    """Cluster the directions of embeddings by k-means on unit vectors.

    Args:
        weight: A bank.
        number: Clusters to make; by default the root of the number of concepts, 2 to 50.
        seed: Seed of the 10 starts, of which the best is kept.

    Returns:
        No clusters, with a reason, where fewer than 4 concepts have a direction.

    Raises:
        ConfigError: If ``number`` is below 1.
    """
    if number is not None and number < 1:
        raise ConfigError(f"number={number}: at least 1 cluster must be asked for.")
    units = unit_rows(weight)
    label, closeness = np.full(len(weight), -1, dtype=np.int64), np.full(len(weight), np.nan)
    reason = _too_few(len(units.rows))
    if reason:
        return Clusters(label, closeness, 0, reason)
    asked = number or int(np.clip(round(len(units.rows) ** 0.5), 2, _MOST_CLUSTERS))
    different = len(np.unique(units.rows.round(9), axis=0))
    means = KMeans(min(asked, different), n_init=10, random_state=seed).fit(units.rows)
    found = _largest_first(means.labels_.astype(np.int64))
    label[units.index] = found
    for cluster in range(found.max() + 1):
        members = units.rows[found == cluster]
        centre = unit_rows(members.mean(axis=0, keepdims=True)).rows
        # Members that cancel leave no direction to be close to.
        closeness[label == cluster] = members @ centre[0] if len(centre) else np.nan
    return Clusters(label, closeness, int(found.max()) + 1, "")


def _too_few(concepts: int) -> str:
    needed = f"{concepts} concepts have a direction, {_FEWEST} are needed"
    return needed if concepts < _FEWEST else ""


def _largest_first(label: Int64[np.ndarray, "V"]) -> Int64[np.ndarray, "V"]:
    """Number clusters by size, equal ones by their first member."""
    clusters, first, inverse, count = np.unique(
        label, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(clusters), dtype=np.int64)
    rank[np.lexsort((first, -count))] = np.arange(len(clusters))
    return rank[inverse]


@dataclass(frozen=True)
class Agreement:
    """How far clusters follow categories.

    Args:
        score: Adjusted mutual information: 0 is chance, 1 is the same partition.
        chance: Its mean over permuted categories.
        p: Share of permutations with a score as high.
        permutations: How many were drawn.
        number: Concepts compared.
        reason: Why there is no score; empty if there is.
    """

    score: float
    chance: float
    p: float
    permutations: int
    number: int
    reason: str


def agreement(
    label: Int64[np.ndarray, "C"],
    categories: Sequence[str],
    permutations: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Compare clusters with categories by adjusted mutual information.

    Args:
        label: Cluster of each concept; negative ones are left out.
        categories: Category of each concept.
        permutations: Permutations of the categories to draw.
        seed: Seed of the draw.

    Returns:
        NaN with a reason where there are not 2 clusters and 2 categories to compare, or where no
        two concepts share one: every permutation would give the same.
    """
    if len(label) != len(categories):
        raise ValueError(f"{len(categories)} categories for {len(label)} clustered concepts")
    inside = label >= 0
    clusters, kinds = label[inside], np.unique(np.array(categories, dtype=str), return_inverse=True)
    codes = kinds[1][inside]
    groups = [len(np.unique(side)) for side in (clusters, codes)]
    if min(groups) < 2 or max(groups) == len(clusters):
        reason = "2 clusters and 2 categories are needed, and concepts that share one"
        return Agreement(np.nan, np.nan, np.nan, 0, len(clusters), reason)
    score = float(adjusted_mutual_info_score(codes, clusters))
    draw = np.random.default_rng(seed)
    permuted = np.array(
        [adjusted_mutual_info_score(draw.permutation(codes), clusters) for _ in range(permutations)]
    )
    p = p_value(score, permuted)
    chance = float(permuted.mean()) if permutations else np.nan
    return Agreement(score, chance, p, permutations, len(clusters), "")


@dataclass(frozen=True)
class Tree:
    """Concepts merged pair by pair.

    Args:
        linkage: SciPy's linkage over the V concepts that have a direction.
        index: Those concepts: leaf i of the linkage is concept ``index[i]``.
        order: The same concepts in the order of leaves, alike beside alike.
        reason: Why there is no tree; empty if there is.
    """

    linkage: Float64[np.ndarray, "merges 4"]
    index: Int64[np.ndarray, "V"]
    order: Int64[np.ndarray, "V"]
    reason: str


def tree(weight: Float[np.ndarray, "C K"]) -> Tree:
    """Merge concepts by average linkage of cosine distance, 1 - cosine in [0, 2].

    Leaves are turned so that neighbours are as alike as the tree allows.

    Args:
        weight: A bank.

    Returns:
        An empty linkage, with a reason, where fewer than 4 concepts have a direction; ``order``
        is then the order of the bank.
    """
    units = unit_rows(weight)
    reason = _too_few(len(units.rows))
    if reason:
        return Tree(np.zeros((0, 4)), units.index, units.index, reason)
    distance = 1 - cosines(units.rows)
    np.fill_diagonal(distance, 0.0)
    merges = linkage(squareform(distance), "average", optimal_ordering=True)
    return Tree(merges, units.index, units.index[leaves_list(merges)], "")


@dataclass(frozen=True)
class Layout:
    """Concepts in the plane.

    Args:
        position: NaN for a concept that has no direction, for all if there is no map.
        note: What made the map, for a caption.
        reason: Why there is no map; empty if there is.
    """

    position: Float64[np.ndarray, "C 2"]
    note: str
    reason: str


def layout(weight: Float[np.ndarray, "C K"], method: str = "tsne", seed: int = 0) -> Layout:
    """Lay out concepts in two dimensions, near where their directions are near.

    Distances between groups in such a map mean little.

    Args:
        weight: A bank.
        method: ``tsne`` (scikit-learn), or ``umap`` where umap-learn is installed.
        seed: Seed of the layout.

    Returns:
        No map, with a reason, where fewer than 4 concepts have a direction, all have the same,
        there is one filter alone, or UMAP is not installed.

    Raises:
        ConfigError: If the method is unknown.
    """
    if method not in _MAPS:
        raise ConfigError(unknown("map", method, _MAPS))
    units = unit_rows(weight)
    position = np.full((len(weight), 2), np.nan)
    reason = _too_few(len(units.rows)) or _too_flat(units.rows)
    if reason:
        return Layout(position, "", reason)
    if method == "tsne":
        found, note = _tsne(units.rows, seed)
    else:
        try:
            found, note = _umap(units.rows, seed)
        except ImportError as error:
            missing = f"umap-learn cannot be imported ({error}): pip install 'net2vec_pl[map]'"
            return Layout(position, "", missing)
    position[units.index] = found
    return Layout(position, note, "")


def _too_flat(rows: Float64[np.ndarray, "V K"]) -> str:
    if rows.shape[1] < 2:
        return "embeddings over one filter have no second dimension"
    return "all concepts have the same direction" if np.ptp(rows, axis=0).max() < 1e-9 else ""


def _tsne(rows: Float64[np.ndarray, "V K"], seed: int) -> tuple[Float64[np.ndarray, "V 2"], str]:
    # Three times the perplexity is the number of neighbours looked at: there must be as many.
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    maker = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed)
    note = f"t-SNE, cosine distance, perplexity {perplexity:.3g}, seed {seed}"
    return maker.fit_transform(rows).astype(np.float64), note


def _umap(rows: Float64[np.ndarray, "V K"], seed: int) -> tuple[Float64[np.ndarray, "V 2"], str]:
    from umap import UMAP  # an extra

    neighbours = min(_UMAP_NEIGHBOURS, len(rows) - 1)
    # The spectral start asks for more points than a handful; one job is what a seed allows.
    start = "spectral" if len(rows) > _UMAP_NEIGHBOURS else "random"
    maker = UMAP(n_neighbors=neighbours, metric="cosine", init=start, random_state=seed, n_jobs=1)
    note = f"UMAP, cosine distance, {neighbours} neighbours, seed {seed}"
    return np.asarray(maker.fit_transform(rows), dtype=np.float64), note
