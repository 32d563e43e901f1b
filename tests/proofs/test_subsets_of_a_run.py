"""How many filters a concept needs: its tables, curves and findings, for masks and for images.

Every subset is trained once more, literally.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from matplotlib.axes import Axes
from support.axes import lines
from support.kept_figures import kept_figure
from support.planted_run import CONCEPTS, FILTERS
from support.relearned import (
    LR,
    NAMES,
    SEGMENTED,
    Bools,
    Classifier,
    Floats,
    Layer,
    Pooled,
    learn_all,
)
from support.tables import check_table

from net2vec_pl.figures.style import COLOURS, MULTI, SINGLE
from proofs.conftest import PlantedRun

SEED = 3  # of the run
LEVELS = ("50%", "60%", "70%", "80%", "90%", "95%")
QUESTION = "How many filters does a concept need?"
UNCALIBRATED = (
    " All are at the common threshold; analysis closed_form asks the same with thresholds chosen "
    "on train images."
)
Banks = dict[int, dict[str, Floats]]


@dataclass(frozen=True)
class Curves:
    """Scores of every concept with its F largest weights, learned anew or left alone.

    Args:
        suffix: Of the tables.
        names: The concepts.
        sizes: F.
        retrained: Scores (F, C).
        masked: Scores (F, C).
        floor: What needs no filter: a mask of every pixel, as beside=[] scores no other level, or
            chance.
    """

    suffix: str
    names: list[str]
    sizes: list[int]
    retrained: Floats
    masked: Floats
    floor: list[float]

    @property
    def categories(self) -> list[str]:
        return [CONCEPTS[name][1] for name in self.names]

    @cached_property
    def needed(self) -> Floats:
        """The fewest filters that reach each level of each concept, (L, C)."""
        needed = np.full((len(LEVELS), len(self.names)), np.nan)
        for c in range(len(self.names)):
            full = self.retrained[-1, c]
            for i, level in enumerate(LEVELS):
                goal = self.floor[c] + int(level[:-1]) / 100 * (full - self.floor[c])
                enough = [
                    size
                    for size, score in zip(self.sizes, self.retrained[:, c], strict=True)
                    if score >= goal - 1e-9
                ]
                if full > self.floor[c]:
                    needed[i, c] = enough[0]
        return needed


def every_pixel(layer: Layer, name: str, train: bool = False) -> float:
    """Return the set IoU of a mask of every pixel: the concept's share of its images."""
    return float(layer.mask(name)[layer.scored(name, train)].mean())


def largest(w: Floats, size: int) -> Bools:
    """Mark the filters of largest weight, the first of equals."""
    kept = np.zeros(len(w), dtype=np.bool_)
    kept[np.argsort(-np.abs(w), kind="stable")[:size]] = True
    return kept


@pytest.fixture(scope="module")
def of_masks(mixed_layer: Layer, mixed_banks: Banks) -> Curves:
    """Subsets of embeddings that segment."""
    sizes = [1, 2, 4, 8, FILTERS]
    retrained, masked = np.zeros((2, len(sizes), len(SEGMENTED)))
    for c, name in enumerate(SEGMENTED):
        w = mixed_banks[SEED][name]
        for f, size in enumerate(sizes):
            kept = largest(w, size)
            anew = mixed_layer.learn(name, mixed_layer.start(name, SEED), kept)[-1]
            retrained[f, c] = mixed_layer.set_iou(name, anew)
            masked[f, c] = mixed_layer.set_iou(name, w * kept)
    floor = [every_pixel(mixed_layer, name) for name in SEGMENTED]
    return Curves("", SEGMENTED, sizes, retrained, masked, floor)


