"""What do embeddings mean? Neighbours, sums, clusters, a map, and outside knowledge."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from net2vec_pl.analysis import clusters
from net2vec_pl.analysis.chance import p_text
from net2vec_pl.analysis.clusters import Clusters, Layout
from net2vec_pl.analysis.comparison import Score, common, compare
from net2vec_pl.analysis.neighbourhood import (
    FEWEST,
    CategoryMatrix,
    among_nearest,
    category_matrix,
)
from net2vec_pl.analysis.references import Reference
from net2vec_pl.analysis.space import Neighbours, analogy, cosines, nearest, unit_rows
from net2vec_pl.analysis.word_vectors import word_vectors
from net2vec_pl.analysis.wordnet import wordnet_vectors
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import Net2VecError
from net2vec_pl.figures import space as figures
from net2vec_pl.pipeline.worth import patterns
from net2vec_pl.records.studies import (
    ClusterRow,
    ComparisonRow,
    MatrixRow,
    Measured,
    NeighbourRow,
    Place,
    SumRow,
)
from net2vec_pl.studies.classifiers import told_of_classifiers
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study

_log = logging.getLogger(__name__)
QUESTION = "Do embeddings say more than single filters?"
_EXAMPLES = 3
_NO = Measured(np.nan, np.nan, np.nan)
_SCORES = {
    "correlation": "Spearman correlation of cosines",
    "cka": "linear CKA",
    "overlap": "shared nearest neighbours",
}


@dataclass(frozen=True)
class NamedBank:
    """The embeddings of one bank.

    Args:
        names: Concepts.
        categories: Category of each.
        weight: Embeddings; NaN where a concept has none.
        suffix: Suffix of the names of its tables and figures.
    """

    names: list[str]
    categories: list[str]
    weight: Float64[np.ndarray, "C K"]
    suffix: str


@dataclass(frozen=True)
class Space(Question):
    """Leaves tables and figures of the space of embeddings, of every bank there is.

    Args:
        neighbours: Nearest concepts to name; tests look at a third of all at most.
        arithmetic: Sums of concepts such as ``grass + blue``; None for none.
        wordnet: A folder with WordNet's dict files.
        words: A file of word vectors.
        permutations: Permutations of tests; slow tests make a tenth or a fiftieth of them.
    """

    name: ClassVar[str] = "space"
    neighbours: int = at_least(1, 5)
    arithmetic: tuple[str, ...] | None = None
    wordnet: str | None = None
    words: str | None = None
    permutations: int = at_least(1, 10_000)

    def run(self, study: Study) -> None:
        """Look at the space of embeddings from all sides."""
        banks: dict[str, NamedBank] = {}
        if study.segmentation is not None:
            weight = study.segmented.weight.double().numpy()
            banks["segmentation"] = _named(study.job.vocabulary, weight, "")
            pattern = patterns(study.job, study.segmented.weight.double())
            if pattern is not None:
                banks["patterns"] = _named(study.job.vocabulary, pattern.numpy(), "_patterns")
        if study.classification is not None:
            weight = study.classified.bank.weight[0].double().numpy()
            vocabulary = study.classified.images.vocabulary
            banks["classification"] = _named(vocabulary, weight, "_classification")
        for target, bank in banks.items():
            _neighbours(study, bank, self.neighbours)
            _arithmetic(study, bank, self)
            _clusters(study, bank, self.permutations)
            _categories(study, bank, target, self)
        if "patterns" in banks:
            _tell_apart(study, banks["segmentation"], banks["patterns"])
        if study.classification is not None:
            told_of_classifiers(study, QUESTION)
        _compare(study, banks, self)


def _tell_apart(study: Study, filters: NamedBank, patterns: NamedBank) -> None:
    """Say for which concepts what finds them and what they look like have other neighbours."""
    units = [unit_rows(bank.weight) for bank in (filters, patterns)]
    both = np.flatnonzero(units[0].valid & units[1].valid)
    if len(both) < FEWEST:
        _log.info("embeddings and patterns: %d concepts have a direction in both", len(both))
        return
    squares = [cosines(unit_rows(bank.weight[both]).rows) for bank in (filters, patterns)]
    first, second = (among_nearest(square, 1) for square in squares)
    differ = np.flatnonzero((first * second).sum(axis=1) == 0)  # of those equally near, any will do
    named = [filters.names[c] for c in both]
    examples = [
        f"{named[c]} ({named[first[c].argmax()]}; {named[second[c].argmax()]})"
        for c in differ[:_EXAMPLES]
    ]
    study.find(
        QUESTION,
        "nearest concept differs between embeddings and patterns",
        len(differ) / len(both),
        len(both),
        f"Embeddings say which filters find a concept, patterns what filters do where it is: for "
        f"{len(differ)} of {len(both)} concepts the nearest concept is another one"
        + (f", as for {', '.join(examples)}." if examples else "."),
    )


def _named(vocabulary: Vocabulary, weight: Float64[np.ndarray, "C K"], suffix: str) -> NamedBank:
    return NamedBank(vocabulary.names, [c.category for c in vocabulary], weight, suffix)


def _neighbours(study: Study, bank: NamedBank, number: int) -> None:
    """Write the nearest concepts of each, and how alike all are."""
    found = nearest(bank.weight, number)
    if found.reason:
        _log.info("nearest concepts: %s", found.reason)
    rows = [
        NeighbourRow(
            concept=name,
            category=bank.categories[c],
            rank=rank + 1,
            neighbour=bank.names[other] if other >= 0 else "",
            cosine=float(found.cosine[c, rank]),
            status=found.left_out[c] or _tie(found, c, rank),
        )
        for c, name in enumerate(bank.names)
        for rank, other in enumerate(found.index[c])
    ]
    study.write(rows, f"nearest{bank.suffix}")


def _tie(found: Neighbours, concept: int, rank: int) -> str:
    """Say if a neighbour is one of several of which not all are named."""
    cosine, beyond = found.cosine[concept], int(found.beyond[concept])
    return f"{beyond} more as near" if beyond and cosine[rank] == cosine[-1] else "ok"


def _arithmetic(study: Study, bank: NamedBank, options: Space) -> None:
    """Answer the sums that were asked for."""
    rows: list[SumRow] = []
    for expression in options.arithmetic or ():
        try:
            found = analogy(expression, bank.names, bank.weight, options.neighbours)
        except Net2VecError as error:
            _log.warning("arithmetic %r: %s", expression, error)
            rows.append(_no_answer(expression, str(error)))
            continue
        rows += [
            SumRow(
                expression,
                rank + 1,
                answer=bank.names[c],
                score=float(found.score[rank]),
                cosine=float(found.cosine[rank]),
                status="ok",
            )
            for rank, c in enumerate(found.index)
        ]
        if not len(found.index):
            rows.append(_no_answer(expression, found.reason))
    study.write(rows, f"arithmetic{bank.suffix}")


def _no_answer(expression: str, reason: str) -> SumRow:
    return SumRow(expression, 0, "", np.nan, np.nan, reason)


def _clusters(study: Study, bank: NamedBank, permutations: int) -> None:
    """Write clusters and maps, and draw the maps, the tree and the matrix of cosines."""
    groups = clusters.k_means(bank.weight, seed=study.seed)
    maps = _maps(study, bank)
    study.maps[bank.suffix] = maps["tsne"]
    study.write(_cluster_rows(bank, groups, maps), f"clusters{bank.suffix}")
    _draw_cosines(study, bank)
    few = max(permutations // 50, 1)
    fit = clusters.agreement(groups.label, bank.categories, few, study.seed)
    if fit.reason:
        _log.info("clusters%s against categories: %s", bank.suffix, fit.reason)
        return
    study.find(
        QUESTION,
        f"clusters against categories{bank.suffix}",
        fit.score,
        fit.number,
        f"{groups.number} k-means clusters of embeddings{_by(bank)} follow the dataset's "
        f"categories with an adjusted mutual information of {fit.score:.2f} (chance "
        f"{fit.chance:.2f}, {p_text(fit.p, fit.permutations)}).",
    )


def _maps(study: Study, bank: NamedBank) -> dict[str, Layout]:
    """Make and draw maps: by t-SNE, and by UMAP where it is installed."""
    found = {}
    for name in ("tsne", *(("umap",) if find_spec("umap") else ())):
        layout = found[name] = clusters.layout(bank.weight, name, study.seed)
        if layout.reason:
            _log.info("no map by %s: %s", name, layout.reason)
        note = layout.note or layout.reason
        study.draw(
            f"map_{name}{bank.suffix}",
            figures.map_figure,
            layout.position,
            bank.names,
            bank.categories,
            note,
        )
    return found


def _cluster_rows(
    bank: NamedBank, groups: Clusters, maps: Mapping[str, Layout]
) -> list[ClusterRow]:
    reasons = dict.fromkeys([groups.reason, *(layout.reason for layout in maps.values())])
    status = "; ".join(filter(None, reasons)) or "ok"
    rows = []
    for c, name in enumerate(bank.names):
        places = {by: Place(*layout.position[c].tolist()) for by, layout in maps.items()}
        rows.append(
            ClusterRow(
                name,
                bank.categories[c],
                cluster=int(groups.label[c]),
                closeness=float(groups.closeness[c]),
                tsne=places["tsne"],
                umap=places.get("umap"),
                status=status,
            )
        )
    return rows


def _draw_cosines(study: Study, bank: NamedBank) -> None:
    """Draw how alike all embeddings are, as a tree and in the order of its leaves."""
    tree = clusters.tree(bank.weight)
    units = unit_rows(bank.weight)
    leaves = [bank.names[c] for c in units.index]
    place = {int(c): row for row, c in enumerate(units.index)}
    order = np.array([place[int(c)] for c in tree.order], dtype=np.int64)
    cosine = cosines(units.rows)
    study.draw(f"similarity{bank.suffix}", figures.similarity_figure, cosine, order, leaves)
    study.draw(f"tree{bank.suffix}", figures.dendrogram_figure, tree.linkage, leaves)


def _by(bank: NamedBank) -> str:
    """Say whose embeddings they are, after the word "embeddings"."""
    return {"": " that segment", "_patterns": " (patterns)"}.get(bank.suffix, " that classify")


def _categories(study: Study, bank: NamedBank, target: str, options: Space) -> None:
    """Write and draw which categories are near which."""
    permutations = max(options.permutations // 10, 1)
    k = options.neighbours
    found = category_matrix(bank.weight, bank.categories, k, permutations, study.seed)
    if found.reason:
        _log.info("no category matrix of %s: %s", target, found.reason)
        return
    study.write(_matrix_rows(found), f"category_matrix{bank.suffix}")
    study.draw(
        f"category_matrix{bank.suffix}",
        figures.category_figure,
        found.share,
        found.chance,
        found.categories,
        found.count,
        found.k,
    )
    number = "" if found.k == 1 else f"{found.k} "
    study.find(
        QUESTION,
        f"nearest concepts of the same category{bank.suffix}",
        found.diagonal,
        int(found.count.sum()),
        f"Of the {number}nearest embeddings{_by(bank)}, {found.diagonal:.0%} are of the "
        f"concept's own category in the mean over categories (chance {found.chance_diagonal:.0%}, "
        f"{p_text(found.p, found.permutations)}).",
    )


def _matrix_rows(found: CategoryMatrix) -> list[MatrixRow]:
    return [
        MatrixRow(
            category,
            int(found.count[i]),
            share=dict(zip(found.categories, found.share[i].tolist(), strict=True)),
            chance=dict(zip(found.categories, found.chance[i].tolist(), strict=True)),
        )
        for i, category in enumerate(found.categories)
    ]


def _compare(study: Study, banks: dict[str, NamedBank], options: Space) -> None:
    """Compare banks with each other, with single filters, and with what words mean."""
    references = _references(study, options)
    others = [(name, given) for name, given in references if isinstance(given, Reference)]
    rows, drawn = [], []
    pairs = [(name, bank, other) for name, bank in banks.items() for other in others]
    for name in ("patterns", "classification"):
        if name in banks and "segmentation" in banks:
            whole = Reference(banks[name].names, banks[name].weight, [])
            pairs.append(("segmentation", banks["segmentation"], (name, whole)))
    if study.segmentation is not None:
        single = _best_filters(study, banks["segmentation"])
        pairs += [("best filter", single, other) for other in others]
    for name, bank, (other, reference) in pairs:
        row, scores = _comparison(study, options, name, bank, other, reference)
        rows.append(row)
        if np.isfinite(scores[0].value):
            drawn.append((f"{name} - {other}", scores))
    rows += [
        ComparisonRow("", name, 0, np.nan, 0, _NO, _NO, _NO, _NO, np.nan, given)
        for name, given in references
        if isinstance(given, str)
    ]
    study.write(rows, "comparisons")
    if drawn:
        value, chance = (
            np.array([[getattr(score, part) for score in scores] for _, scores in drawn])
            for part in ("value", "chance")
        )
        study.draw(
            "comparisons",
            figures.comparison_figure,
            value,
            chance,
            [[p_text(score.p, score.permutations) for score in scores] for _, scores in drawn],
            [pair for pair, _ in drawn],
            [*_SCORES.values()],
        )
    _tell(study, rows)


def _references(study: Study, options: Space) -> list[tuple[str, Reference | str]]:
    """Return what there is to compare with: categories, and the resources given, or their fault."""
    categories = [c.category for c in study.job.setup.reader.vocabulary]
    known = study.job.setup.reader.vocabulary.names
    kinds = list(dict.fromkeys(categories))
    table = np.array([[c == kind for kind in kinds] for c in categories], dtype=np.float64)
    found: list[tuple[str, Reference | str]] = [("categories", Reference(known, table, []))]
    sources: dict[str, tuple[str | None, Callable[[Sequence[str], Path], Reference]]] = {
        "WordNet": (options.wordnet, wordnet_vectors),
        "word vectors": (options.words, word_vectors),
    }
    for name, (path, read) in sources.items():
        if path is None:
            continue
        try:
            reference = read(known, Path(path))
        except Net2VecError as error:
            _log.warning("%s left out: %s", name, error)
            found.append((name, str(error)))
            continue
        _log.info("%s: %d of %d concepts", name, len(reference.names), len(known))
        found.append((name, reference))
    return found


def _best_filters(study: Study, bank: NamedBank) -> NamedBank:
    """Return the bank whose embeddings name the best single filter and nothing else."""
    best = study.segmented.baseline.best_filter().numpy()
    one = np.zeros_like(bank.weight)
    with_one = np.flatnonzero(best >= 0)
    one[with_one, best[with_one]] = 1
    return NamedBank(bank.names, bank.categories, one, bank.suffix)


def _comparison(
    study: Study, options: Space, name: str, bank: NamedBank, other: str, reference: Reference
) -> tuple[ComparisonRow, tuple[Score, ...]]:
    mine, theirs = common(bank.names, reference.names)
    found = compare(
        bank.weight[mine],
        reference.vectors[theirs],
        options.neighbours,
        max(options.permutations // 10, 1),
        study.seed,
    )
    scores = (found.correlation, found.cka, found.overlap)
    missing = "" if len(mine) else f"no concept has a vector in {other}"
    row = ComparisonRow(
        name,
        other,
        found.compared,
        found.excluded,
        found.distance.permutations,
        distance=_measured(found.distance),
        correlation=_measured(found.correlation),
        cka=_measured(found.cka),
        overlap=_measured(found.overlap),
        distance_per_pair=found.per_pair,
        status=missing or found.correlation.reason or "ok",
    )
    return row, scores


def _measured(score: Score) -> Measured:
    return Measured(score.value, score.chance, score.p)


def _tell(study: Study, rows: Sequence[ComparisonRow]) -> None:
    for row in rows:
        if row.status != "ok":
            _log.info("%s - %s: %s", row.bank, row.other, row.status)
            continue
        told = {"best filter": "best single filters", "patterns": "patterns"}
        what = told.get(row.bank, f"{row.bank} embeddings")
        study.find(
            QUESTION,
            f"{row.bank} - {row.other}: Spearman",
            row.correlation.value,
            row.n,
            f"Similarities of {what} and of {row.other} correlate by {row.correlation.value:.2f} "
            f"(Spearman over pairs of {row.n} concepts, "
            f"{p_text(row.correlation.p, row.permutations)}).",
        )
