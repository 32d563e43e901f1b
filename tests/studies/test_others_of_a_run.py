"""Partial probes and selectivity of a planted run, recounted position by position."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from support.cli import QUICK, read_table, run_cli, without
from support.planted_run import (
    CONCEPTS,
    FILTERS,
    OPTIONS,
    PlantedImages,
    draw,
    planted_weights,
    write_world,
)
from support.planted_sums import FLOORS, SHRINKAGE, World, iou

from net2vec_pl.analysis.jackknife import LEAST_IMAGES
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.records import read_csv
from net2vec_pl.records.sums import PartialRow, SelectivityRow

Array = np.ndarray[Any, Any]
LIVE = FILTERS - 4  # of 16 filters one is dead and three never fire
TABLES = {"partial": PartialRow, "selectivity": SelectivityRow}
ASKED = [
    *OPTIONS, "layer=early", "analysis.sizes=[1,2,3,4]", "analysis.names=[closed_form]",
    *without(QUICK, "analysis", "beside", "data", "trainer", "loader", "callbacks"),
    "beside=[lda]",
]  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the planted world; what it reads is roots."""
    folder = tmp_path_factory.mktemp("planted")
    write_world(folder)
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *ASKED, "run.dir=out") == 0
    return folder / "out"


def table(run: Path, name: str) -> list[Any]:
    return read_csv(TABLES[name], run / "analysis" / f"{name}.csv")


def findings(run: Path) -> dict[str, dict[str, str]]:
    return {row["measure"]: row for row in read_table(run / "findings.csv")}


def shrunk(world: World) -> Array:
    covariance = world.sums(world.train)[0]
    pull = SHRINKAGE * np.trace(covariance) / FILTERS * np.eye(FILTERS)
    return np.asarray((1 - SHRINKAGE) * covariance + pull)


def unit(w: Array, world: World) -> Array:
    """Scores of a spread of 1, as bins of thresholds expect."""
    spread = np.sqrt(w @ world.sums(world.train)[0] @ w)
    return w / spread if spread > 1e-6 else 0 * w


