"""The tables of a comparison; docs/compare.md names their columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

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
from net2vec_pl.analysis.detectors import detected
from net2vec_pl.compare.entry import CLASSIFICATION, SCORES, SEGMENTATION, Entry, ImageMeans
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

ALL = "all"
IMAGES, CONCEPTS = "images", "concepts"
_SAME = 1e-6  # means over the same concepts differ by rounding alone
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
        won=float(np.mean(both)) if both else np.nan,
        known=sum(entry.known.values()) if entry.known else None,
        folder=str(entry.folder),
        **{
            name: nan_mean(entry.scores.get(name, {}).values())
            for names in SCORES.values()
            for name in names
        },
    )


# -------------------- settings by category


def category_rows(group: Group) -> list[CategoryRow]:
    """Tabulate settings by category, over the concepts that all have: means with intervals.

    Args:
        group: Settings whose scores mean the same.
    """
    segmented = _by_category(group.scores(SEGMENTATION), _segmented)
    classified = _by_category(group.scores(CLASSIFICATION), _classified)
    for scores in map(group.scores, SCORES):
        if scores is not None and scores.concepts:
            segmented |= _over_images(scores, segmented)
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
    scores: Scores | None, means: Callable[[Scores, Bool[np.ndarray, "C"]], list[_Means]]
) -> dict[_Key, _Means]:
    """Take the means of every setting over the concepts of each category, and over all."""
    found: dict[_Key, _Means] = {}
    if scores is None or not scores.concepts:
        return found
    for category in [*dict.fromkeys(scores.categories), ALL]:
        mine = np.array([category in (c, ALL) for c in scores.categories])
        for setting, of in zip(scores.settings, means(scores, mine), strict=True):
            found[setting.label, category] = of
    return found


def _segmented(scores: Scores, mine: Bool[np.ndarray, "C"]) -> list[SegmentedMeans]:
    asked = _asked(scores, mine)
    means = {name: _seed_means(scores, name, mine) for name in SCORES[SEGMENTATION]}
    multi = scores.mean("multi_val")[:, mine]
    gain = (scores.mean("multi_val") - scores.mean("single_val"))[:, mine]
    gains = _estimates(gain)
    return [
        SegmentedMeans(
            n_concepts=len(asked),
            gain=gains[s],
            won=_won(gain[s]),
            interval_over=CONCEPTS,
            filters_needed=_needed(setting, SEGMENTATION, asked),
            detected_by_single=_by_single(setting, asked),
            detected_by_multi=int(detected(multi[s], _levels(setting, asked)).sum()),
            known=_known(setting, asked),
            **{name: of_settings[s] for name, of_settings in means.items()},
        )
        for s, setting in enumerate(scores.settings)
    ]


def _classified(scores: Scores, mine: Bool[np.ndarray, "C"]) -> list[ClassifiedMeans]:
    asked = _asked(scores, mine)
    means = {name: _seed_means(scores, name, mine) for name in SCORES[CLASSIFICATION]}
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


def _seed_means(scores: Scores, name: str, mine: Bool[np.ndarray, "C"]) -> list[SeedMean]:
    """Average over concepts, with intervals over them and the spread of the means over seeds."""
    of_seeds = [seeds[:, mine].mean(axis=1) for seeds in scores.by_seed[name]]
    stds = [float(means.std(ddof=1)) if len(means) > 1 else np.nan for means in of_seeds]
    return list(map(SeedMean, _estimates(scores.mean(name)[:, mine]), stds))


def _estimates(values: Float64[np.ndarray, "S C"]) -> list[Estimate]:
    """Average over concepts, with intervals over them."""
    found = mean_intervals(values)
    return list(map(Estimate, found.value.tolist(), found.low.tolist(), found.high.tolist()))


def _won(gain: Float64[np.ndarray, "C"]) -> Estimate:
    test = stats.binomtest(int((gain > 0).sum()), len(gain))
    bounds = test.proportion_ci(method="wilson")
    return Estimate(test.statistic, bounds.low, bounds.high)


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


def _over_images(
    scores: Scores, found: Mapping[_Key, SegmentedMeans]
) -> dict[_Key, SegmentedMeans]:
    """Take the runs' own intervals over images, if they are of these concepts for every setting.

    They are what chance draws within a dataset. But one table has intervals of one kind.
    """
    taken: dict[_Key, SegmentedMeans] = {}
    for setting in scores.settings:
        for category in [*dict.fromkeys(scores.categories), ALL]:
            row, own = found.get((setting.label, category)), setting.first.gains.get(category)
            if row is None or own is None or len(setting.entries) > 1 or not _fits(row, own):
                return {}
            taken[setting.label, category] = replace(
                row,
                interval_over=IMAGES,
                multi_val=replace(row.multi_val, mean=_bounded(row.multi_val.mean, own.multi)),
                single_val=replace(row.single_val, mean=_bounded(row.single_val.mean, own.single)),
                gain=_bounded(row.gain, own.gain),
            )
    return taken


def _bounded(mine: Estimate, own: Estimate) -> Estimate:
    return replace(own, value=mine.value)


def _fits(row: SegmentedMeans, own: ImageMeans) -> bool:
    same = own.n_concepts == row.n_concepts
    means = [(row.multi_val.mean, own.multi), (row.single_val.mean, own.single)]
    means.append((row.gain, own.gain))
    return same and all(abs(mine.value - theirs.value) < _SAME for mine, theirs in means)


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


def pair_rows(group: Group) -> list[PairRow]:
    """Compare every two settings by every score, over the concepts that all have.

    Args:
        group: Settings whose scores mean the same.
    """
    rows: list[PairRow] = []
    for target in SCORES:
        scores = group.scores(target)
        if scores is None:
            continue
        labels = [setting.label for setting in scores.settings]
        for name in SCORES[target]:
            found = paired_differences(scores.mean(name))
            rows += [
                PairRow(
                    group=group.name,
                    score=name,
                    first=labels[found.first[t]],
                    second=labels[found.second[t]],
                    n_concepts=len(scores.concepts),
                    difference=float(found.difference[t]),
                    low=float(found.low[t]),
                    high=float(found.high[t]),
                    interval_over=CONCEPTS,
                    p=float(found.p[t]),
                    p_fdr=float(found.p_fdr[t]),
                    first_higher=float(found.won[t]),
                )
                for t in range(len(found.p))
            ]
    return rows


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
