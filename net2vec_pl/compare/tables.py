"""The tables of a comparison; docs/compare.md names their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from net2vec_pl.analysis.across import (
    MEASURES,
    EmbeddingPairs,
    embedding_pairs,
    mean_intervals,
    paired_differences,
)
from net2vec_pl.analysis.sharing import DETECTED_BY_ONE, DETECTED_BY_SEVERAL
from net2vec_pl.compare.entry import CLASSIFICATION, SCORES, SEGMENTATION, Entry
from net2vec_pl.compare.settings import Group, Scores, Setting
from net2vec_pl.report.tables import Row, nan_mean

ALL = "all"
IMAGES, CONCEPTS = "images", "concepts"
# Of gains.csv, and ours.
_OF_GAINS = {"multi_val": "several", "single_val": "single", "gain": "gain"}
_SAME = 1e-6  # means over the same concepts differ by rounding alone


# -------------------- a row per entry


def run_rows(groups: Sequence[Group], exported: Sequence[Row]) -> list[Row]:
    """Tabulate every entry over its own concepts, then what W&B's table says of further runs.

    Args:
        groups: All settings.
        exported: Rows of W&B's table.
    """
    rows = [
        {"entry": label, "group": group.name, "source": "run folder", "state": "finished"}
        | _facts(entry)
        | {"folder": str(entry.folder)}
        for group in groups
        for setting in group.settings
        for label, entry in zip(setting.entry_labels, setting.entries, strict=True)
    ]
    return filled([*rows, *exported])


def filled(rows: Sequence[Row]) -> list[Row]:
    """Give all rows the same columns; those of another group, or of W&B, may have others."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _facts(entry: Entry) -> Row:
    header, data = entry.header, entry.header["data"]
    filters, height, width = header.get("activation_shape", (np.nan,) * 3)
    images = np.array(list(entry.n_images.values()), dtype=np.float64).reshape(-1, 2)
    facts: Row = {
        "model": entry.model,
        "layer": entry.layer,
        "module_path": header.get("module_path", ""),
        "filters": filters,
        "height": height,
        "width": width,
        "protocol": entry.protocol.get("name", ""),
        "tau": header.get("tau", ""),
        "seed": entry.seed,
        "data": data["name"],
        "digest": data["digest"],
        "images": data.get("readable", ""),
        "most_train": images[:, 0].max(initial=0),
        "most_val": images[:, 1].max(initial=0),
        "version": header.get("versions", {}).get("net2vec_pl", ""),
        "n_concepts": len(entry.concepts),
    }
    for names in SCORES.values():
        facts |= {name: nan_mean(entry.scores.get(name, {}).values()) for name in names}
    multi, single = (entry.scores.get(name, {}) for name in ("multi_val", "single_val"))
    both = [multi[c] > single[c] for c in multi if c in single]
    return facts | {"won": float(np.mean(both)) if both else np.nan}


# -------------------- settings by category


def category_rows(group: Group) -> list[Row]:
    """Tabulate settings by category, over the concepts that all have: means with intervals.

    Args:
        group: Settings whose scores mean the same.
    """
    found: dict[tuple[str, str], Row] = {}
    for target, columns in ((SEGMENTATION, _segmented), (CLASSIFICATION, _classified)):
        scores = group.scores(target)
        if scores is None or not scores.concepts:
            continue
        for category in [*dict.fromkeys(scores.categories), ALL]:
            mine = np.array([category in (c, ALL) for c in scores.categories])
            for setting, cells in zip(scores.settings, columns(scores, mine), strict=True):
                found.setdefault((setting.label, category), {}).update(cells)
        _from_images(scores, found)
    names = dict.fromkeys(key for cells in found.values() for key in cells)
    by_label = {setting.label: setting for setting in group.settings}
    order = {label: i for i, label in enumerate(by_label)}
    return [
        {"group": group.name, "setting": label}
        | {"model": by_label[label].first.model, "layer": by_label[label].first.layer}
        | {"n_seeds": len(by_label[label].entries), "category": category}
        | {name: cells.get(name, np.nan) for name in names}
        for (label, category), cells in sorted(found.items(), key=lambda item: order[item[0][0]])
    ]


