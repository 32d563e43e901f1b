"""``intervals.csv``, ``gains.csv``, their figure, and what is said about gains.

The pixels of every image are counted here; intervals, tests and spreads of such counts have tests
of their own.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.kept_figures import kept_figure
from support.planted_run import CONCEPTS
from support.relearned import SEGMENTED, Floats, Layer
from support.tables import check_table

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import PairedTest, paired_test
from net2vec_pl.figures.style import MULTI, SINGLE
from proofs.conftest import PlantedRun

SEED, PERMUTATIONS = 3, 2000  # of the run
CATEGORIES = {name: CONCEPTS[name][1] for name in SEGMENTED}
Banks = dict[int, dict[str, Floats]]


@pytest.fixture(scope="module")
def counts(mixed_layer: Layer, mixed_banks: Banks) -> PairCounts:
    """Intersections and unions of every val image and concept, of both methods."""
    rows = []
    for c, name in enumerate(SEGMENTED):
        several = mixed_layer.pairs(name, mixed_banks[SEED][name])
        best = mixed_layer.best_filter(name)
        nothing = [(image, 0, 0) for image, _, _ in several]
        single = mixed_layer.filter_pairs(name, best) if best >= 0 else nothing
        for (image, *of_several), (same, *of_single) in zip(several, single, strict=True):
            assert image == same
            rows.append((image, c, *of_several, *of_single))
    image, concept, *pixels = np.array(rows).T
    return PairCounts(image, concept, np.array(pixels[:2]), np.array(pixels[2:]), len(SEGMENTED))


@pytest.fixture(scope="module")
def drawn(counts: PairCounts) -> SetIouIntervals:
    """Intervals over the images."""
    return SetIouIntervals(counts)


@pytest.fixture(scope="module")
def tested(counts: PairCounts) -> PairedTest:
    """The paired test of every concept."""
    return paired_test(counts, PERMUTATIONS, seed=SEED)


def test_every_concept_has_its_intervals_and_its_verdict(
    mixed: PlantedRun,
    mixed_layer: Layer,
    mixed_banks: Banks,
    drawn: SetIouIntervals,
    tested: PairedTest,
) -> None:
    expected: list[dict[str, Any]] = []
    for c, name in enumerate(SEGMENTED):
        ws = [mixed_banks[seed][name] for seed in (3, 4)]
        scores = [mixed_layer.set_iou(name, w) for w in ws]
        best = mixed_layer.best_filter(name)
        single = mixed_layer.filter_iou(name, best) if best >= 0 else np.nan
        expected.append(
            {
                "name": name,
                "category": CATEGORIES[name],
                "n": len(mixed_layer.images(name, train=False)),
                "multi": scores[0],
                "multi_low": float(drawn.multi.low[c]),
                "multi_high": float(drawn.multi.high[c]),
                "single": single,
                "single_low": float(drawn.single.low[c]),
                "single_high": float(drawn.single.high[c]),
                "gain": scores[0] - single,
                "gain_low": float(drawn.gain.low[c]),
                "gain_high": float(drawn.gain.high[c]),
                "p": float(tested.p[c]),
                "p_holm": float(tested.p_holm[c]),
                "p_fdr": float(tested.p_fdr[c]),
                "verdict": tested.verdict[c],
                "std_over_seeds": float(np.std(scores, ddof=1)),
                "cosine_over_seeds": float(
                    ws[0] @ ws[1] / np.linalg.norm(ws[0]) / np.linalg.norm(ws[1])
                ),
            }
        )
    check_table(mixed.table("analysis/intervals"), expected, within=1e-6)
    assert any(float(row["std_over_seeds"]) > 0.1 for row in expected)
    assert {row["verdict"] for row in expected} == {
        *("combination", "single filter", "fewer than 6 groups", "no single filter"),
    }


def test_verdicts_follow_the_corrected_p_values_and_the_sign_of_the_gain(mixed: PlantedRun) -> None:
    for row in mixed.table("analysis/intervals"):
        if row["verdict"] == "no single filter":
            assert row["name"] == "grey-c"
            assert row["gain"] == row["p_fdr"] == "nan"
        elif row["verdict"] == "fewer than 6 groups":
            assert (row["name"], row["n"], row["p_fdr"]) == ("fin", "2", "nan")
        else:
            sides = "combination" if float(row["gain"]) > 0 else "single filter"
            assert row["verdict"] == (sides if float(row["p_fdr"]) <= 0.05 else "undecided")
            assert float(row["p"]) <= float(row["p_fdr"]) <= float(row["p_holm"])


def test_every_category_has_its_mean_gain_and_its_wins(
    mixed: PlantedRun, drawn: SetIouIntervals, tested: PairedTest
) -> None:
    expected = []
    for category in ("object", "part", "color", "all"):
        among = np.array([category in (CATEGORIES[name], "all") for name in SEGMENTED])
        scored = among & np.isfinite(drawn.gain.value)
        means = drawn.means(among)
        row: dict[str, object] = {"category": category, "n_concepts": int(scored.sum())}
        for name, values, interval in (
            ("multi", drawn.multi.value, means.multi),
            ("single", drawn.single.value, means.single),
            ("gain", drawn.gain.value, means.gain),
        ):
            row[name] = float(values[scored].mean())
            row[f"{name}_low"], row[f"{name}_high"] = float(interval.low), float(interval.high)
        row["won"] = int((drawn.gain.value[scored] > 0).sum())
        verdicts = [v for v, mine in zip(tested.verdict, among, strict=True) if mine]
        row["multi_better"] = len([v for v in verdicts if v == "combination"])
        row["single_better"] = len([v for v in verdicts if v == "single filter"])
        expected.append(row)
    check_table(mixed.table("analysis/gains"), expected)
    assert [row["multi_better"] for row in expected] == [2, 0, 1, 3]
    assert [row["single_better"] for row in expected] == [1, 1, 0, 2]


def triple(values: list[str], pattern: str) -> str:
    """Write value, low and high as findings do."""
    value, low, high = (pattern.format(float(v)) for v in values)
    return f"{value} [{low}, {high}]"


def test_what_is_said_of_gains_are_the_means_over_all(mixed: PlantedRun) -> None:
    row = mixed.table("analysis/gains")[-1]
    said = {}
    for name in ("multi", "single", "gain"):
        values = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
        said[name] = triple(values, "{:.3f}")
    expected = [
        {
            "question": "Are combinations of filters needed?",
            "measure": "mean gain in val set IoU",
            "value": float(row["gain"]),
            "low": float(row["gain_low"]),
            "high": float(row["gain_high"]),
            "n": 6,
            "statement": f"Combinations score {said['multi']} in mean val set IoU, the best "
            f"single filters, at the common threshold (tau = 0.5), {said['single']}: a gain of "
            f"{said['gain']} over 6 concepts (95 % intervals over images).",
        },
        {
            "question": "Are combinations of filters needed?",
            "measure": "concepts with a higher score by the combination",
            "value": 3.0,  # dog, ball and red-c
            "low": np.nan,
            "high": np.nan,
            "n": 6,
            "statement": "The combination scores higher for 3 of 6 concepts. By a paired test "
            "corrected for their number (false discovery rate 5 %) the combination is better for "
            "3 and the single filter for 2; the others are undecided.",
        },
    ]
    check_table(mixed.table("findings")[:2], expected)


def test_the_planted_gains_are_said_as_they_are(run: PlantedRun) -> None:
    rows = {row["category"]: row for row in run.table("analysis/gains")}
    # Several minus one: ball 0, cup 3/4, dog 2/3; ear -1/2, fin 0; red 0.
    for category, gains in (
        ("object", [0, 3 / 4, 2 / 3]),
        ("part", [-1 / 2, 0]),
        ("color", [0]),
        ("all", [0, 3 / 4, 2 / 3, -1 / 2, 0, 0]),
    ):
        row = rows[category]
        assert int(row["n_concepts"]) == len(gains)
        assert float(row["gain"]) == pytest.approx(np.mean(gains))
        assert int(row["won"]) == (np.array(gains) > 0).sum()
    won = run.finding("concepts with a higher score by the combination")
    assert float(won["value"]) == 2
    verdict = "the combination is better for 2 and the single filter for 1; the others are"
    assert verdict in won["statement"]


def test_the_figure_shows_both_scores_of_each_concept_the_largest_gain_on_top(
    mixed: PlantedRun,
) -> None:
    figure = kept_figure(mixed.folder, "intervals")
    (axes,) = figure.axes
    rows = {row["name"]: row for row in mixed.table("analysis/intervals")}
    scored = [name for name in SEGMENTED if name != "grey-c"]
    order = sorted(scored, key=lambda name: float(rows[name]["gain"]))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == order
    assert axes.get_title(loc="left") == "All 6 concepts; 1 not scored"
    assert axes.get_xlabel() == "set IoU on val"
    labels = {"combination": ("multi", MULTI), "best single filter": ("single", SINGLE)}
    drawn = {c.get_label(): c for c in axes.containers}
    assert list(drawn) == list(labels)
    for label, (column, colour) in labels.items():
        points, _, (bars,) = drawn[label]
        assert points.get_color() == colour
        assert points.get_xdata() == pytest.approx([float(rows[n][column]) for n in order])
        reach = [(s[0][0], s[1][0]) for s in bars.get_segments()]
        for name, (low, high) in zip(order, reach, strict=True):
            value = float(rows[name][column])
            assert low == pytest.approx(min(value, float(rows[name][f"{column}_low"])))
            assert high == pytest.approx(max(value, float(rows[name][f"{column}_high"])))
    above = np.asarray(drawn["combination"][0].get_ydata())
    assert all(lower < upper for lower, upper in pairwise(above))
