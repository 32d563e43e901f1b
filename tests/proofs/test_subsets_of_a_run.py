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

from net2vec_pl.analysis.subsets import needed_intervals
from net2vec_pl.figures.style import COLOURS, MULTI, SINGLE
from proofs.conftest import PlantedRun

SEED, REPLICATES = 3, 200  # of the run
LEVELS = ("50%", "60%", "70%", "80%", "90%", "95%")
QUESTION = "How many filters does a concept need?"
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
        chance: Of the score.
    """

    suffix: str
    names: list[str]
    sizes: list[int]
    retrained: Floats
    masked: Floats
    chance: float

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
                goal = self.chance + int(level[:-1]) / 100 * (full - self.chance)
                enough = [
                    size
                    for size, score in zip(self.sizes, self.retrained[:, c], strict=True)
                    if score >= goal - 1e-9
                ]
                if full > self.chance:
                    needed[i, c] = enough[0]
        return needed


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
    return Curves("", SEGMENTED, sizes, retrained, masked, 0.0)


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
    return Curves("_classification", NAMES, sizes, retrained, masked, 0.5)


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
            **{f"for_{level}": float(curves.needed[i, c]) for i, level in enumerate(LEVELS)},
            "status": "no score above chance to reach" if name == missing(curves) else "ok",
        }
        for c, name in enumerate(curves.names)
    ]
    check_table(mixed.table(f"analysis/filters_needed{curves.suffix}"), expected)


def missing(curves: Curves) -> str:
    """Return the concept that has no score: no filter sees grey."""
    return "" if curves.suffix else "grey-c"


def test_shares_of_each_category_count_the_concepts_that_need_no_more(
    mixed: PlantedRun, curves: Curves
) -> None:
    expected: list[dict[str, object]] = []
    for category in [*dict.fromkeys(curves.categories), "all"]:
        among = [
            c
            for c, name in enumerate(curves.names)
            if category in (curves.categories[c], "all") and name != missing(curves)
        ]
        for size in curves.sizes:
            shares = {
                f"reach_{level}": float(np.mean([curves.needed[i, c] <= size for c in among]))
                for i, level in enumerate(LEVELS)
            }
            expected.append({"category": category, "filters": size, "n": len(among), **shares})
    check_table(mixed.table(f"analysis/cumulative_filters{curves.suffix}"), expected)


def test_the_median_is_said_with_its_interval(mixed: PlantedRun, curves: Curves) -> None:
    measure = f"median filters for 80 % of the full score{curves.suffix}"
    at = curves.needed[LEVELS.index("80%")]
    counted = at[np.isfinite(at)]
    bounds = needed_intervals(curves.needed, REPLICATES, seed=SEED).median
    low, high = (float(bound[LEVELS.index("80%")]) for bound in (bounds.low, bounds.high))
    more = f"{np.mean(counted > 1):.0%}"
    verb, left_out = ("classify", "") if curves.suffix else ("segment", "1")
    expected = {
        "question": QUESTION,
        "measure": measure,
        "value": float(np.median(counted)),
        "low": low,
        "high": high,
        "n": len(counted),
        "statement": f"To {verb} with 80% of the full score, a concept needs "
        f"{np.median(counted):.0f} [{low:.0f}, {high:.0f}] filters in the median over "
        f"{len(counted)} concepts (interval over concepts); {more} need more than 1."
        + (f" Without a score above chance and left out: {left_out}." if left_out else ""),
    }
    check_table([mixed.finding(measure)], [expected])
    assert low < high


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
        if curves.chance:
            assert drawn.pop("chance").y == [curves.chance] * 2
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


def path(layer: Layer, strengths: Sequence[float]) -> dict[str, list[tuple[int, float]]]:
    """Return filters and score of every concept under every penalty.

    The loss has its largest slope at zero where strength 1 begins; with momentum a step is longer
    by 1 / (1 - momentum), and so is the shrinkage.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for name in SEGMENTED:
        zero = np.zeros(FILTERS)
        steepest = float(np.abs(layer.gradient(name, zero)).max())
        found[name] = []
        for strength in strengths:
            w = layer.learn(name, zero, shrink=LR / (1 - 0.9) * strength * steepest)[-1]
            found[name].append((int((w != 0).sum()), layer.set_iou(name, w)))
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
    reached = []
    for name in SEGMENTED:
        full = layer.set_iou(name, bank[name])
        for strength, (filters, score) in zip(strengths, found[name], strict=True):
            expected.append(
                {
                    "name": name,
                    "category": CONCEPTS[name][1],
                    "strength": strength,
                    "filters": filters,
                    "val": score,
                }
            )
        enough = [f for f, score in found[name] if full > 0 and score >= 0.8 * full - 1e-9]
        if enough:
            reached.append(min(enough))
    check_table(run.table("analysis/l1_path"), expected)
    measure = "median filters for 80 % of the full score, L1 penalty"
    finding = {
        "question": QUESTION,
        "measure": measure,
        "value": float(np.median(reached)),
        "low": np.nan,
        "high": np.nan,
        "n": 6,
        "statement": f"Under an L1 penalty {len(reached)} of 6 concepts reach 80% of the full "
        f"score, with {np.median(reached):.0f} filters in the median.",
    }
    check_table([run.finding(measure)], [finding])
    return reached


def test_what_was_planted_needs_what_was_planted(run: PlantedRun) -> None:
    # One filter is enough for ball, fin and red; cup and ear have two, dog has three.
    needed = run.concepts("analysis/filters_needed")
    assert {name: needed[name]["for_80%"] for name in SEGMENTED} == {
        "ball": "1.0", "cup": "2.0", "dog": "4.0", "ear": "2.0", "fin": "1.0", "red-c": "1.0",
        "grey-c": "nan",
    }  # fmt: skip
    assert needed["dog"]["for_60%"] == "2.0"  # two of the three are two thirds of it
    shares = {
        (row["category"], row["filters"]): float(row["reach_80%"])
        for row in run.table("analysis/cumulative_filters")
    }
    assert shares["object", "1"] == pytest.approx(1 / 3)
    assert shares["part", "1"] == pytest.approx(1 / 2)
    assert shares["color", "1"] == 1
    assert shares["all", "2"] == pytest.approx(5 / 6)
    said = run.finding("median filters for 80 % of the full score")
    assert float(said["value"]) == np.median([1, 2, 4, 2, 1, 1])
    assert said["n"] == "6"
    assert (
        "50% need more than 1. Without a score above chance and left out: 1." in (said["statement"])
    )
