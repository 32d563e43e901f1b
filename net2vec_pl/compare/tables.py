"""The tables of a comparison; docs/compare.md names their columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float64

from net2vec_pl.analysis.across import (
    MEASURES,
    EmbeddingPairs,
    embedding_pairs,
)
from net2vec_pl.analysis.detectors import detected
from net2vec_pl.analysis.paired_test import benjamini_hochberg
from net2vec_pl.compare.entry import CLASSIFICATION, SCORES, SEGMENTATION, Entry
from net2vec_pl.compare.over_images import COUNTED, UNCOUNTED, Counted, paired
from net2vec_pl.compare.settings import Group, Scores, Setting
from net2vec_pl.records import Estimate
from net2vec_pl.records.compare import (
    Alikeness,
    CategoryRow,
    ClassifiedMeans,
    ConceptByEntryRow,
    EmbeddingPairRow,
    EntryRow,
    PairRow,
    SeedMean,
    SegmentedMeans,
)
from net2vec_pl.report.probes import nan_mean

_Key = tuple[str, str]  # label of a setting, and a category or ``all``
_Means = TypeVar("_Means")


# -------------------- a row per entry


def entry_rows(groups: Sequence[Group]) -> list[EntryRow]:
    """Tabulate every entry over its own concepts.

    Args:
        groups: All settings.
    """
    return [
        _entry_row(label, group.name, entry)
        for group in groups
        for setting in group.settings
        for label, entry in zip(setting.entry_labels, setting.entries, strict=True)
    ]


def _entry_row(label: str, group: str, entry: Entry) -> EntryRow:
    header, data = entry.header, entry.header["data"]
    filters, height, width = header.get("activation_shape", (np.nan,) * 3)
    images = np.array(list(entry.n_images.values()), dtype=np.float64).reshape(-1, 2)
    multi, single = (entry.scores.get(name, {}) for name in ("multi_val", "single_val"))
    both = [multi[c] > single[c] for c in multi if c in single]
    return EntryRow(
        entry=label,
        group=group,
        source="run folder",
        state="finished",
        model=entry.model,
        layer=entry.layer,
        module_path=header.get("module_path", ""),
        filters=filters,
        height=height,
        width=width,
        protocol=str(entry.protocol.get("name", "")),
        tau=header.get("tau", ""),
        seed=entry.seed,
        data=data["name"],
        digest=data["digest"],
        images=data.get("readable", ""),
        most_train=float(images[:, 0].max(initial=0)),
        most_val=float(images[:, 1].max(initial=0)),
        version=header.get("versions", {}).get("net2vec_pl", ""),
        n_concepts=len(entry.concepts),
        won=sum(both) if both else np.nan,
        known=sum(entry.known.values()) if entry.known else None,
        folder=str(entry.folder),
        **{
            name: nan_mean(entry.scores.get(name, {}).values())
            for names in SCORES.values()
            for name in names
        },
    )


# -------------------- settings by category


def category_rows(group: Group, counted: Mapping[str, Counted | str]) -> list[CategoryRow]:
    """Tabulate settings by category, over the concepts that all have.

    Args:
        group: Settings whose scores mean the same.
        counted: What their set IoUs are sums of.
    """
    segmented = _by_category(group.scores(SEGMENTATION), partial(_segmented, counted=counted))
    classified = _by_category(group.scores(CLASSIFICATION), _classified)
    keys = dict.fromkeys([*segmented, *classified])
    return [
        CategoryRow(
            group=group.name,
            setting=setting.label,
            model=setting.first.model,
            layer=setting.first.layer,
            n_seeds=len(setting.entries),
            category=category,
            segmented=segmented.get((label, category), SegmentedMeans()) if segmented else None,
            classified=classified.get((label, category), ClassifiedMeans()) if classified else None,
        )
        for setting in group.settings
        for label, category in keys
        if label == setting.label
    ]


def _by_category(
    scores: Scores | None, means: Callable[[Scores, str], list[_Means]]
) -> dict[_Key, _Means]:
    """Take the means of every setting over the concepts of each category, and over all."""
    found: dict[_Key, _Means] = {}
    if scores is None:
        return found
    for category in scores.by_category:
        for setting, of in zip(scores.settings, means(scores, category), strict=True):
            found[setting.label, category] = of
    return found


def _segmented(
    scores: Scores, category: str, counted: Mapping[str, Counted | str]
) -> list[SegmentedMeans]:
    mine = scores.by_category[category]
    asked = _asked(scores, mine)
    means = {name: _seed_means(of, mine) for name, of in scores.by_seed.items()}
    multi, single = scores.mean("multi_val")[:, mine], scores.mean("single_val")[:, mine]
    both = zip(scores.by_seed["multi_val"], scores.by_seed["single_val"], strict=True)
    gains = _seed_means([several - one for several, one in both], mine)
    rows = [
        SegmentedMeans(
            n_concepts=len(asked),
            gain=gains[s],
            won=int((multi[s] > single[s]).sum()),
            filters_needed=_needed(setting, SEGMENTATION, asked),
            detected_by_single=_by_single(setting, asked),
            detected_by_multi=int(detected(multi[s], _levels(setting, asked)).sum()),
            known=_known(setting, asked),
            multi_val=means["multi_val"][s],
            single_val=means["single_val"][s],
            ap_val=means["ap_val"][s],
        )
        for s, setting in enumerate(scores.settings)
    ]
    labels = [setting.label for setting in scores.settings]
    return [
        _bounded(row, counted[label], category) for row, label in zip(rows, labels, strict=True)
    ]


def _bounded(row: SegmentedMeans, counted: Counted | str, category: str) -> SegmentedMeans:
    """Give means of set IoU their intervals over images, or say why they have none."""
    why = counted if isinstance(counted, str) else counted.without_interval(category)
    if why or isinstance(counted, str):
        return replace(row, no_interval=why)
    means = {name: getattr(row, name) for name in COUNTED}
    bounded = {
        name: replace(of, mean=counted.bounded(category, name, of.mean.value))
        for name, of in means.items()
    }
    return replace(row, interval_over=counted.over, **bounded)


def _classified(scores: Scores, category: str) -> list[ClassifiedMeans]:
    mine = scores.by_category[category]
    asked = _asked(scores, mine)
    means = {name: _seed_means(scores.by_seed[name], mine) for name in SCORES[CLASSIFICATION]}
    return [
        ClassifiedMeans(
            n_classified=len(asked),
            filters_needed_classification=_needed(setting, CLASSIFICATION, asked),
            **{name: of_settings[s] for name, of_settings in means.items()},
        )
        for s, setting in enumerate(scores.settings)
    ]


def _asked(scores: Scores, mine: Bool[np.ndarray, "C"]) -> list[str]:
    return [c for c, is_mine in zip(scores.concepts, mine, strict=True) if is_mine]


def _seed_means(
    by_seed: Sequence[Float64[np.ndarray, "_ C"]], mine: Bool[np.ndarray, "C"]
) -> list[SeedMean]:
    """Average over concepts and seeds, with the spread over either."""
    found = []
    for seeds in by_seed:
        of_seeds, of_concepts = seeds[:, mine].mean(axis=1), seeds[:, mine].mean(axis=0)
        low, high = np.quantile(of_concepts, [0.25, 0.75], method="nearest")
        std = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else np.nan
        found.append(SeedMean(Estimate(float(of_concepts.mean())), float(low), float(high), std))
    return found


def _needed(setting: Setting, target: str, asked: Sequence[str]) -> float:
    """Take the median of the filters for 80 % of the gain, where a run has asked for it."""
    table = next((e.needed[target] for e in setting.entries if e.needed.get(target)), {})
    values = [table[c] for c in asked if c in table]
    return float(np.median(values)) if values else np.nan


def _by_single(setting: Setting, asked: Sequence[str]) -> float:
    """Count the concepts that some filter detects, each filter for its best concept."""
    best = next((e.detected for e in setting.entries if e.detected), None)
    if best is None:
        return np.nan
    score = np.array([best.get(c, np.nan) for c in asked])
    return float(detected(score, _levels(setting, asked)).sum())


def _levels(setting: Setting, asked: Sequence[str]) -> Float64[np.ndarray, "C"]:
    """Take the reference levels of concepts; NaN where no run has any."""
    levels = next((e.levels for e in setting.entries if e.levels), {})
    return np.array([levels.get(c, np.nan) for c in asked])


def _known(setting: Setting, asked: Sequence[str]) -> int | None:
    """Count the concepts that beat every reference level, where a run has any."""
    known = next((e.known for e in setting.entries if e.known), None)
    return None if known is None else sum(known.get(c, False) for c in asked)


# -------------------- concepts, pairs, embeddings


def concept_rows(group: Group, target: str = SEGMENTATION) -> list[ConceptByEntryRow]:
    """Tabulate concepts over settings: val set IoU of the embeddings, mean over seeds.

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
        ConceptByEntryRow(
            group.name, c, category[c], name, {s: of.get(c, np.nan) for s, of in columns.items()}
        )
        for c in rows
    ]


