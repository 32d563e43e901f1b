"""The tables of a run: a row per concept, per filter, per seed, per layer."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import Selection
from net2vec_pl.functional.classifier_scores import ClassificationScores
from net2vec_pl.probes import SingleClassifiers, SingleFilterBaseline
from net2vec_pl.runs.files import whole

Row = dict[str, Any]


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


def concept_table(
    selection: Selection, baseline: SingleFilterBaseline, scores: BankScores
) -> list[Row]:
    """Tabulate every concept that was asked for, also those that are not probed.

    Args:
        selection: The concepts asked for; the probed ones are the rows of the other two.
        baseline: Set IoU of all filters.
        scores: Scores of the bank.

    Returns:
        Rows in the dataset's order; NaN where there is nothing to score, with the reason in
        ``status``.
    """
    best = baseline.best_filter().tolist()
    row_of = {name: row for row, name in enumerate(selection.vocabulary.names)}
    table = []
    for entry in selection.considered:
        row = row_of.get(entry.concept.name)
        filter_ = best[row] if row is not None else -1
        has_filter = row is not None and filter_ >= 0
        table.append(
            {
                "id": entry.concept.number,
                "name": entry.concept.name,
                "category": entry.concept.category,
                "n_train": entry.n_train,
                "n_val": entry.n_val,
                "alpha": entry.alpha,
                "best_filter": filter_ if has_filter else np.nan,
                "single_train": float(baseline.train[row, filter_]) if has_filter else np.nan,
                "single_val": float(baseline.val[row, filter_]) if has_filter else np.nan,
                "multi_train": _at(scores.train, row),
                "multi_val": _at(scores.val, row),
                "ap_val": _at(scores.ap_val, row),
                "norm": _at(scores.norm, row),
                "status": "no filter overlaps it"
                if row is not None and not has_filter
                else entry.status,
            }
        )
    return table


def _at(values: Float[Tensor, "C"], row: int | None) -> float:
    return np.nan if row is None else float(values[row])


def filter_table(
    thresholds: Float[Tensor, "K"], baseline: SingleFilterBaseline, vocabulary: Vocabulary
) -> list[Row]:
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
        {
            "filter": k,
            "threshold": float(thresholds[k]),
            "best_concept": vocabulary.names[c] if c >= 0 else "",
            "single_train": float(baseline.train[c, k]) if c >= 0 else np.nan,
            "single_val": float(baseline.val[c, k]) if c >= 0 else np.nan,
            "n_concepts": int(chosen[k]),
        }
        for k, c in enumerate(baseline.best_concept().tolist())
    ]


def seed_table(
    vocabulary: Vocabulary, seeds: Sequence[int], scores: Sequence[BankScores]
) -> list[Row]:
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
        {
            "id": concept.number,
            "name": concept.name,
            "category": concept.category,
            "seed": seed,
            "multi_train": float(of_seed.train[c]),
            "multi_val": float(of_seed.val[c]),
            "ap_val": float(of_seed.ap_val[c]),
            "norm": float(of_seed.norm[c]),
            "cosine": float(cosine(of_seed.weight[c], first[c], dim=0)),
        }
        for c, concept in enumerate(vocabulary)
        for seed, of_seed in zip(seeds, scores, strict=True)
    ]


def classification_table(
    selection: Selection,
    weight: Float[Tensor, "C K"],
    best: SingleClassifiers,
    top_filter: Int64[Tensor, "C"],
    several: ClassificationScores,
    top: ClassificationScores,
    single: ClassificationScores,
) -> list[Row]:
    """Tabulate how well images are classified, by concept, all on val.

    Args:
        selection: The concepts asked for; the probed ones are the rows of the others.
        weight: The classifiers over all filters.
        best: The best filter of all, chosen on train.
        top_filter: The filter of largest weight.
        several: Scores of the classifiers over all filters; the first of each is taken.
        top: Scores of the filter of largest weight, trained anew.
        single: Scores of the best filter.

    Returns:
        Rows in the dataset's order; NaN where there is nothing to score, with the reason.
    """
    row_of = {name: row for row, name in enumerate(selection.vocabulary.names)}
    table = []
    for entry in selection.considered:
        c = row_of.get(entry.concept.name)
        cells: Row = {
            "id": entry.concept.number,
            "name": entry.concept.name,
            "category": entry.concept.category,
            "n_train": entry.n_train,
            "n_val": entry.n_val,
            "top_filter": np.nan if c is None else int(top_filter[c]),
            "best_filter": np.nan if c is None or best.filter[c] < 0 else int(best.filter[c]),
        }
        for name, scores in (("", several), ("top_", top), ("best_", single)):
            for score in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated"):
                values = getattr(scores, score)[0]
                cells[f"{name}{score}"] = _at(values, c)
        cells["norm"] = np.nan if c is None else float(weight[c].norm())
        reason = entry.status if c is None else several.reason[c] or several.reason_annotated[c]
        table.append(cells | {"status": reason or entry.status})
    return table


def layer_row(
    layer: str,
    shape: tuple[int, int, int],
    concepts: Sequence[Row] | None,
    classified: Sequence[Row] | None,
) -> Row:
    """Summarise a layer's tables in one row.

    Args:
        layer: Name of the layer.
        shape: (K, h, w).
        concepts: From :func:`concept_table`, if anything was segmented.
        classified: From :func:`classification_table`, if anything was classified.
    """
    row: Row = {"layer": layer, "filters": shape[0], "height": shape[1], "width": shape[2]}
    for table, names in (
        (concepts, ("single_val", "multi_val", "ap_val")),
        (classified, ("best_accuracy", "top_accuracy", "accuracy", "ap", "auc")),
    ):
        if table is not None:
            row |= {name: nan_mean(row[name] for row in table) for name in names}
    return row


def nan_mean(values: Iterable[float]) -> float:
    """Average what can be averaged; NaN if nothing can.

    Example:
        >>> nan_mean([1.0, float("nan"), 2.0])
        1.5
    """
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write a table whole or not at all."""
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
