"""What a planted layer knows: reference levels counted by hand, up to the printed sentence."""

import numpy as np
import pytest
from support.planted_run import CONCEPTS

from proofs.conftest import FEW, Make, PlantedRun


@pytest.fixture(scope="session")
def known(make_run: Make) -> PlantedRun:
    """One layer with all that stands beside its probe, and what that is worth."""
    options = ("layer=early", "beside=[lda]", "analysis.names=[worth,sharing]", "report=false")
    return make_run("known", *options, *FEW[:2])


def rows_of(run: PlantedRun, probe: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in run.table("probes") if row["probe"] == probe}


def test_every_pixel_scores_the_share_of_tiles(known: PlantedRun) -> None:
    drawn, names = known.drawn, list(CONCEPTS)
    for name, row in rows_of(known, "everything").items():
        masks = drawn.masks[~drawn.is_train, names.index(name)]
        here = masks.any((1, 2))
        assert float(row["val"]) == pytest.approx(masks[here].mean())
        assert float(row["annotated"]) == pytest.approx(masks.mean())


def test_what_filters_see_is_known_and_what_none_sees_is_not(known: PlantedRun) -> None:
    concepts = known.concepts()
    assert concepts["ball"]["known"] == "yes"  # one filter is exactly it
    assert concepts["cup"]["known"] == "yes"  # two filters together are
    assert concepts["grey-c"]["known"] == "no"  # it lies where no filter fires
    for probe in ("paper", "lda", "single filter, calibrated"):
        assert rows_of(known, probe)["ball"]["known"] == "yes"
    assert rows_of(known, "single filter, calibrated")["grey-c"]["known"] != "yes"
    # A threshold below zero marks all tiles where nothing fires: grey and three others.
    assert float(rows_of(known, "lda")["grey-c"]["val"]) == pytest.approx(1 / 4)
    assert float(rows_of(known, "lda")["cup"]["val"]) == pytest.approx(1, abs=1e-6)
    assert float(rows_of(known, "single filter, calibrated")["cup"]["val"]) < 0.5


def test_a_level_is_the_best_of_three_and_the_gain_is_over_it(known: PlantedRun) -> None:
    levels = [rows_of(known, name) for name in ("everything", "position", "random direction")]
    for name, row in known.concepts().items():
        if row["status"] != "ok":
            continue
        best = max(float(level[name]["val"]) for level in levels)
        assert float(row["reference_val"]) == pytest.approx(best)
        gain = float(row["multi_val"]) - best
        assert float(row["over_reference"]) == pytest.approx(gain)
        assert (row["known"] == "yes") <= (float(row["over_reference_low"]) > 0)


def test_the_printed_sentences_say_what_the_tables_say(known: PlantedRun) -> None:
    count = {
        probe: [name for name, row in rows_of(known, probe).items() if row["known"] == "yes"]
        for probe in dict.fromkeys(row["probe"] for row in known.table("probes"))
    }
    tested = len(rows_of(known, "paper"))
    most = max(count, key=lambda probe: len(count[probe]))
    own = "" if most == "paper" else f", paper {len(count['paper'])}"
    assert f"Concepts known: {most} {len(count[most])} of {tested}{own}." in known.console
    listed = ", ".join(count[most])
    assert f"{most} knows {len(count[most])} of {tested} concepts ({listed}): " in known.console
    finding = known.finding(f"concepts known by {most}")
    assert float(finding["value"]) == len(count[most])
    scores = {name: rows_of(known, name) for name in ("everything", "position")}
    means = {n: np.mean([float(r["val"]) for r in rows.values()]) for n, rows in scores.items()}
    assert f"every pixel {means['everything']:.3f}, a mask of the mean train position " in (
        known.console
    )
    assert f"position {means['position']:.3f}, a random direction " in known.console


def test_what_is_detected_is_above_its_reference_level(known: PlantedRun) -> None:
    concepts = {n: row for n, row in known.concepts().items() if row["status"] == "ok"}
    over = [n for n, row in concepts.items() if float(row["multi_val"]) >= 0.04]
    by_multi = [n for n in over if float(concepts[n]["over_reference"]) > 0]
    every = {row["category"]: row for row in known.table("analysis/detectors")}["all"]
    assert (
        int(every["by_multi"])
        == len(by_multi)
        < len([n for n in concepts if float(rows_of(known, "everything")[n]["val"]) >= 0.04])
    )
    assert (
        f"combinations detect {len(by_multi)}. Both need a val set IoU of at least 0.04, and "
        in (known.console)
    )


def test_failures_are_counted_with_both_thresholds_chosen_on_train(known: PlantedRun) -> None:
    own, single = (rows_of(known, f"{name}, calibrated") for name in ("paper", "single filter"))
    gains = {name: float(own[name]["val"]) - float(single[name]["val"]) for name in own}
    found = {row["name"]: float(row["gain_calibrated"]) for row in known.table("analysis/failures")}
    assert found == pytest.approx(gains, nan_ok=True)
    worse = [name for name, gain in gains.items() if gain < 0]
    compared = [name for name, gain in gains.items() if np.isfinite(gain)]
    statement = known.finding("concepts with the combination below the single filter")["statement"]
    assert statement.endswith(
        f" With thresholds of their own, chosen on train, it does for {len(worse)} of "
        f"{len(compared)}."
    )