@pytest.fixture(scope="module")
def of_images(mixed_layer: Layer) -> Curves:
    """Subsets of classifiers."""
    sizes, pooled = [1, 2, 3, 5, 10, 15, FILTERS], Pooled(mixed_layer)
    retrained, masked = np.zeros((2, len(sizes), len(NAMES)))
    for c, name in enumerate(NAMES):
        full = pooled.learn(name, SEED)
        for f, size in enumerate(sizes):
            kept = largest(full.weight, size)
            retrained[f, c] = pooled.accuracy(name, pooled.learn(name, SEED, kept))
            masked[f, c] = pooled.accuracy(name, Classifier(full.weight * kept, full.bias))
    return Curves("_classification", NAMES, sizes, retrained, masked, [0.5] * len(NAMES))


@pytest.fixture(params=["of_masks", "of_images"])
def curves(request: pytest.FixtureRequest) -> Curves:
    """Of either kind."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Curves)
    return found


def test_every_subset_scores_what_it_scores_alone(mixed: PlantedRun, curves: Curves) -> None:
    expected = [
        {
            "name": name,
            "category": curves.categories[c],
            "filters": size,
            "retrained": float(curves.retrained[f, c]),
            "masked": float(curves.masked[f, c]),
        }
        for c, name in enumerate(curves.names)
        for f, size in enumerate(curves.sizes)
    ]
    check_table(mixed.table(f"analysis/subsets{curves.suffix}"), expected)
    assert any(row["retrained"] != row["masked"] for row in expected)


def test_every_concept_needs_the_fewest_filters_that_reach_each_level(
    mixed: PlantedRun, curves: Curves
) -> None:
    expected = [
        {
            "name": name,
            "category": curves.categories[c],
            "level": curves.floor[c],
            "full": float(curves.retrained[-1, c]),
            **{f"for_{level}": float(curves.needed[i, c]) for i, level in enumerate(LEVELS)},
            "status": "ok" if np.isfinite(curves.needed[0, c]) else "not above its reference level",
        }
        for c, name in enumerate(curves.names)
    ]
    check_table(mixed.table(f"analysis/filters_needed{curves.suffix}"), expected)
    if not curves.suffix:  # no filter sees grey
        assert np.isnan(curves.needed[0, curves.names.index("grey-c")])


def test_shares_of_each_category_count_the_concepts_that_need_no_more(
    mixed: PlantedRun, curves: Curves
) -> None:
    expected: list[dict[str, object]] = []
    for category in [*dict.fromkeys(curves.categories), "all"]:
        among = [
            c
            for c in range(len(curves.names))
            if category in (curves.categories[c], "all") and np.isfinite(curves.needed[0, c])
        ]
        for size in curves.sizes:
            shares = {
                f"reach_{level}": float(np.mean([curves.needed[i, c] <= size for c in among]))
                for i, level in enumerate(LEVELS)
            }
            expected.append({"category": category, "filters": size, "n": len(among), **shares})
    check_table(mixed.table(f"analysis/cumulative_filters{curves.suffix}"), expected)


def test_the_median_is_said_with_the_middle_half(mixed: PlantedRun, curves: Curves) -> None:
    measure = f"median filters for 80 % of the gain{curves.suffix}"
    at = curves.needed[LEVELS.index("80%")]
    counted = at[np.isfinite(at)]
    low, high = np.quantile(counted, [0.25, 0.75], method="nearest")
    more, out = f"{np.mean(counted > 1):.0%}", len(at) - len(counted)
    of_masks = not curves.suffix
    verb, over = ("segment", "a mask of every pixel") if of_masks else ("classify", "chance")
    expected = {
        "question": QUESTION,
        "measure": measure,
        "value": float(np.median(counted)),
        "low": np.nan,
        "high": np.nan,
        "n": len(counted),
        "statement": f"To {verb} with 80% of what all filters gain over {over}, the median over "
        f"{len(counted)} concepts is {np.median(counted):.0f} (middle half of the concepts: "
        f"{low:.0f} to {high:.0f}) filters; {more} need more than 1."
        + (f" Not above {over} and left out: {out}." if out else "")
        + (UNCALIBRATED if out and of_masks else ""),
    }
    check_table([mixed.finding(measure)], [expected])


def means(scores: Floats) -> tuple[list[float], list[float]]:
    """Return the mean over concepts at every size, and its standard error."""
    n = scores.shape[1]
    error = scores.std(axis=1, ddof=1) / n**0.5 if n > 1 else np.full(len(scores), np.nan)
    return scores.mean(axis=1).tolist(), error.tolist()


def test_the_curves_are_means_over_concepts_with_their_standard_errors(
    mixed: PlantedRun, curves: Curves
) -> None:
    left, right = kept_figure(mixed.folder, f"filter_curve{curves.suffix}").axes
    kinds = list(dict.fromkeys(curves.categories))
    of_kind = {kind: curves.retrained[:, [c == kind for c in curves.categories]] for kind in kinds}
    panels: list[tuple[Axes, dict[str, tuple[Floats, str]]]] = [
        (
            left,
            {
                "retrained": (curves.retrained, MULTI),
                "masked only": (curves.masked, SINGLE),
            },
        ),
        (right, {kind: (of_kind[kind], COLOURS[i]) for i, kind in enumerate(kinds)}),
    ]
    for axes, wanted in panels:
        drawn = lines(axes)
        line = drawn.pop("chance" if curves.suffix else "reference level")
        assert line.y == pytest.approx([np.mean(curves.floor)] * 2)
        assert list(drawn) == list(wanted)
        for name, (scores, colour) in wanted.items():
            mean, error = means(scores)
            assert (drawn[name].x, drawn[name].colour) == (curves.sizes, colour), name
            assert drawn[name].y == pytest.approx(mean), name
            found = [e for e in drawn[name].error if np.isfinite(e)]
            assert found == pytest.approx([e for e in error if np.isfinite(e)], abs=1e-9), name
        score = "balanced accuracy on val" if curves.suffix else "set IoU on val"
        assert axes.get_ylabel() == f"mean {score}"
        assert axes.get_xlabel() == "filters"
    assert [a.get_title(loc="left") for a in (left, right)] == [
        *("all concepts", "by category, retrained"),
    ]


def test_the_share_of_concepts_is_drawn_for_every_level(mixed: PlantedRun, curves: Curves) -> None:
    (axes,) = kept_figure(mixed.folder, f"filters_needed{curves.suffix}").axes
    rows = mixed.table(f"analysis/cumulative_filters{curves.suffix}")
    everything = [row for row in rows if row["category"] == "all"]
    drawn = lines(axes)
    assert list(drawn) == list(LEVELS)
    for level, colour in zip(LEVELS, COLOURS, strict=False):
        shares = [float(row[f"reach_{level}"]) for row in everything]
        assert (drawn[level].x, drawn[level].colour) == (curves.sizes, colour)
        assert drawn[level].y == pytest.approx(shares)
    assert axes.get_ylabel() == "share of concepts"


def path(layer: Layer, strengths: Sequence[float]) -> dict[str, list[tuple[int, float, float]]]:
    """Return filters and scores on train and val of every concept under every penalty.

    The loss has its largest slope at zero where strength 1 begins; with momentum a step is longer
    by 1 / (1 - momentum), and so is the shrinkage.
    """
    found: dict[str, list[tuple[int, float, float]]] = {}
    for name in SEGMENTED:
        zero = np.zeros(FILTERS)
        steepest = float(np.abs(layer.gradient(name, zero)).max())
        found[name] = []
        for strength in strengths:
            w = layer.learn(name, zero, shrink=LR / (1 - 0.9) * strength * steepest)[-1]
            on_train, on_val = (layer.set_iou(name, w, train) for train in (True, False))
            found[name].append((int((w != 0).sum()), on_train, on_val))
    return found


def test_under_a_penalty_concepts_keep_the_filters_that_they_keep_alone(
    mixed: PlantedRun, mixed_layer: Layer, mixed_banks: Banks
) -> None:
    reached = check_path(mixed, mixed_layer, mixed_banks[SEED])
    assert 0 < len(reached) < 6


def test_under_a_penalty_one_filter_can_be_enough(run: PlantedRun) -> None:
    layer = Layer(run.drawn)
    w = {name: epochs[-1] for name, epochs in learn_all(layer, 0).items()}
    assert min(check_path(run, layer, w)) == 1


def check_path(run: PlantedRun, layer: Layer, bank: dict[str, Floats]) -> list[int]:
    """Compare a run's path; return the fewest filters of the concepts that reach 80 %."""
    strengths = [0.4, 0.4**2]
    found, expected = path(layer, strengths), []
    needed, at_least, on_val = [], [], []
    for name in SEGMENTED:
        splits = (True, False)
        full = {train: layer.set_iou(name, bank[name], train) for train in splits}
        level = {train: every_pixel(layer, name, train) for train in splits}
        goal = level[True] + 0.8 * (full[True] - level[True]) - 1e-9
        counted = all(full[split] > level[split] for split in splits)
        enough = [
            (f, s) for s, (f, train, _) in enumerate(found[name]) if counted and train >= goal
        ]
        chosen = min(enough)[1] if enough else -1
        for s, (filters, train, val) in enumerate(found[name]):
            row = {"name": name, "category": CONCEPTS[name][1], "strength": strengths[s]}
            row |= {"filters": filters, "train": train, "val": val, "chosen": s == chosen}
            expected.append(row)
        if counted:
            needed.append(float(min(enough)[0]) if enough else np.inf)
            at_least.append(min(enough)[0] if enough else max(f for f, _, _ in found[name]))
        if enough:
            gain = found[name][chosen][2] - level[False]
            on_val.append(gain / (full[False] - level[False]))
    check_table(run.table("analysis/l1_path"), expected)
    measure, reached = "concepts that reach 80 % of the gain under an L1 penalty", len(on_val)
    median = np.median(needed)
    few = f"{median:.0f}" if np.isfinite(median) else f"more than {np.median(at_least):.0f}"
    finding = {
        "question": QUESTION,
        "measure": measure,
        "value": float(reached),
        "low": np.nan,
        "high": np.nan,
        "n": len(needed),
        "statement": f"Under an L1 penalty, chosen for each concept on train images, {reached} of "
        f"{len(needed)} concepts reach 80% of what they gain over a mask of every pixel there "
        f"without it. The median over all {len(needed)} is {few} filters."
        + (
            f" On val those that reach it have {np.median(on_val):.0%} of the gain, in the median."
            if reached
            else ""
        )
        + f" Not above it on train or on val and left out: {len(SEGMENTED) - len(needed)}.",
    }
    check_table([run.finding(measure)], [finding])
    return [int(n) for n in needed if np.isfinite(n)]