def test_partial_probes_are_recounted(planted: Path) -> None:
    """Scores of the three most costly others are fitted by hand, and LDA solved on what is left."""
    rows = table(planted, "partial")
    worlds = {row.name: World(row.name) for row in rows}
    names, any_world = [*worlds], next(iter(worlds.values()))
    covariance = shrunk(any_world)
    differences = {name: world.sums(world.train)[1] for name, world in worlds.items()}
    weight = {name: np.linalg.solve(covariance, d) for name, d in differences.items()}
    for row in rows:
        world, own = worlds[row.name], weight[row.name]
        if not own.any():
            assert row.status == "no direction"
            continue
        correlation = {
            name: (w @ covariance @ own) / np.sqrt(w @ covariance @ w * (own @ covariance @ own))
            for name, w in weight.items()
            if name != row.name and w.any()
        }
        ranked = sorted(correlation, key=lambda name: -abs(correlation[name]))
        assert row.other == ranked[0]
        assert row.correlation == pytest.approx(correlation[ranked[0]], abs=1e-4)
        assert row.taken == min(LIVE // 4, len(names) - 1)
        for others, value in (
            (ranked[: row.taken], row.partial.value),
            (ranked[:1], row.without_other.value),
        ):
            out = np.array([weight[name] for name in others])
            fit = np.linalg.lstsq(out @ covariance @ out.T, out @ covariance @ own, rcond=1e-9)[0]
            rest = own - fit @ out
            left = rest @ covariance @ rest / (own @ covariance @ own)
            if len(others) == row.taken:
                assert row.distance_left == pytest.approx(left, abs=1e-4)
            if left > 1e-3:
                expected = world.val_iou(unit(rest, world), world.train)
                assert value == pytest.approx(expected, abs=0.02)
        there = world.own[world.train]
        assert row.other_there == pytest.approx(worlds[row.other].own[world.train][there].mean())


def test_what_is_left_is_of_the_gain_over_the_reference_level(planted: Path) -> None:
    level: dict[str, float] = {}
    for row in read_table(planted / "probes.csv"):
        if row["role"] == "reference":
            level[row["name"]] = max(level.get(row["name"], 0.0), float(row["val"]))
    for row in table(planted, "partial"):
        if row.status != "ok":
            assert np.isnan(row.left.value)
            continue
        gain = row.full.value - level[row.name]
        assert row.left.value == pytest.approx((row.partial.value - level[row.name]) / gain)
        by_one = (row.without_other.value - level[row.name]) / gain
        assert row.left_without_other.value == pytest.approx(by_one)
        assert row.loss.value == pytest.approx(row.full.value - row.partial.value)
        assert np.isnan(row.left.low) or row.n >= LEAST_IMAGES


def test_what_is_seen_only_through_another_concept_has_nothing_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Red is every second line of a ball, seen by filter 0 alone; a dog has filters of its own."""
    drawn, names = draw(), [*CONCEPTS]
    ball, red = drawn.masks[:, names.index("ball")], drawn.masks[:, names.index("red-c")]
    red[:] = ball
    red[:, 1::2] = False
    write_broden(PlantedImages(drawn), tmp_path / "data")
    save_file(planted_weights(), tmp_path / "network.safetensors")
    assert run_cli(monkeypatch, tmp_path, *ASKED, "run.dir=out") == 0
    out = tmp_path / "out"
    rows = {row.name: row for row in table(out, "partial")}
    for name, other in (("red-c", "ball"), ("ball", "red-c")):
        assert rows[name].other == other
        assert rows[name].correlation == pytest.approx(1, abs=1e-6)
        assert rows[name].distance_left == 0
        assert rows[name].left_without_other.value <= 0
    for name in ("cup", "dog", "ear"):
        assert rows[name].left.value == rows[name].left_without_other.value == 1
    one, every = (
        findings(out)[f"median share of the gain over the reference level that {which}"]
        for which in ("one other concept leaves", "all other concepts leave")
    )
    assert "more than half of the gain of 2, first" in one["statement"]
    for words in ("red-c (all with ball)", "ball (all with red-c)"):
        assert words in one["statement"]
    assert "it keeps all in the median" in every["statement"]
    assert float(one["value"]) == float(every["value"]) == 1


def test_selectivity_is_recounted(planted: Path) -> None:
    """Masks go one place on in a random ring; all but the true masks of val is of these."""
    rows, rng = table(planted, "selectivity"), np.random.default_rng(0)
    for row in rows:
        world = World(row.name)
        mine = world.train[world.own[world.train]]
        ring = rng.permutation(len(mine))
        truth = world.truth.copy()
        truth[mine[ring]] = world.truth[mine[np.roll(ring, -1)]]
        flat = world.x[mine]
        inside, outside = (flat[truth[mine] == t].mean(0) for t in (True, False))
        w = unit(np.linalg.solve(shrunk(world), inside - outside), world)
        if truth[mine].all() or not w.any():
            continue
        score = flat @ w - (inside + outside) / 2 @ w
        scores = np.array([iou(score > cut, truth[mine]) for cut in FLOORS])
        cut = FLOORS[int(np.flatnonzero(scores == scores.max())[-1])]
        val = world.x[world.val] @ w - (inside + outside) / 2 @ w
        assert row.shuffled.value == pytest.approx(iou(val > cut, world.truth[world.val]), abs=0.03)
        gain = row.real.value - row.shuffled.value
        assert row.selectivity.value == pytest.approx(gain)
    found = findings(planted)["selectivity of LDA"]
    mean = np.nanmean([row.selectivity.value for row in rows])
    assert float(found["value"]) == pytest.approx(mean)
    assert f"{mean:.3f} [" in found["statement"]


@pytest.mark.parametrize("options", [["cache=none"], ["cache=disk"], ["protocol=lda"]])
def test_masks_are_exchanged_wherever_activations_are(
    options: list[str], planted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_world(tmp_path)
    assert run_cli(monkeypatch, tmp_path, *ASKED, *options, "run.dir=out") == 0
    for one, other in zip(
        table(tmp_path / "out", "selectivity"), table(planted, "selectivity"), strict=True
    ):
        assert one.name == other.name
        assert one.shuffled.value == pytest.approx(other.shuffled.value, abs=1e-3, nan_ok=True)