def _segmented(scores: Scores, mine: Bool[np.ndarray, "C"]) -> list[Row]:
    columns: dict[str, Any] = {"n_concepts": [int(mine.sum())] * len(scores.settings)}
    columns |= _means(scores, SCORES[SEGMENTATION], mine)
    gain = (scores.mean("multi_val") - scores.mean("single_val"))[:, mine]
    columns |= _with_interval("gain", gain)
    won = [stats.binomtest(int((row > 0).sum()), len(row)) for row in gain]
    bounds = [test.proportion_ci(method="wilson") for test in won]
    columns |= {"won": [test.statistic for test in won]}
    columns |= {"won_low": [b.low for b in bounds], "won_high": [b.high for b in bounds]}
    columns |= {"interval_over": [CONCEPTS] * len(won)}
    columns |= {"filters_needed": _needed(scores, SEGMENTATION, mine)}
    columns |= {"detected_by_one": [_by_one(s, scores, mine) for s in scores.settings]}
    several = scores.mean("multi_val")[:, mine] >= DETECTED_BY_SEVERAL
    columns |= {"detected_by_several": several.sum(axis=1).tolist()}
    return _transposed(columns)


def _classified(scores: Scores, mine: Bool[np.ndarray, "C"]) -> list[Row]:
    columns: dict[str, Any] = {"n_classified": [int(mine.sum())] * len(scores.settings)}
    columns |= _means(scores, SCORES[CLASSIFICATION], mine)
    columns |= {"filters_needed_classification": _needed(scores, CLASSIFICATION, mine)}
    return _transposed(columns)


