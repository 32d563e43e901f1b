"""Who shares filters with whom: tables, figures and findings, counted once more."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from support.axes import heights, lines
from support.kept_figures import kept_figure
from support.planted_run import CONCEPTS, FILTERS
from support.planted_variants import NETWORK, FaintLayer
from support.relearned import SEGMENTED, Floats, Layer, learn_all
from support.tables import check_table

from net2vec_pl.analysis.overlap import Overlap, overlap
from net2vec_pl.figures.style import CHANCE, MULTI, SINGLE
from proofs.conftest import FEW, Make, PlantedRun

SEED, RANDOM_BANKS = 3, 200  # of the run; a tenth of its permutations are banks
QUESTION = "Are filters shared between concepts?"
CATEGORIES = [CONCEPTS[name][1] for name in SEGMENTED]
LARGEST = 10
Banks = dict[int, dict[str, Floats]]


@pytest.fixture(scope="module")
def best(mixed_layer: Layer) -> dict[str, int]:
    """The best filter of every concept."""
    return {name: mixed_layer.best_filter(name) for name in SEGMENTED}


@pytest.fixture(scope="module")
def sets(mixed_banks: Banks) -> dict[str, set[int]]:
    """The ten filters of largest weight of every concept."""
    return {
        name: set(np.argsort(-np.abs(w), kind="stable")[:LARGEST].tolist())
        for name, w in mixed_banks[SEED].items()
    }


@pytest.fixture(scope="module")
def common(sets: dict[str, set[int]]) -> Overlap:
    """The same against random choices."""
    chosen = np.array([[k in sets[name] for k in range(FILTERS)] for name in SEGMENTED])
    return overlap(chosen, RANDOM_BANKS)


def choosers(best: dict[str, int]) -> dict[int, list[str]]:
    """Return the concepts that have chosen each filter, of those that any has."""
    return {
        k: [name for name in SEGMENTED if best[name] == k]
        for k in range(FILTERS)
        if k in best.values()
    }


def test_every_chosen_filter_names_its_concepts(mixed: PlantedRun, best: dict[str, int]) -> None:
    expected = [
        {"filter": k, "n_concepts": len(names), "concepts": "; ".join(names)}
        for k, names in choosers(best).items()
    ]
    check_table(mixed.table("analysis/shared_filters"), expected)
    assert {"ball; red-c"} <= {row["concepts"] for row in expected}


def test_it_is_said_how_many_filters_concepts_choose(
    mixed: PlantedRun, best: dict[str, int]
) -> None:
    chosen = [len(names) for names in choosers(best).values()]
    several = len([n for n in chosen if n > 1])
    drawn = np.random.default_rng(0).integers(FILTERS, size=(100_000, sum(chosen)))
    often = [(drawn == k).sum(1) for k in range(FILTERS)]
    any_one, some = (np.mean(sum((n >= least).astype(int) for n in often)) for least in (1, 2))
    expected = {
        "question": QUESTION,
        "measure": "share of chosen filters that several concepts choose",
        "value": several / len(chosen),
        "low": np.nan,
        "high": np.nan,
        "n": 7,
        "statement": f"{sum(chosen)} concepts choose {len(chosen)} of 16 filters as their best "
        f"single one; {several} of these are the best one of several concepts, {max(chosen)} at "
        f"most. Independent choices among equally likely filters would make it {some:.1f} of "
        f"{any_one:.1f}.",
    }
    check_table([mixed.finding(str(expected["measure"]))], [expected])
    assert (sum(chosen), len(chosen), several, max(chosen)) == (6, 5, 1, 2)


def test_the_figure_counts_filters_by_how_many_concepts_chose_them(
    mixed: PlantedRun, best: dict[str, int]
) -> None:
    (axes,) = kept_figure(mixed.folder, "concepts_per_filter").axes
    chosen = [len(names) for names in choosers(best).values()]
    bins = ["0", "1", "2–5", "6–9", "10–14", "15–19", "20+"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == bins
    shares = [FILTERS - len(chosen), chosen.count(1), chosen.count(2), 0, 0, 0, 0]
    assert heights(axes) == pytest.approx([n / FILTERS for n in shares])
    assert [c.get_label() for c in axes.containers] == ["mixed"]
    assert axes.get_ylabel() == "share of filters"


def test_every_concept_uses_as_many_filters_as_its_weights_say(
    mixed: PlantedRun, mixed_banks: Banks, sets: dict[str, set[int]]
) -> None:
    expected = []
    for c, name in enumerate(SEGMENTED):
        w = mixed_banks[SEED][name]
        size = np.sort(np.abs(w))[::-1]
        for_mass = next(n for n in range(1, 17) if size[:n].sum() >= 0.8 * size.sum())
        shared = [len(sets[name] & sets[other]) for other in SEGMENTED if other != name]
        expected.append(
            {
                "name": name,
                "category": CATEGORIES[c],
                "participation_ratio": float((w**2).sum() ** 2 / (w**4).sum()),
                "filters_for_80_percent": float(for_mass),
                "weight_std": float(w.std()),
                "mean_shared": float(np.mean(shared)),
                "most_shared": float(max(shared)),
            }
        )
    check_table(mixed.table("analysis/filters_per_concept"), expected, within=1e-5)


def test_pairs_of_concepts_come_in_falling_order_of_what_they_share(
    mixed: PlantedRun, sets: dict[str, set[int]], common: Overlap
) -> None:
    rows: list[dict[str, Any]] = []
    for (i, one), (j, other) in combinations(enumerate(SEGMENTED), 2):
        rows.append(
            {
                "concept": one,
                "other": other,
                "shared": len(sets[one] & sets[other]),
                "expected": shared_on_average(sets),
                "p": float(common.p[i, j]),
                "p_fdr": float(common.p_fdr[i, j]),
            }
        )
    rows.sort(key=lambda row: -int(row["shared"]))  # of equals the first stays first
    check_table(mixed.table("analysis/filter_overlap"), rows)


def shared_on_average(sets: dict[str, set[int]]) -> float:
    return float(np.mean([len(sets[a] & sets[b]) for a, b in combinations(SEGMENTED, 2)]))


def test_the_mean_overlap_is_said_beside_that_of_equally_likely_filters(
    mixed: PlantedRun, sets: dict[str, set[int]]
) -> None:
    mean = shared_on_average(sets)
    expected = {
        "question": QUESTION,
        "measure": "mean overlap of the 10 largest weights",
        "value": mean,
        "low": np.nan,  # of seven concepts
        "high": np.nan,
        "n": 7,
        "statement": f"Among their 10 filters of largest weight two concepts have {mean:.2f} in "
        "common on average; if every filter were as likely, 6.25. That says only that some "
        "filters have large weights for many concepts.",
    }
    check_table([mixed.finding(str(expected["measure"]))], [expected])


def test_it_is_said_how_many_pairs_share_more_than_popularity_gives(
    mixed: PlantedRun, sets: dict[str, set[int]], common: Overlap
) -> None:
    rows = mixed.table("analysis/filter_overlap")
    found = len([row for row in rows if float(row["p_fdr"]) <= 0.05])
    variance = np.var([len(sets[a] & sets[b]) for a, b in combinations(SEGMENTED, 2)])
    assert common.p_variance > 1 / (1 + RANDOM_BANKS)
    expected = {
        "question": QUESTION,
        "measure": "pairs of concepts that share more filters than popularity gives",
        "value": float(found),
        "low": np.nan,
        "high": np.nan,
        "n": 7,
        "statement": f"Given how many concepts have each filter, {found} of {len(rows)} pairs "
        "share more than chance gives (at a false discovery rate of 5% over all pairs). Their "
        f"numbers of filters in common have a variance of {variance:.2f}, by chance "
        f"{common.random_variance:.2f} (p = {common.p_variance:.2g}).",
    }
    check_table([mixed.finding(str(expected["measure"]))], [expected])


def test_the_figure_shows_how_many_pairs_share_how_much_beside_chance(
    mixed: PlantedRun, sets: dict[str, set[int]], common: Overlap
) -> None:
    (axes,) = kept_figure(mixed.folder, "filter_overlap").axes
    pairs = [len(sets[a] & sets[b]) for a, b in combinations(SEGMENTED, 2)]
    shares = [pairs.count(n) / len(pairs) for n in range(LARGEST + 1)]
    assert heights(axes) == pytest.approx(shares)
    assert {bar.get_facecolor() for bar in axes.patches} == {_rgba(MULTI)}
    ((_, line),) = lines(axes).items()
    possible = [n for n in range(LARGEST + 1) if common.chance[n] > 0]
    assert line.x == possible
    assert line.y == pytest.approx([common.chance[n] for n in possible])
    assert line.colour == CHANCE
    legend = axes.get_legend()
    assert legend is not None
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {
        f"concepts, mean {np.mean(pairs):.2f}",
        "chance, given the filters' popularity",
    }


def _rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)


def detected(layer: Layer, w: dict[str, Floats]) -> dict[str, list[str]]:
    """Return the concepts that a single filter detects, and those that a combination does."""
    by_single = []
    for name in SEGMENTED:
        filters = [k for k in range(FILTERS) if layer.best_concept(k) == name]
        if filters:  # the best on train, whatever it does on val
            best = max(filters, key=lambda k: layer.filter_iou(name, k, train=True))
            if layer.filter_iou(name, best) >= 0.04:
                by_single.append(name)
    multi = [name for name in SEGMENTED if layer.set_iou(name, w[name]) >= 0.04]
    return {"by_single": by_single, "by_multi": multi}


def check_detectors(run: PlantedRun, found: dict[str, list[str]]) -> None:
    """Compare a run's detectors with the concepts that are detected."""
    expected = [
        {
            "category": category,
            **{
                by: len([n for n in names if category in (CONCEPTS[n][1], "all")])
                for by, names in found.items()
            },
        }
        for category in ("object", "part", "color", "all")
    ]
    check_table(run.table("analysis/detectors"), expected)
    one, several = (len(names) for names in found.values())
    finding = {
        "question": QUESTION,
        "measure": "unique detectors",
        "value": float(several),
        "low": np.nan,
        "high": np.nan,
        "n": 7,
        "statement": f"{one} concepts have a filter that detects them (each filter for its best "
        "concept, of a concept's filters the best on train); combinations detect "
        f"{several}. Both need a val set IoU of at least 0.04.",
    }
    check_table([run.finding("unique detectors")], [finding])


