"""What embeddings mean: neighbours, sums, clusters, maps, categories and comparisons of a run.

All is worked out once more from the embeddings in the bank files, by loops over concepts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Annotation
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score
from support.classified import gain_finding
from support.kept_figures import kept_figure
from support.relearned import Layer, Pooled
from support.rows import assert_rows

from net2vec_pl.analysis.space import unit_rows
from proofs.conftest import KINDS, WORDS, PlantedRun

Array = npt.NDArray[np.float64]
QUESTION = "Do embeddings say more than single filters?"
# Of every run: its seed, and how many neighbours were asked for.
RUNS = {"run": (0, 5), "looked": (3, 2), "classified": (0, 5)}
TARGETS = [
    ("run", ""),
    ("run", "_classification"),
    ("looked", ""),
    ("looked", "_classification"),
    ("classified", "_classification"),
]
KEPT = TARGETS[2:]
BY = {"": " that segment", "_classification": " that classify"}
BLUE, GREY = "#0072b2", "#888888"


@dataclass(frozen=True)
class Space:
    """Embeddings of a run.

    Args:
        run: The run.
        suffix: Of the tables of these embeddings.
        seed: Of the run.
        k: Neighbours asked for.
        names: Concepts.
        categories: Category of each.
        weight: Embeddings.
    """

    run: PlantedRun
    suffix: str
    seed: int
    k: int
    names: list[str]
    categories: list[str]
    weight: Array

    @property
    def kinds(self) -> list[str]:
        """The categories, in order of appearance."""
        return list(dict.fromkeys(self.categories))


def space_of(request: pytest.FixtureRequest, name: str, suffix: str) -> Space:
    run: PlantedRun = request.getfixturevalue(name)
    bank = run.classifiers if suffix else run.bank
    kinds = [concept.category for concept in bank.vocabulary]
    weight = bank.weight.double().numpy()
    return Space(run, suffix, *RUNS[name], bank.vocabulary.names, kinds, weight)


@pytest.fixture(params=TARGETS, ids="".join)
def space(request: pytest.FixtureRequest) -> Space:
    return space_of(request, *request.param)


@pytest.fixture(params=KEPT, ids="".join)
def kept(request: pytest.FixtureRequest) -> Space:
    return space_of(request, *request.param)


def unit(weight: Array) -> Array:
    rows: Array = weight / np.sqrt((weight**2).sum(1))[:, None]
    return rows


def cosine(weight: Array) -> Array:
    return np.round(unit(weight) @ unit(weight).T, 12)


def near(square: Array, k: int) -> list[list[int]]:
    """The k others of highest cosine; of equals the first."""
    return [
        sorted((d for d in range(len(square)) if d != c), key=lambda d: (-row[d], d))[:k]
        for c, row in enumerate(square)
    ]


def chances(square: Array, k: int) -> Array:
    """How likely one is among the k nearest of another, if those as near as the last draw lots."""
    chance = np.zeros_like(square)
    for c, row in enumerate(square):
        others = [d for d in range(len(square)) if d != c]
        for d in others:
            nearer, tied = (
                sum(way)
                for way in zip(*((row[e] > row[d], row[e] == row[d]) for e in others), strict=True)
            )
            chance[c, d] = min(max(k - nearer, 0) / tied, 1)
    return chance


def looked_at(k: int, concepts: int) -> int:
    """A test looks at a third of the other concepts at most."""
    return max(1, min(k, (concepts - 1) // 3))


def orders(n: int, times: int, seed: int) -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(n) for _ in range(times)]


def share_above(value: float, drawn: Sequence[float]) -> float:
    return (1 + sum(d >= value - 1e-9 for d in drawn)) / (1 + len(drawn))


def told(p: float, draws: int) -> str:
    return f"p <= {p:.2g}" if p * (1 + draws) < 1.5 else f"p = {p:.2g}"


# -------------------- neighbours and sums


def test_every_concept_names_its_nearest_in_order(space: Space) -> None:
    square = cosine(space.weight)
    expected = [
        {
            "concept": space.names[c],
            "category": space.categories[c],
            "rank": rank,
            "neighbour": space.names[other],
            "cosine": float(square[c, other]),
            "status": "ok",
        }
        for c, found in enumerate(near(square, space.k))
        for rank, other in enumerate(found, 1)
    ]
    assert_rows(space.run.table(f"analysis/nearest{space.suffix}"), expected)


def answers(space: Space, expression: str, terms: dict[str, int]) -> list[dict[str, Any]]:
    """Rank all but the terms by their product with the mean of the signed unit vectors."""
    rows = dict(zip(space.names, unit(space.weight), strict=True))
    mean = np.sum([sign * rows[term] for term, sign in terms.items()], axis=0) / len(terms)
    score = {name: float(row @ mean) for name, row in rows.items() if name not in terms}
    best = sorted(score, key=lambda name: -score[name])[: space.k]
    return [
        {
            "expression": expression,
            "rank": rank,
            "answer": name,
            "score": score[name],
            "cosine": score[name] / float(np.linalg.norm(mean)),
            "status": "ok",
        }
        for rank, name in enumerate(best, 1)
    ]


def no_answer(expression: str, status: str) -> dict[str, Any]:
    nothing = {"score": np.nan, "cosine": np.nan}
    return {"expression": expression, "rank": 0, "answer": "", **nothing, "status": status}


def test_sums_are_answered_and_those_without_an_answer_say_why(space: Space) -> None:
    table = f"analysis/arithmetic{space.suffix}"
    if space.k == 5:  # nothing was asked
        assert not (space.run.folder / f"{table}.csv").exists()
        return
    known = ", ".join(space.names)
    expected = [
        *answers(space, "cup + dog - fin", {"cup": 1, "dog": 1, "fin": -1}),
        *answers(space, "red-c", {"red-c": 1}),
        no_answer("dog - dog", "the terms cancel: nothing is left to compare with"),
        no_answer(
            "ball + nobody",
            f"unknown concept 'nobody'. Known: {known}. Terms are joined by ' + ' and ' - ', "
            "with the spaces; a name with such a sign in it stands in quotes.",
        ),
    ]
    assert_rows(space.run.table(table), expected)


# -------------------- clusters, map and tree


def clusters(space: Space) -> tuple[npt.NDArray[np.int64], Array]:
    """As many as the root of the number of concepts, the largest first, and how near each is."""
    rows = unit(space.weight)
    number = round(len(rows) ** 0.5)
    made = KMeans(number, n_init=10, random_state=space.seed).fit(rows).labels_.tolist()
    by_size = sorted(set(made), key=lambda label: (-made.count(label), made.index(label)))
    label = np.array([by_size.index(old) for old in made])
    centre = unit(np.array([rows[label == of].mean(0) for of in range(number)]))
    return label, np.array([row @ centre[of] for row, of in zip(rows, label, strict=True)])


@cache
def tsne(weight: bytes, concepts: int, seed: int) -> Array:
    rows = unit_rows(np.frombuffer(weight).reshape(concepts, -1)).rows  # to the last bit
    maker = TSNE(perplexity=(concepts - 1) / 3, init="pca", metric="cosine", random_state=seed)
    return np.asarray(maker.fit_transform(rows), dtype=np.float64)


def place(space: Space) -> Array:
    return tsne(space.weight.tobytes(), len(space.names), space.seed)


def test_clusters_and_places_are_those_of_the_embeddings(space: Space) -> None:
    label, closeness = clusters(space)
    at = place(space)
    expected = [
        {
            "concept": space.names[c],
            "category": space.categories[c],
            "cluster": int(label[c]),
            "closeness": float(closeness[c]),
            "tsne_x": float(at[c, 0]),
            "tsne_y": float(at[c, 1]),
            "status": "ok",
        }
        for c in range(len(space.names))
    ]
    found = space.run.table(f"analysis/clusters{space.suffix}")
    without_umap = [{k: v for k, v in row.items() if not k.startswith("umap")} for row in found]
    assert_rows(without_umap, expected, close=1e-4)


def agreement(space: Space) -> tuple[float, float, float]:
    """Mutual information of clusters and categories, by chance, and how often chance does as well.

    One in fifty of the permutations asked for.
    """
    label = clusters(space)[0]
    codes = np.array([sorted(space.kinds).index(kind) for kind in space.categories])
    value = float(adjusted_mutual_info_score(codes, label))
    drawn = [
        float(adjusted_mutual_info_score(codes[order], label))
        for order in orders(len(codes), 2000 // 50, space.seed)
    ]
    return value, float(np.mean(drawn)), share_above(value, drawn)


def test_the_map_shows_every_concept_in_its_place_and_colour(kept: Space) -> None:
    (axes,) = kept_figure(kept.run.folder, f"map_tsne{kept.suffix}").axes
    at = place(kept)
    colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"]
    assert len(axes.collections) == len(kept.kinds)
    for points, kind, colour in zip(axes.collections, kept.kinds, colours, strict=False):
        mine = [c for c, category in enumerate(kept.categories) if category == kind]
        np.testing.assert_allclose(np.asarray(points.get_offsets()), at[mine], rtol=1e-4)
        assert list(map(to_hex, np.atleast_2d(points.get_facecolor()))) == [colour]
        assert points.get_label() == f"{kind} ({len(mine)})"
    named = [note for note in axes.get_children() if isinstance(note, Annotation)]
    where = {note.get_text(): note.xy for note in named}
    for name, xy in where.items():
        np.testing.assert_allclose(xy, at[kept.names.index(name)], rtol=1e-4)
    n = len(kept.names)
    title = f"{n} concepts: t-SNE, cosine distance, perplexity {(n - 1) / 3:.3g}, seed {kept.seed}"
    some = f"\nnames of {len(where)} of them, where there is room" if len(where) < n else ""
    assert axes.get_title() == title + some


def merged(space: Space) -> Array:
    distance = 1 - cosine(space.weight)
    np.fill_diagonal(distance, 0)
    return np.asarray(linkage(squareform(distance), "average", optimal_ordering=True))


def texts(labels: Sequence[Any]) -> list[str]:
    return [label.get_text() for label in labels]


def test_similarities_stand_in_the_order_of_the_tree(kept: Space) -> None:
    order = leaves_list(merged(kept))
    names = [kept.names[c] for c in order]
    axes = kept_figure(kept.run.folder, f"similarity{kept.suffix}").axes[0]
    drawn = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(drawn, cosine(kept.weight)[order][:, order], atol=1e-9)
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == names
    assert axes.get_title() == f"Cosines of {len(names)} concepts"


def test_the_tree_merges_concepts_where_they_are_alike(kept: Space) -> None:
    merges = merged(kept)
    (axes,) = kept_figure(kept.run.folder, f"tree{kept.suffix}").axes
    assert texts(axes.get_yticklabels()) == [kept.names[c] for c in leaves_list(merges)]
    heights = [segment[1][0] for c in axes.collections for segment in c.get_segments()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(sorted(heights), sorted(merges[:, 2]))
    assert axes.get_title() == f"Average linkage of {len(kept.names)} concepts"


# -------------------- categories


@dataclass(frozen=True)
class Categories:
    """Which categories are near which.

    Args:
        count: Concepts of each.
        share: Share of the nearest concepts, row by row.
        chance: What share they have of the others.
        diagonal: Mean share of a concept's own category, over categories.
        p: How often it is as large if categories are dealt at random.
    """

    count: list[int]
    share: Array
    chance: Array
    diagonal: float
    p: float


def categories(space: Space) -> Categories:
    k = looked_at(space.k, len(space.names))
    found = chances(cosine(space.weight), k) / k

    def shares(kinds: Sequence[str]) -> Array:
        rows = [
            [
                np.mean(
                    [
                        sum(found[c, d] for d in range(len(kinds)) if kinds[d] == b)
                        for c in range(len(kinds))
                        if kinds[c] == a
                    ]
                )
                for b in space.kinds
            ]
            for a in space.kinds
        ]
        return np.array(rows)

    count = [space.categories.count(kind) for kind in space.kinds]
    others = len(space.names) - 1
    chance = [[(n - (a == b)) / others for b, n in enumerate(count)] for a in range(len(count))]
    # One in ten of the permutations asked for.
    dealt = [
        float(np.diag(shares([space.categories[c] for c in order])).mean())
        for order in orders(len(space.names), 2000 // 10, space.seed)
    ]
    share = shares(space.categories)
    diagonal = float(np.diag(share).mean())
    return Categories(count, share, np.array(chance), diagonal, share_above(diagonal, dealt))


def test_the_matrix_of_categories_counts_neighbours(space: Space) -> None:
    found = categories(space)
    expected = [
        {"category": kind, "n": found.count[i]}
        | {other: float(found.share[i, j]) for j, other in enumerate(space.kinds)}
        | {f"chance_{other}": float(found.chance[i, j]) for j, other in enumerate(space.kinds)}
        for i, kind in enumerate(space.kinds)
    ]
    assert_rows(space.run.table(f"analysis/category_matrix{space.suffix}"), expected)


def test_the_matrix_of_categories_is_drawn_as_it_stands(kept: Space) -> None:
    found = categories(kept)
    axes = kept_figure(kept.run.folder, f"category_matrix{kept.suffix}").axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), found.share, atol=1e-9)
    numbers = {
        text.get_position(): text.get_text() for text in axes.texts if "\n" in text.get_text()
    }
    assert numbers == {
        (j, i): f"{found.share[i, j]:.2f}\n({found.chance[i, j]:.2f})"
        for i, j in np.ndindex(found.share.shape)
    }
    assert texts(axes.get_xticklabels()) == kept.kinds
    counted = [f"{kind} ({n})" for kind, n in zip(kept.kinds, found.count, strict=True)]
    assert texts(axes.get_yticklabels()) == counted
    assert (
        axes.get_title()
        == f"The {looked_at(kept.k, len(kept.names))} nearest concepts; in brackets, chance"
    )


# -------------------- comparisons


@dataclass(frozen=True)
class Compared:
    """A row of ``comparisons.csv``: value, chance and p of each measure, or why there is none."""

    bank: str
    other: str
    n: int
    left_out: int
    measures: dict[str, tuple[float, float, float]]
    status: str = "ok"

    @property
    def row(self) -> dict[str, Any]:
        cells: dict[str, Any] = {"bank": self.bank, "other": self.other, "n": self.n}
        cells["left_out"] = self.left_out
        cells["permutations"] = 200 if self.measures else 0
        for name in MEASURES:
            value, chance, p = self.measures.get(name, (np.nan,) * 3)
            cells |= {name: value, f"{name}_chance": chance, f"{name}_p": p}
        per_pair = cells["distance"] / self.n**2 if self.n else np.nan
        return cells | {"distance_per_pair": per_pair, "status": self.status}

    @property
    def finding(self) -> dict[str, Any]:
        value, _, p = self.measures["correlation"]
        what = "best single filters" if self.bank == "best filter" else f"{self.bank} embeddings"
        return {
            "question": QUESTION,
            "measure": f"{self.bank} - {self.other}: Spearman",
            "value": value,
            "low": np.nan,
            "high": np.nan,
            "n": self.n,
            "statement": f"Similarities of {what} and of {self.other} correlate by {value:.2f} "
            f"(Spearman over pairs of {self.n} concepts, {told(p, 200)}).",
        }


def kernel_alignment(a: Array, b: Array) -> float:
    middle = np.eye(len(a)) - 1 / len(a)
    a, b = middle @ a @ middle, middle @ b @ middle
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def compare(a: Array, b: Array, k: int, seed: int) -> dict[str, tuple[float, float, float]]:
    upper = np.triu_indices(len(a), 1)

    def overlap(b: Array) -> float:
        return float((chances(a, k) * chances(b, k)).sum(1).mean() / k)

    ways: dict[str, Callable[[Array], float]] = {
        "distance": lambda b: float(((a - b) ** 2).sum()),
        "correlation": lambda b: float(spearmanr(a[upper], b[upper])[0]),
        "cka": lambda b: kernel_alignment(a, b),
        "overlap": overlap,
    }
    drawn = orders(len(a), 2000 // 10, seed)
    measures = {}
    for name, way in ways.items():
        value, permuted = way(b), [way(b[order][:, order]) for order in drawn]
        sign = -1 if name == "distance" else 1  # near, not far
        p = share_above(sign * value, [sign * d for d in permuted])
        measures[name] = (value, float(np.mean(permuted)), p)
    return measures


MEASURES = ("distance", "correlation", "cka", "overlap")
WORD = {"red-c": "red", "grey-c": "gray"}


def with_kinds(name: str) -> set[str]:
    """What a thing is, and all that this is."""
    return {name}.union(*(with_kinds(kind) for kind in KINDS[name]))


def references(space: Space, words: Sequence[str]) -> dict[str, dict[str, Array]]:
    """Vectors of concepts by source: a one for its category, its kinds in WordNet, word vectors."""
    kinds = ["object", "part", "color", "scene"]
    everything = dict(zip(space.names, space.categories, strict=True)) | {"park-s": "scene"}
    of_category = {n: np.array([k == of for k in kinds], float) for n, of in everything.items()}
    plain = {name: WORD.get(name, name) for name in everything}
    of_kinds = {
        name: np.array([kind in with_kinds(word) for kind in KINDS], float)
        for name, word in plain.items()
        if word in KINDS
    }
    of_words = {n: np.array(WORDS[w]) for n, w in plain.items() if w in words}
    return {"categories": of_category, "WordNet": of_kinds, "word vectors": of_words}


def beside(
    name: str, bank: dict[str, Array], other: str, vectors: dict[str, Array], space: Space
) -> Compared:
    both = [concept for concept in bank if concept in vectors]
    there = [concept for concept in both if bank[concept].any()]
    if len(there) < 3:
        few = f"{len(there)} concepts have a direction in both embeddings, 3 are needed"
        return Compared(name, other, len(there), len(both) - len(there), {}, few)
    squares = [cosine(np.array([of[c] for c in there])) for of in (bank, vectors)]
    measures = compare(squares[0], squares[1], looked_at(space.k, len(there)), space.seed)
    return Compared(name, other, len(there), len(both) - len(there), measures)


def comparisons(request: pytest.FixtureRequest, name: str) -> list[Compared]:
    """All rows of ``comparisons.csv``, but for those of sources that could not be read."""
    spaces = {
        target: space_of(request, name, suffix)
        for target, suffix in (("segmentation", ""), ("classification", "_classification"))
        if (name, suffix) in TARGETS
    }
    last = spaces["classification"]
    banks = {
        target: dict(zip(space.names, space.weight, strict=True))
        for target, space in spaces.items()
    }
    sources = references(last, {"looked": list(WORDS), "classified": ["ball", "cup"]}.get(name, []))
    given = {"run": ["categories"], "looked": ["categories", "word vectors"]}.get(
        name, list(sources)
    )
    rows = [
        beside(target, bank, source, sources[source], last)
        for target, bank in banks.items()
        for source in given
    ]
    if "segmentation" in banks:
        rows.append(
            beside(
                "segmentation",
                banks["segmentation"],
                "classification",
                banks["classification"],
                last,
            )
        )
        best = {
            concept: np.eye(16)[int(row["best_filter"])] if row["status"] == "ok" else np.zeros(16)
            for concept, row in spaces["segmentation"].run.concepts().items()
            if concept in banks["segmentation"]
        }
        rows += [beside("best filter", best, source, sources[source], last) for source in given]
    return rows


NOWHERE = (
    "no WordNet in nowhere: index.noun, index.verb, index.adj, index.adv and 8 more not found. "
    "Give the folder of Princeton's dict files: nltk's corpora/wordnet, unpacked, or "
    "/usr/share/wordnet of Debian's package wordnet-base."
)


@pytest.mark.parametrize("name", RUNS)
def test_banks_are_compared_with_each_other_and_with_what_is_known(
    request: pytest.FixtureRequest, name: str
) -> None:
    expected = [row.row for row in comparisons(request, name)]
    if name == "looked":
        numbers = dict.fromkeys(expected[0], np.nan)
        names = {"bank": "", "other": "WordNet", "n": 0, "permutations": 0, "status": NOWHERE}
        expected.append(numbers | names)
    run: PlantedRun = request.getfixturevalue(name)
    assert_rows(run.table("analysis/comparisons"), expected)


def panel(axes: Axes) -> tuple[list[float], list[float], list[str]]:
    """Bars, lines of chance and numbers, from top to bottom."""
    low, high = axes.get_ylim()
    rows = sorted(axes.patches, key=lambda bar: bar.get_y() * (1 if high < low else -1))  # type: ignore[attr-defined]
    lines = axes.collections[0].get_segments()  # type: ignore[attr-defined]
    notes = [note for note in axes.texts if isinstance(note, Annotation)]
    assert all(note.xy[1] == row for row, note in enumerate(notes))
    return [bar.get_width() for bar in rows], [line[0][0] for line in lines], texts(notes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["looked", "classified"])
def test_comparisons_are_drawn_beside_chance(request: pytest.FixtureRequest, name: str) -> None:
    shown = [row for row in comparisons(request, name) if row.status == "ok"]
    run: PlantedRun = request.getfixturevalue(name)
    panels = kept_figure(run.folder, "comparisons").axes
    assert [axes.get_title() for axes in panels] == [
        "Spearman correlation of cosines",
        "linear CKA",
        "shared nearest neighbours",
    ]
    assert texts(panels[0].get_yticklabels()) == [f"{row.bank} - {row.other}" for row in shown]
    for axes, measure in zip(panels, MEASURES[1:], strict=True):
        bars, lines, numbers = panel(axes)
        value, chance, p = zip(*(row.measures[measure] for row in shown), strict=True)
        assert bars == pytest.approx(value)
        assert lines == pytest.approx(chance)
        said = [f"{v:.3f}  ({told(q, 200)})" for v, q in zip(value, p, strict=True)]
        assert numbers == said
        assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {BLUE}
        assert set(map(to_hex, np.atleast_2d(axes.collections[0].get_edgecolor()))) == {GREY}


# -------------------- findings


def about_space(space: Space) -> list[dict[str, Any]]:
    value, chance, p = agreement(space)
    found = categories(space)
    by_chance = float(np.diag(found.chance).mean())
    k = looked_at(space.k, len(space.names))
    nothing = {"low": np.nan, "high": np.nan, "n": len(space.names)}
    return [
        {
            "question": QUESTION,
            "measure": f"clusters against categories{space.suffix}",
            "value": value,
            **nothing,
            "statement": f"{round(len(space.names) ** 0.5)} k-means clusters of embeddings"
            f"{BY[space.suffix]} follow the dataset's categories with an adjusted mutual "
            f"information of {value:.2f} (chance {chance:.2f}, {told(p, 40)}).",
        },
        {
            "question": QUESTION,
            "measure": f"nearest concepts of the same category{space.suffix}",
            "value": found.diagonal,
            **nothing,
            "statement": f"Of the {k} nearest embeddings{BY[space.suffix]}, "
            f"{found.diagonal:.0%} are of the concept's own category in the mean over categories "
            f"(chance {by_chance:.0%}, {told(found.p, 200)}).",
        },
    ]


@pytest.mark.parametrize("name", RUNS)
def test_findings_say_what_was_found_about_the_space(
    request: pytest.FixtureRequest, name: str
) -> None:
    suffixes = [suffix for run, suffix in TARGETS if run == name]
    spaces = [space_of(request, name, suffix) for suffix in suffixes]
    expected = [finding for space in spaces for finding in about_space(space)]
    expected.append(gain_finding(Pooled(Layer(spaces[0].run.drawn)), spaces[0].seed))
    expected += [row.finding for row in comparisons(request, name) if row.status == "ok"]
    run = spaces[0].run
    found = [row for row in run.table("findings") if row["question"] == QUESTION]
    assert_rows(found, expected)
    page = (run.folder / "findings.md").read_text()
    section = page.partition(f"## {QUESTION}\n\n")[2].partition("\n\n")[0].splitlines()
    assert section == [f"* {finding['statement']}" for finding in expected]