def test_what_was_planted_needs_what_was_planted(run: PlantedRun) -> None:
    # One filter is enough for ball, fin and red; cup and ear have two, dog has three.
    needed = run.concepts("analysis/filters_needed")
    assert {name: needed[name]["for_80%"] for name in SEGMENTED} == {
        "ball": "1.0", "cup": "2.0", "dog": "4.0", "ear": "2.0", "fin": "1.0", "red-c": "1.0",
        "grey-c": "nan",
    }  # fmt: skip
    # Two of its three filters are two thirds of a dog, more than half of what is above the level.
    assert needed["dog"]["for_50%"] == "2.0"
    assert needed["dog"]["for_60%"] == "4.0"
    shares = {
        (row["category"], row["filters"]): float(row["reach_80%"])
        for row in run.table("analysis/cumulative_filters")
    }
    assert shares["object", "1"] == pytest.approx(1 / 3)
    assert shares["part", "1"] == pytest.approx(1 / 2)
    assert shares["color", "1"] == 1
    assert shares["all", "2"] == pytest.approx(5 / 6)
    said = run.finding("median filters for 80 % of the gain")
    assert float(said["value"]) == np.median([1, 2, 4, 2, 1, 1])
    assert said["n"] == "6"
    left_out = "Not above a mask of every pixel and left out: 1."
    assert f"50% need more than 1. {left_out}{UNCALIBRATED}" in said["statement"]