def pair_rows(group: Group, counted: Mapping[str, Counted | str]) -> list[PairRow]:
    """Compare every two settings by every score, over the concepts that all have.

    Args:
        group: Settings whose scores mean the same.
        counted: What their set IoUs are sums of.
    """
    rows: list[PairRow] = []
    for target in SCORES:
        scores = group.scores(target)
        if scores is None or not scores.concepts:
            continue
        for name in SCORES[target]:
            rows += _pairs(group.name, scores, name, counted)
    return rows


def _pairs(
    group: str, scores: Scores, name: str, counted: Mapping[str, Counted | str]
) -> list[PairRow]:
    labels, values = [setting.label for setting in scores.settings], scores.mean(name)
    means, found = values.mean(axis=1), paired(counted, name)
    pairs = list(combinations(range(len(labels)), 2))
    of_pairs = [found.get((labels[a], labels[b]), UNCOUNTED) for a, b in pairs]
    p_fdr = benjamini_hochberg(np.array([of.p for of in of_pairs]))
    return [
        PairRow(
            group=group,
            score=name,
            first=labels[a],
            second=labels[b],
            n_concepts=len(scores.concepts),
            difference=float(means[a] - means[b]),
            low=of.low,
            high=of.high,
            interval_over=of.over,
            p=of.p,
            p_fdr=float(p_fdr[t]),
            untested=of.untested,
            first_higher=_first_higher(values[a], values[b]),
        )
        for t, ((a, b), of) in enumerate(zip(pairs, of_pairs, strict=True))
    ]


def _first_higher(first: Float64[np.ndarray, "C"], second: Float64[np.ndarray, "C"]) -> float:
    return float(((first > second) + 0.5 * (first == second)).mean())


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a target, two by two.

    Args:
        labels: Labels of the entries.
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


def distance_rows(group: Group, target: str, found: Embedded) -> list[EmbeddingPairRow]:
    """Tabulate the measures of every two embeddings.

    Args:
        group: The settings.
        target: What the embeddings do, segment or classify.
        found: The comparison of their embeddings.
    """
    pairs, n = found.pairs, len(found.pairs.compared)
    return [
        EmbeddingPairRow(
            group=group.name,
            target=target,
            first=found.labels[a],
            second=found.labels[b],
            n_concepts=n,
            distance_per_pair=float(pairs.value["distance"][t]) / max(n, 1) ** 2,
            n_tested=pairs.tested,
            permutations=pairs.permutations,
            **{
                name: Alikeness(
                    *(float(of[name][t]) for of in (pairs.value, pairs.chance, pairs.p))
                )
                for name in MEASURES
            },
        )
        for t, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True))
    ]
