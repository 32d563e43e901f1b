"""The tables that a comparison of the made-up runs has to leave, worked out literally."""

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pytest

from support import across_oracles as oracles
from support.compared_runs import (
    COMMON,
    CONV3,
    CONV5,
    EXPORTS,
    FEW,
    FOLDERS,
    GROUPS,
    IMAGES,
    KINDS,
    NAMES,
    NAN,
    NUMBERS,
    SETTINGS,
    Learned,
    Made,
)
from support.fake_data.val_pixels import pixels_of

Row = dict[str, Any]
COUNTED = ("multi_val", "single_val", "gain")
SEGMENTED, CLASSIFIED = ("multi_val", "single_val", "ap_val"), ("accuracy", "best_accuracy")
_FIELDS = {"multi_val": "multi", "single_val": "single", "ap_val": "ap",
           "accuracy": "accuracy", "best_accuracy": "best_accuracy"}  # fmt: skip


def assert_rows(found: Sequence[Mapping[str, str]], expected: Sequence[Mapping[str, Any]]) -> None:
    """Check that a table has these rows and columns, in this order, and no others."""
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert [*mine] == [*theirs]
        for name, value in theirs.items():
            where = f"{name} of {mine}"
            if isinstance(value, float):
                assert float(mine[name]) == pytest.approx(value, nan_ok=True, abs=1e-9), where
            else:
                assert mine[name] == str(value), where


def scored(made: Made, names: Sequence[str]) -> list[str]:
    """Return the settings' concepts that a group compares by these scores."""
    if names == CLASSIFIED:
        return ["sky", "ear", "sea", "red", "park"]
    return {"made up": COMMON, "made up #2": FEW}.get(made.group, ["sky", "sea", "ear"])


def of_seeds(made: Made, score: str) -> list[Mapping[str, float]]:
    """Return a score by concept, of every seed that has it."""
    if score in CLASSIFIED:
        table = getattr(made, score)
        return [] if table is None else [table]
    return [getattr(learned, _FIELDS[score]) for learned in made.learned.values()]


def mean(made: Made, score: str, concept: str) -> float:
    """Average a score over the seeds that have it."""
    values = [table.get(concept, NAN) for table in of_seeds(made, score)]
    finite = [value for value in values if value == value]
    return fmean(finite) if finite else NAN


def having(group: str, names: Sequence[str]) -> list[Made]:
    """Return the settings of a group that have some scores, in order."""
    return [made for made in GROUPS[group] if of_seeds(made, names[0])]


# -------------------- categories.csv


@cache
def categories(group: str) -> list[Row]:
    """Return the rows of a group, without columns that none of them has."""
    rows = []
    for made in GROUPS[group]:
        kinds = [*dict.fromkeys(KINDS[c] for c in scored(made, SEGMENTED)), "all"]
        if of_seeds(made, "accuracy"):
            kinds.append("scene")
        rows += [_category(made, kind) for kind in kinds]
    return rows


def _category(made: Made, kind: str) -> Row:
    row: Row = {"group": made.group, "setting": made.label, "model": made.model}
    row |= {"layer": made.layer, "n_seeds": len(made.learned), "category": kind}
    mine = [c for c in scored(made, SEGMENTED) if kind in (KINDS[c], "all")]
    row |= {"n_concepts": len(mine) if mine else NAN} | _means(made, SEGMENTED, mine)
    gains = [mean(made, "multi_val", c) - mean(made, "single_val", c) for c in mine]
    both = zip(of_seeds(made, "multi_val"), of_seeds(made, "single_val"), strict=True)
    of_seed = [{c: several[c] - one[c] for c in mine} for several, one in both]
    row |= _spread("gain", gains, [fmean(of.values()) for of in of_seed] if mine else [])
    row["won"] = sum(gain > 0 for gain in gains) if mine else NAN
    row |= {"interval_over": "", "no_interval": ""}
    if mine and made.images:
        row["interval_over"] = "groups" if made.groups else "images"
        for name in COUNTED:
            low, high = oracles.interval(apart(made, name, mine), share=name != "gain")
            row |= {f"{name}_low": low, f"{name}_high": high}
    elif mine:
        row["no_interval"] = "no val_counts.safetensors"
    row["filters_needed"] = _median(made.needed, mine)
    on_train = dict(made.filters)  # of a concept's filters the last
    best = [on_train.get(c, 0.0) for c in mine]
    row["detected_by_single"] = (
        float(sum(s >= 0.04 for s in best)) if made.filters and mine else NAN
    )
    several = [mean(made, "multi_val", c) for c in mine]
    row["detected_by_multi"] = sum(s >= 0.04 for s in several) if mine else NAN
    if made.group == "made up":
        mine = [c for c in scored(made, CLASSIFIED) if kind in (KINDS[c], "all")]
        mine = mine if made.accuracy else []
        row |= {"n_classified": len(mine) if mine else NAN} | _means(made, CLASSIFIED, mine)
        row["filters_needed_classification"] = _median(made.needed_to_classify, mine)
    return {k: float(v) if isinstance(v, float) else v for k, v in row.items()}