def _transposed(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _means(scores: Scores, names: Sequence[str], mine: Bool[np.ndarray, "C"]) -> dict[str, Any]:
    """Average over concepts, with intervals over them and the spread of the means over seeds."""
    columns: dict[str, Any] = {}
    for name in names:
        of_seeds = [seeds[:, mine].mean(axis=1) for seeds in scores.by_seed[name]]
        columns |= _with_interval(name, scores.mean(name)[:, mine])
        columns[f"{name}_std"] = [
            float(means.std(ddof=1)) if len(means) > 1 else np.nan for means in of_seeds
        ]
    return columns


def _with_interval(name: str, values: Float64[np.ndarray, "S C"]) -> dict[str, list[float]]:
    found = mean_intervals(values)
    bounds = {f"{name}_low": found.low.tolist(), f"{name}_high": found.high.tolist()}
    return {name: found.value.tolist()} | bounds


def _needed(scores: Scores, target: str, mine: Bool[np.ndarray, "C"]) -> list[float]:
    """Take the median of the filters for 80 % of the full score, where a run has asked for it."""
    asked = [c for c, is_mine in zip(scores.concepts, mine, strict=True) if is_mine]
    medians = []
    for setting in scores.settings:
        table = next((e.needed[target] for e in setting.entries if e.needed.get(target)), {})
        values = [table[c] for c in asked if c in table]
        medians.append(float(np.median(values)) if values else np.nan)
    return medians


def _by_one(setting: Setting, scores: Scores, mine: Bool[np.ndarray, "C"]) -> float:
    """Count the concepts that some filter detects, each filter for its best concept."""
    best = next((e.detected for e in setting.entries if e.detected), None)
    if best is None:
        return np.nan
    asked = (c for c, is_mine in zip(scores.concepts, mine, strict=True) if is_mine)
    return float(sum(best.get(c, 0.0) >= DETECTED_BY_ONE for c in asked))


def _from_images(scores: Scores, found: Mapping[tuple[str, str], Row]) -> None:
    """Take the runs' own intervals over images, if they are of these concepts for every setting.

    They are what chance draws within a dataset. But one table has intervals of one kind.
    """
    taken: list[tuple[Row, Row]] = []
    for setting in scores.settings:
        for category in [*dict.fromkeys(scores.categories), ALL]:
            row, gains = found[setting.label, category], setting.first.gains.get(category)
            if gains is None or len(setting.entries) > 1 or not _fits(row, gains):
                return
            taken.append((row, {k: float(v) for k, v in gains.items() if k != "category"}))
    for row, own in taken:
        row["interval_over"] = IMAGES
        for name, theirs in _OF_GAINS.items():
            row |= {f"{name}_{side}": own[f"{theirs}_{side}"] for side in ("low", "high")}


def _fits(row: Row, gains: Mapping[str, str]) -> bool:
    same = int(gains["n_concepts"]) == row.get("n_concepts")
    means = ((row.get(name, np.nan), float(gains[own])) for name, own in _OF_GAINS.items())
    return same and all(abs(mine - own) < _SAME for mine, own in means)


# -------------------- concepts, pairs, embeddings


def concept_rows(group: Group, target: str = SEGMENTATION) -> list[Row]:
    """Tabulate concepts over settings: val set IoU of several filters, mean over seeds.

    Args:
        group: Settings whose scores mean the same.
        target: With classification, accuracy instead.

    Returns:
        A row per concept that any setting has scored; NaN where one has not.
    """
    name = SCORES[target][0]
    columns: dict[str, dict[str, float]] = {}
    category: dict[str, str] = {}
    for setting in group.settings:
        tables = [e.scores[name] for e in setting.entries if e.scores.get(name)]
        known = dict.fromkeys(concept for table in tables for concept in table)
        columns[setting.label] = {
            c: nan_mean(table.get(c, np.nan) for table in tables) for c in known
        }
        category |= {c: concept.category for c, concept in setting.first.concepts.items()}
    rows = dict.fromkeys(c for c in category if any(c in of for of in columns.values()))
    return [
        {"group": group.name, "concept": c, "category": category[c], "score": name}
        | {label: of.get(c, np.nan) for label, of in columns.items()}
        for c in rows
    ]


def pair_rows(group: Group) -> list[Row]:
    """Compare every two settings by every score, over the concepts that all have."""
    rows: list[Row] = []
    for target in SCORES:
        scores = group.scores(target)
        if scores is None:
            continue
        labels = [setting.label for setting in scores.settings]
        for name in SCORES[target]:
            found = paired_differences(scores.mean(name))
            rows += [
                {
                    "group": group.name,
                    "score": name,
                    "first": labels[found.first[t]],
                    "second": labels[found.second[t]],
                    "n_concepts": len(scores.concepts),
                    "difference": float(found.difference[t]),
                    "low": float(found.low[t]),
                    "high": float(found.high[t]),
                    "interval_over": CONCEPTS,
                    "p": float(found.p[t]),
                    "p_fdr": float(found.p_fdr[t]),
                    "first_higher": float(found.won[t]),
                }
                for t in range(len(found.p))
            ]
    return rows


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a target, two by two.

    Args:
        labels: Of the entries.
        settings: The setting of each.
        pairs: The comparison.
    """

    labels: tuple[str, ...]
    settings: tuple[str, ...]
    pairs: EmbeddingPairs

    def by_settings(self) -> dict[tuple[str, str], list[int]]:
        """Return the places of the pairs of every two settings, and of a setting with itself."""
        places: dict[tuple[str, str], list[int]] = {}
        for t, (a, b) in enumerate(zip(self.pairs.first, self.pairs.second, strict=True)):
            places.setdefault((self.settings[a], self.settings[b]), []).append(t)
        return places


def embedded(group: Group, target: str) -> Embedded | None:
    """Compare every two embeddings of a target; None if there are fewer than two."""
    found = [
        (label, setting.label, entry)
        for setting in group.settings
        for label, entry in zip(setting.entry_labels, setting.entries, strict=True)
        if target in entry.embeddings
    ]
    if len(found) < 2:
        return None
    labels, settings, entries = zip(*found, strict=True)
    banks = [entry.embeddings[target] for entry in entries]
    rows_of = [{c.name: i for i, c in enumerate(bank.concepts)} for bank in banks]
    common = [name for name in rows_of[0] if all(name in rows for rows in rows_of)]
    weights = [
        bank.weight[[rows[name] for name in common]]
        for bank, rows in zip(banks, rows_of, strict=True)
    ]
    return Embedded(labels, settings, embedding_pairs(weights))


def distance_rows(group: Group, target: str, found: Embedded) -> list[Row]:
    """Tabulate the measures of every two embeddings."""
    pairs, n = found.pairs, len(found.pairs.compared)
    rows: list[Row] = []
    for t, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        row: Row = {"group": group.name, "target": target}
        row |= {"first": found.labels[a], "second": found.labels[b]}
        row["n_concepts"] = n
        row["distance_per_pair"] = float(pairs.value["distance"][t]) / max(n, 1) ** 2
        for name in MEASURES:
            numbers = (pairs.value[name][t], pairs.chance[name][t], pairs.p[name][t])
            row |= dict(
                zip((name, f"{name}_chance", f"{name}_p"), map(float, numbers), strict=True)
            )
        rows.append(row | {"n_tested": pairs.tested, "permutations": pairs.permutations})
    return rows