def test_detectors_are_counted_by_category(
    mixed: PlantedRun, mixed_layer: Layer, mixed_banks: Banks
) -> None:
    check_detectors(mixed, detected(mixed_layer, mixed_banks[SEED]))


def test_the_planted_detectors_are_those_that_were_planted(run: PlantedRun) -> None:
    # Ball takes filter 0 from red, so that no filter is left to detect that; nothing sees grey.
    by_single = ["ball", "cup", "dog", "ear", "fin"]
    check_detectors(run, {"by_single": by_single, "by_multi": [*by_single, "red-c"]})


def test_what_is_detected_on_train_alone_is_not_detected(make_run: Make) -> None:
    # Without filter 5 no filter sees an ear of a val image, and filter 10 sees half of the others.
    narrow = make_run(
        "narrow",
        NETWORK,
        "layer=narrow",
        "report=false",
        "analysis.names=[sharing]",
        *FEW,
    )
    ear = narrow.concepts()["ear"]
    assert [float(ear[f"{by}_train"]) for by in ("single", "multi")] == [1 / 2, 1 / 2]
    assert [float(ear[f"{by}_val"]) for by in ("single", "multi")] == [0, 0]
    by_single = ["ball", "cup", "dog", "fin"]
    check_detectors(narrow, {"by_single": by_single, "by_multi": [*by_single, "red-c"]})
    # No single filter is better than the combination, so that there is nothing to say of failures.
    assert failing(narrow.table("analysis/failures"))[0] == []
    assert "below the best single filter" not in narrow.console