def _means(made: Made, names: Sequence[str], mine: Sequence[str]) -> Row:
    row: Row = {}
    for name in names:
        means = [fmean(table[c] for c in mine) for table in of_seeds(made, name) if mine]
        row |= _spread(name, [mean(made, name, c) for c in mine], means)
    return row


def _spread(name: str, values: Sequence[float], of_seeds: Sequence[float]) -> Row:
    quartiles = [oracles.quartile(values, at) if values else NAN for at in (0.25, 0.75)]
    row: Row = {name: fmean(values) if values else NAN, f"{name}_low": NAN, f"{name}_high": NAN}
    row |= {f"{name}_q25": quartiles[0], f"{name}_q75": quartiles[1]}
    return row | {f"{name}_std": stdev(of_seeds) if len(of_seeds) > 1 else NAN}


def apart(made: Made, name: str, mine: Sequence[str]) -> oracles.Settings:
    """Take a setting's mean set IoU, or its gain, apart by images or groups."""
    if name == "gain":
        several, one = (apart(made, score, mine) for score in ("multi_val", "single_val"))
        return oracles.less(several, one)
    tables = [
        {c: pixels_of(table[c], made.images, NUMBERS[c]).astype(np.float64) for c in mine}
        for table in of_seeds(made, name)
    ]
    return oracles.without_each(tables, mine, made.groups)


def _median(needed: Mapping[str, float] | None, mine: Sequence[str]) -> float:
    asked = [of for c in mine if (of := (needed or {}).get(c, NAN)) == of]
    return float(median(asked)) if asked else NAN


# -------------------- pairs.csv


@cache
def pairs(group: str) -> list[Row]:
    """Return a row for every two settings and score."""
    rows = []
    for names in (SEGMENTED, CLASSIFIED):
        made = having(group, names)
        for name in names:
            of = [_pair(a, b, name, names) for a, b in itertools.combinations(made, 2)]
            tested = [row for row in of if not row["untested"]]
            corrected = oracles.benjamini_hochberg([row["p"] for row in tested])
            for row, p in zip(tested, corrected, strict=True):
                row["p_fdr"] = p
            rows += of
    return rows


def _pair(first: Made, second: Made, name: str, names: Sequence[str]) -> Row:
    concepts = scored(first, names)
    x, y = (np.array([mean(made, name, c) for c in concepts]) for made in (first, second))
    found: Row = {"low": NAN, "high": NAN, "interval_over": "", "p": NAN, "p_fdr": NAN}
    if name not in COUNTED:
        found["untested"] = "only set IoU is compared image by image"
    elif not (first.images and second.images):
        found["untested"] = "no val_counts.safetensors"
    else:
        difference = oracles.less(*(apart(made, name, concepts) for made in (first, second)))
        low, high = oracles.interval(difference, share=False)
        over = "groups" if first.groups else "images"
        found |= {"low": low, "high": high, "interval_over": over, "untested": ""}
        found["p"] = oracles.swap_p(difference)
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(x, y, strict=True)]
    return {
        "group": first.group,
        "score": name,
        "first": first.label,
        "second": second.label,
        "n_concepts": len(concepts),
        "difference": fmean(x) - fmean(y),
        **found,
        "first_higher": fmean(wins),
    }


# -------------------- embedding_distances.csv


@cache
def distances(group: str) -> list[Row]:
    """Return a row for every two embeddings and target."""
    rows = []
    for target in ("segmentation", "classification"):
        banks = list(_banks(group, target).items())
        for (first, a), (second, b) in itertools.combinations(banks, 2):
            kept = [c for c in a if all(np.any(of[c]) for _, of in banks)]
            found = oracles.measures(
                np.array([a[c] for c in kept]), np.array([b[c] for c in kept]), 999
            )
            row: Row = {"group": group, "target": target, "first": first, "second": second}
            row |= {"n_concepts": len(kept)}
            row["distance_per_pair"] = found["distance"][0] / len(kept) ** 2
            for name, (value, chance, p) in found.items():
                row |= {name: value, f"{name}_chance": chance, f"{name}_p": p}
            rows.append(row | {"n_tested": len(kept), "permutations": 999})
    return rows


def _banks(group: str, target: str) -> dict[str, dict[str, Any]]:
    """Return the embeddings of every entry by concept."""
    found = {}
    for made in GROUPS[group]:
        if target == "segmentation":
            for seed, learned in made.learned.items():
                found[made.entries[seed]] = _by_concept(learned.multi, learned.weight)
        elif made.accuracy is not None:
            first = next(iter(made.learned))
            found[made.entries[first]] = _by_concept(made.accuracy, made.classifiers)
    return found


