"""The figures of a comparison."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from net2vec_pl.compare.entry import CLASSIFICATION, SCORES, SEGMENTATION
from net2vec_pl.compare.settings import Group, Scores
from net2vec_pl.compare.tables import Embedded
from net2vec_pl.figures.across import (
    concept_heat_map,
    concept_scatters,
    curves_over_depth,
    distance_heat_maps,
)
from net2vec_pl.records.compare import CategoryRow

NAMES = {
    "single_val": "set IoU on val, best single filter",
    "multi_val": "set IoU on val, combination",
    "ap_val": "average precision on val",
    "accuracy": "balanced accuracy on val, all filters",
    "best_accuracy": "balanced accuracy on val, best filter",
    "filters_needed": "filters for 80 % of the gain over the reference level (median)",
    "filters_needed_classification": "filters for 80 % of the gain over chance (median)",
    "detected_by_single": "concepts that a filter detects",
    "detected_by_multi": "concepts that a combination detects",
}
_SCATTERS = 3


def curves(group: Group, rows: Sequence[CategoryRow]) -> Figure:
    """Draw what ``categories.csv`` says of a group, layer by layer.

    Args:
        group: The settings.
        rows: Rows of the table.
    """
    labels = [setting.label for setting in group.settings]
    place = {label: i for i, label in enumerate(labels)}
    panels: dict[str, dict[str, Float64[np.ndarray, "3 S"]]] = {}
    for score, title in NAMES.items():
        lines: dict[str, Float64[np.ndarray, "3 S"]] = {}
        for row in rows:
            found = row.estimate(score)
            if np.isfinite(found.value):
                nothing = np.full((3, len(labels)), np.nan)
                line = lines.setdefault(row.category, nothing)
                line[:, place[row.setting]] = [found.value, found.low, found.high]
        if lines:
            panels[title] = lines
    return curves_over_depth(panels, labels, [setting.series for setting in group.settings])


def heat_map(scores: Scores, target: str) -> Figure:
    """Draw the concepts that all settings have scored."""
    name = SCORES[target][0]
    labels = [setting.label for setting in scores.settings]
    values = np.ascontiguousarray(scores.mean(name).T)
    return concept_heat_map(values, scores.concepts, scores.categories, labels, NAMES[name])


def scatters(scores: Scores, target: str) -> Figure | None:
    """Draw the pairs of settings that differ most, each setting once; None without a pair."""
    values = scores.mean(SCORES[target][0])
    pairs = _most_different(values)
    if not pairs or not len(scores.concepts):
        return None
    labels = [setting.label for setting in scores.settings]
    return concept_scatters(
        [(labels[a], labels[b]) for a, b in pairs],
        [values[[a, b]] for a, b in pairs],
        scores.concepts,
        scores.categories,
        {SEGMENTATION: "set IoU", CLASSIFICATION: "accuracy"}[target],
    )


def _most_different(values: Float64[np.ndarray, "S C"]) -> list[tuple[int, int]]:
    """Choose pairs by their mean absolute difference, largest first, no setting twice."""
    a, b = np.triu_indices(len(values), 1)
    if not values.shape[1]:
        return []
    apart = [np.abs(values[i] - values[j]).mean() for i, j in zip(a, b, strict=True)]
    chosen: list[tuple[int, int]] = []
    for t in np.argsort(-np.array(apart), kind="stable"):
        if not {a[t], b[t]} & {i for pair in chosen for i in pair}:
            chosen.append((int(a[t]), int(b[t])))
    return chosen[:_SCATTERS]


def distances(found: Embedded) -> Figure:
    """Draw the paper's distance and the correlation of cosines of every two embeddings."""
    pairs = found.pairs
    squared = max(len(pairs.compared), 1) ** 2
    return distance_heat_maps(
        {
            "distance per pair of concepts (alike: 0)": pairs.square("distance") / squared,
            "Spearman's correlation of cosines (alike: 1)": pairs.square("correlation"),
        },
        found.labels,
    )