def test_one_bar_holds_for_filters_and_combinations(make_run: Make) -> None:
    run = make_run(
        "faint",
        NETWORK,
        "layer=faint",
        "seed=3",
        "protocol.epochs=4",
        "report=false",
        "analysis.names=[sharing]",
        *FEW,
    )
    layer = FaintLayer(run.drawn, "faint", epochs=4)
    w = {name: epochs[-1] for name, epochs in learn_all(layer, 3).items()}
    assert layer.filter_iou("cup", 1) == 1 / 6
    assert 0.04 < layer.set_iou("cup", w["cup"]) < 0.2  # the paper's bar for combinations
    found = detected(layer, w)
    assert found["by_single"] == ["ball", "cup", "dog", "ear", "fin"]
    assert found["by_multi"] == ["ball", "cup", "dog", "ear", "fin", "red-c"]
    check_detectors(run, found)


def failing(rows: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return the concepts whose combination is below the single filter, and the others scored."""
    gains = {row["name"]: float(row["gain"]) for row in rows}
    scored = [name for name in SEGMENTED if np.isfinite(gains[name])]
    return [n for n in scored if gains[n] < 0], [n for n in scored if gains[n] >= 0]


def test_failures_are_listed_with_their_images_and_their_size(
    mixed: PlantedRun, mixed_layer: Layer, mixed_banks: Banks, best: dict[str, int]
) -> None:
    expected = []
    for c, name in enumerate(SEGMENTED):
        several = mixed_layer.set_iou(name, mixed_banks[SEED][name])
        single = mixed_layer.filter_iou(name, best[name]) if best[name] >= 0 else np.nan
        images = mixed_layer.images(name, train=True)
        expected.append(
            {
                "name": name,
                "category": CATEGORIES[c],
                "n_train": len(images),
                "size": float(mixed_layer.mask(name)[images].mean()),
                "gain": several - single,
                "multi_below_single": several < single,
                "gain_calibrated": np.nan,
                "status": "no score to compare" if name == "grey-c" else "ok",
            }
        )
    check_table(mixed.table("analysis/failures"), expected)
    assert failing(mixed.table("analysis/failures"))[0] == ["cup", "ear"]


@pytest.mark.parametrize("which", ["mixed", "run"])
def test_failures_are_named_with_their_images_and_their_size(
    request: pytest.FixtureRequest, which: str
) -> None:
    found = request.getfixturevalue(which)
    rows = found.concepts("analysis/failures")
    failed, _ = failing(found.table("analysis/failures"))
    failed.sort(key=lambda name: float(rows[name]["gain"]))
    named = ", ".join(
        f"{n} ({rows[n]['n_train']} train images, {float(rows[n]['size']):.1%} of a picture)"
        for n in failed
    )
    expected = {
        "question": "Where do combinations fail?",
        "measure": "concepts with the combination below the single filter",
        "value": float(len(failed)),
        "low": np.nan,
        "high": np.nan,
        "n": 6,
        "statement": "The combination scores below the best single filter, both at the protocol's "
        f"thresholds, for {len(failed)} of 6 concepts: {named}.",
    }
    check_table([found.finding(str(expected["measure"]))], [expected])


def test_the_figure_sets_gains_against_train_images(mixed: PlantedRun) -> None:
    figure = kept_figure(mixed.folder, "failures")
    (axes,) = figure.axes
    rows = mixed.concepts("analysis/failures")
    failed, others = failing(mixed.table("analysis/failures"))
    for points, names, label, colour in zip(
        axes.collections,
        (others, failed),
        ("combination at least as good (4)", "single better (2)"),
        (MULTI, SINGLE),
        strict=True,
    ):
        at = [[float(rows[n]["n_train"]), float(rows[n]["gain"])] for n in names]
        assert np.asarray(points.get_offsets()) == pytest.approx(np.array(at))
        sizes = [500 * float(rows[n]["size"]) for n in names]
        assert points.get_sizes() == pytest.approx(sizes)  # type: ignore[attr-defined]
        assert points.get_label() == label
        assert np.asarray(points.get_facecolor())[0, :3] == pytest.approx(_rgba(colour)[:3])
    assert axes.get_title(loc="left") == "area: mean share of a picture; 1 not scored"
    assert axes.get_ylabel() == "gain in set IoU on val"