def _by_concept(table: Mapping[str, float], weight: Any) -> dict[str, Any]:
    return dict(zip(table, weight, strict=True))


# -------------------- runs.csv


def runs() -> list[Row]:
    """Return a row for every entry, and for every run of W&B's table."""
    rows = [_run(made, seed) for made in SETTINGS for seed in made.learned]
    for name, text in EXPORTS.items():
        header, *lines = text.splitlines()
        for line in lines:
            told = dict(zip(header.split(","), line.split(","), strict=True))
            row: Row = dict.fromkeys(rows[0], "")
            row |= {"entry": told["Name"], "source": f"W&B export {name}", "state": told["State"]}
            for theirs, ours in {
                "model.name": "model", "layer": "layer", "protocol.name": "protocol",
                "protocol.tau": "tau", "seed": "seed", "data.name": "data",
                "val/set_iou": "multi_val", "val/ap": "ap_val", "val/accuracy": "accuracy",
            }.items():  # fmt: skip
                row[ours] = told.get(theirs, "")
            rows.append(row)
    return rows


def _run(made: Made, seed: int) -> Row:
    learned: Learned = made.learned[seed]
    classified = made.accuracy if seed == next(iter(made.learned)) else None
    files = {*learned.multi, *(made.accuracy or {})}
    other = made.group == "made up #2"
    best = made.best_accuracy or {}
    finite = [c for c, v in learned.multi.items() if v == v]
    return {
        "entry": made.entries[seed],
        "group": made.group,
        "source": "run folder",
        "state": "finished",
        "model": made.model,
        "layer": made.layer,
        "module_path": made.layer,
        "filters": 8,
        "height": 4,
        "width": 6,
        "protocol": "paper",
        "tau": 0.005,
        "seed": seed,
        "data": "made up",
        "digest": "0ther000data" if other else "d1g35t",
        "images": 33 if other else 10,
        "most_train": float(max(IMAGES[c][0] for c in files)),
        "most_val": float(max(IMAGES[c][1] for c in files)),
        "version": 0,
        "n_concepts": len({*learned.multi, *(classified or {})}),
        "multi_val": fmean(learned.multi[c] for c in finite),
        "single_val": fmean(learned.single.values()),
        "ap_val": fmean(learned.ap.values()),
        "accuracy": fmean(v for v in classified.values() if v == v) if classified else NAN,
        "best_accuracy": fmean(best.values()) if classified else NAN,
        "won": sum(learned.multi[c] > learned.single[c] for c in finite),
        "folder": FOLDERS[made.label, seed],
    }


# -------------------- concepts_by_entry.csv, differences.csv


def concepts(score: str) -> list[Row]:
    """Return a row for every concept that any setting of a group has scored."""
    rows: list[Row] = []
    for group, settings in GROUPS.items():
        names = NAMES if group == "made up" else scored(settings[0], SEGMENTED)
        if score == "accuracy":
            names = [*CONV3.accuracy] if group == "made up" and CONV3.accuracy else []
        for name in names:
            row: Row = {"group": group, "concept": name, "category": KINDS[name], "score": score}
            rows.append(row | {made.label: mean(made, score, name) for made in settings})
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key, "") for key in columns} for row in rows]


def labels(group: str) -> list[str]:
    """Return the labels of a group's settings."""
    return [made.label for made in GROUPS[group]]


APART = "compared in groups of their own, never with each other"


def differences() -> list[tuple[str, dict[str, list[str]], str]]:
    """Return what differs, the settings of each value, and what follows from it."""
    one, two, three = (labels(group) for group in GROUPS)
    lacking = [made.label for made in GROUPS["made up"]][1::-1]  # cup at conv4, leg at conv3
    over = "scores are compared over the {} that all have"
    return [
        ("data", {"made up, digest d1g35t": one + three, "made up, digest 0ther000": two}, APART),
        ("mask size", {"8x8": one + three, "4x6": two}, APART),
        ("protocol.denominator", {"containing": one + two, "annotated": three}, APART),
        ("concepts scored, segmentation (made up)",
         {"by all: 8": one, "not by all: cup, leg": lacking}, over.format(8)),
        ("concepts scored, classification (made up)",
         {"by all: 5": [CONV3.label, CONV5.label], "not by all: dog": [CONV5.label]},
         over.format(5)),
    ]  # fmt: skip


def statements() -> list[str]:
    """Return the sentences about what differs; no more than four settings are named."""
    told = []
    for what, values, consequence in differences():
        words = []
        for value, of in values.items():
            more = f" and {len(of) - 4} more" if len(of) > 4 else ""
            words.append(f"{value} ({', '.join(of[:4])}{more})")
        told.append(f"{what}: {'; '.join(words)} - {consequence}.")
    return told
