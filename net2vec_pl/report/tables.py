"""The tables of a run: a row per concept, per filter, per seed, per layer."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.analysis.group_alone import GroupAlone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import Selection
from net2vec_pl.functional.classifier_scores import ClassificationScores
from net2vec_pl.probes import SingleClassifiers, SingleFilterBaseline
from net2vec_pl.probes.single_filter import NO_FILTER
from net2vec_pl.records import Estimate, Record, write_csv
from net2vec_pl.records.run import (
    ClassifiedRow,
    ClassifierScores,
    ConceptRow,
    FilterRow,
    LayerRow,
    NativeRow,
    ProbeRow,
    SeedRow,
)
from net2vec_pl.report.probes import KNOWN, Knowledge, nan_mean


@dataclass(frozen=True)
class BankScores:
    """The embeddings of one seed, and how well each segments its concept.

    Args:
        train: Set IoU on the train images that contain the concept.
        val: The same on val images.
        ap_val: Pixel average precision on the same val images.
        weight: The embeddings.
    """

    train: Float[Tensor, "C"]
    val: Float[Tensor, "C"]
    ap_val: Float[Tensor, "C"]
    weight: Float[Tensor, "C K"]

    @property
    def norm(self) -> Float[Tensor, "C"]:
        """Euclidean length of each embedding."""
        norm: Tensor = self.weight.norm(dim=1)
        return norm


@dataclass(frozen=True)
class LayerTables:
    """The tables of one layer; those that there are.

    Args:
        concepts: Every concept that was asked for, and how well it is segmented.
        filters: Every filter.
        seeds: Every concept and seed, where there are several seeds.
        probes: Every concept and whatever is scored beside the run's own probe.
        classification: Every concept that was asked for, and how well it is classified.
        native: Every concept and probe on masks of another size, where those are scored.
    """

    concepts: Sequence[ConceptRow] = ()
    filters: Sequence[FilterRow] = ()
    seeds: Sequence[SeedRow] = ()
    probes: Sequence[ProbeRow] = ()
    classification: Sequence[ClassifiedRow] = ()
    native: Sequence[NativeRow] = ()

    def write(self, folder: Path) -> None:
        """Write each into a file of its name."""
        for name, rows in vars(self).items():
            if rows:
                write_csv(rows, folder / f"{name}.csv")


def concept_table(
    selection: Selection,
    baseline: SingleFilterBaseline,
    scores: BankScores,
    knowledge: Sequence[Knowledge] = (),
) -> list[ConceptRow]:
    """Tabulate every concept that was asked for, also those that are not probed.

    Args:
        selection: The concepts asked for; the probed ones are the rows of the other two.
        baseline: Set IoU of all filters.
        scores: Scores of the bank.
        knowledge: Whether the layer knows each probed concept, where it was asked.

    Returns:
        Rows in the dataset's order; NaN where there is nothing to score, with the reason in
        ``status``.
    """
    best = baseline.best_filter().tolist()
    row_of = {name: row for row, name in enumerate(selection.vocabulary.names)}
    table = []
    for entry in selection.considered:
        row = row_of.get(entry.concept.name)
        filter_ = NO_FILTER if row is None else best[row]
        single = None if filter_ == NO_FILTER else (row, filter_)
        none = row is not None and single is None
        table.append(
            ConceptRow(
                id=entry.concept.number,
                name=entry.concept.name,
                category=entry.concept.category,
                n_train=entry.n_train,
                n_val=entry.n_val,
                alpha=entry.alpha,
                best_filter=nan if single is None else filter_,
                single_train=_at(baseline.train, single),
                single_val=_at(baseline.val, single),
                multi_train=_at(scores.train, row),
                multi_val=_at(scores.val, row),
                ap_val=_at(scores.ap_val, row),
                norm=_at(scores.norm, row),
                status="no filter overlaps it" if none else entry.status,
                **(_known(knowledge, row) if knowledge else {}),
            )
        )
    return table


def _known(knowledge: Sequence[Knowledge], row: int | None) -> dict[str, Any]:
    none = Knowledge("", nan, Estimate(nan), "")
    found = none if row is None else knowledge[row]
    return {
        "reference": found.reference,
        "reference_val": found.level,
        "over_reference": found.gain,
        "known": found.known,
    }


def _at(values: Float[Tensor, "*C"] | Float[np.ndarray, "C"], place: Any) -> float:
    return nan if place is None else float(values[place])


def filter_table(
    thresholds: Float[Tensor, "K"], baseline: SingleFilterBaseline, vocabulary: Vocabulary
) -> list[FilterRow]:
    """Tabulate every filter: threshold, the concept it segments best, how many concepts chose it.

    Args:
        thresholds: T_k.
        baseline: Set IoU of all filters on all concepts.
        vocabulary: The concepts by row.

    Returns:
        Rows by filter. A filter that overlaps no concept (a dead one, say) has no best concept, and
        NaN.
    """
    chosen = np.bincount(
        [k for k in baseline.best_filter().tolist() if k >= 0], minlength=len(thresholds)
    )
    return [
        FilterRow(
            filter=k,
            threshold=float(thresholds[k]),
            best_concept=vocabulary.names[c] if c >= 0 else "",
            single_train=float(baseline.train[c, k]) if c >= 0 else nan,
            single_val=float(baseline.val[c, k]) if c >= 0 else nan,
            n_concepts=int(chosen[k]),
        )
        for k, c in enumerate(baseline.best_concept().tolist())
    ]


def seed_table(
    vocabulary: Vocabulary, seeds: Sequence[int], scores: Sequence[BankScores]
) -> list[SeedRow]:
    """Tabulate every concept and seed: what another start would have given.

    Args:
        vocabulary: The concepts by row.
        seeds: The seed of each bank.
        scores: The scores of each.

    Returns:
        Rows by concept, then seed; ``cosine`` is that with the embedding of the first seed.
    """
    cosine = torch.nn.functional.cosine_similarity
    first = scores[0].weight
    return [
        SeedRow(
            id=concept.number,
            name=concept.name,
            category=concept.category,
            seed=seed,
            multi_train=float(of_seed.train[c]),
            multi_val=float(of_seed.val[c]),
            ap_val=float(of_seed.ap_val[c]),
            norm=float(of_seed.norm[c]),
            cosine=float(cosine(of_seed.weight[c], first[c], dim=0)),
        )
        for c, concept in enumerate(vocabulary)
        for seed, of_seed in zip(seeds, scores, strict=True)
    ]


def classification_table(
    selection: Selection,
    weight: Float[Tensor, "C K"],
    best: SingleClassifiers,
    top_filter: Int64[Tensor, "C"],
    scores: Sequence[ClassificationScores],
    group: GroupAlone | None = None,
) -> list[ClassifiedRow]:
    """Tabulate how well images are classified, by concept, all on val.

    Args:
        selection: The concepts asked for; the probed ones are the rows of the others.
        weight: The classifiers over all filters.
        best: The best filter of all, chosen on train.
        top_filter: The filter of largest weight.
        scores: Scores of the classifiers over all filters, of which the first of each is taken; of
            the filter of largest weight, trained anew; and of the best filter.
        group: Scores of what an image's group alone says, where images are of groups.

    Returns:
        Rows in the dataset's order; NaN where there is nothing to score, with the reason.
    """
    row_of = {name: row for row, name in enumerate(selection.vocabulary.names)}
    multi, top, single = scores
    table = []
    for entry in selection.considered:
        c = row_of.get(entry.concept.name)
        reason = entry.status if c is None else multi.reason[c] or multi.reason_annotated[c]
        scored = None if c is None or multi.reason[c] else c
        table.append(
            ClassifiedRow(
                id=entry.concept.number,
                name=entry.concept.name,
                category=entry.concept.category,
                n_train=entry.n_train,
                n_val=entry.n_val,
                n_val_without=nan if c is None else int(multi.n_without[c]),
                n_val_annotated=nan if c is None else int(multi.n_without_annotated[c]),
                top_filter=nan if c is None else int(top_filter[c]),
                best_filter=nan if c is None or best.filter[c] < 0 else int(best.filter[c]),
                multi=_scores(multi, c),
                top=_scores(top, c),
                best=_scores(single, c),
                norm=nan if c is None else float(weight[c].norm()),
                status=reason or entry.status,
                group_auc=None if group is None else _at(group.auc, scored),
                group_accuracy=None if group is None else _at(group.accuracy, scored),
            )
        )
    return table


def _scores(scores: ClassificationScores, row: int | None) -> ClassifierScores:
    names = (field.name for field in fields(ClassifierScores))
    return ClassifierScores(**{name: _at(getattr(scores, name)[0], row) for name in names})


def layer_row(layer: str, shape: tuple[int, int, int], tables: LayerTables) -> LayerRow:
    """Summarise a layer's tables in one row.

    Args:
        layer: Name of the layer.
        shape: (K, h, w).
        tables: Tables of the layer.
    """
    means = {
        **_means(tables.concepts, ("single_val", "multi_val", "ap_val")),
        **_means(tables.classification, ("best_accuracy", "top_accuracy", "accuracy", "ap", "auc")),
    }
    known = [row.known for row in tables.concepts if row.known]
    return LayerRow(layer, *shape, **means, known=known.count(KNOWN) if known else None)


def _means(table: Sequence[Record], columns: Sequence[str]) -> dict[str, Any]:
    rows = [record.cells() for record in table]
    return {name: nan_mean(float(row[name]) for row in rows) for name in columns} if rows else {}
