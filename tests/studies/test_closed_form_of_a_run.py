"""The question that asks sums alone, in runs: its tables, recounted, and what is planted."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import QUICK, by_name, read_table, run_cli, without
from support.planted_run import FILTERS, OPTIONS, write_world
from support.planted_sums import SHRINKAGE, World

from net2vec_pl.records import read_csv, write_csv
from net2vec_pl.records.sums import (
    ClosedFormCurveRow,
    ClosedFormNeededRow,
    DirectionSpreadRow,
    LearningRow,
    PartialRow,
    RandomDirectionRow,
    SelectivityRow,
)

TABLES = {
    "closed_form_curves": ClosedFormCurveRow,
    "closed_form_needed": ClosedFormNeededRow,
    "learning_curve": LearningRow,
    "direction_spread": DirectionSpreadRow,
    "random_directions": RandomDirectionRow,
    "partial": PartialRow,
    "selectivity": SelectivityRow,
}
ASKED = [
    *without(QUICK, "analysis", "beside"),
    "analysis.names=[closed_form]",
    "beside=[lda]",
]
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def of_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on drawn pictures."""
    folder = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *ASKED, "run.dir=out") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the planted world, where a dog is the OR of three filters."""
    folder = tmp_path_factory.mktemp("planted")
    write_world(folder)
    options = [*OPTIONS, "layer=early", "protocol.epochs=1", "analysis.sizes=[1,2,3,4]"]
    kept = without(ASKED, "data", "trainer", "loader", "callbacks", "protocol.epochs")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *options, *kept, "run.dir=out") == 0
    return folder / "out"


def table(run: Path, name: str) -> list[Any]:
    return read_csv(TABLES[name], run / "analysis" / f"{name}.csv")


def findings(run: Path) -> dict[str, dict[str, str]]:
    return {row["measure"]: row for row in read_table(run / "findings.csv")}


# -------------------- drawn pictures


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_every_concept_and_is_read_back(
    name: str, of_shapes: Path, tmp_path: Path
) -> None:
    rows = table(of_shapes, name)
    concepts = by_name(of_shapes / "probes.csv")
    assert {row.name for row in rows} == set(concepts)
    write_csv(rows, tmp_path / "again.csv")
    written = of_shapes / "analysis" / f"{name}.csv"
    assert (tmp_path / "again.csv").read_bytes() == written.read_bytes()


def test_all_filters_and_all_images_are_lda_itself(of_shapes: Path) -> None:
    probes = read_table(of_shapes / "probes.csv")
    val = {row["name"]: float(row["val"]) for row in probes if row["probe"] == "lda"}
    curves, learned = table(of_shapes, "closed_form_curves"), table(of_shapes, "learning_curve")
    most = max(row.filters for row in curves)
    assert most == 128
    for row in curves:
        if row.filters == most:
            assert row.largest == row.forward == pytest.approx(val[row.name], abs=2e-3)
    for row in learned:
        if row.share == 1:
            assert row.choices == 1
            assert math.isnan(row.spread)
            assert row.val == pytest.approx(val[row.name], abs=2e-3)
        else:
            assert row.choices == 5


def test_filters_needed_are_read_off_the_curves(of_shapes: Path) -> None:
    curves = table(of_shapes, "closed_form_curves")
    levels: dict[str, float] = {}
    for row in read_table(of_shapes / "probes.csv"):
        if row["probe"] in ("everything", "position", "random direction"):
            levels[row["name"]] = max(levels.get(row["name"], 0.0), float(row["val"]))
    for row in table(of_shapes, "closed_form_needed"):
        mine = sorted((r for r in curves if r.name == row.name), key=lambda r: r.filters)
        level = levels[row.name]
        assert row.level == pytest.approx(level)
        assert row.full == mine[-1].forward
        assert (row.status == "ok") == (row.full > level)
        for kind in ("largest", "forward"):
            for share, needed in getattr(row, kind).items():
                goal = level + float(share[:-1]) / 100 * (row.full - level)
                enough = [r.filters for r in mine if getattr(r, kind) >= goal - 1e-12]
                assert needed == enough[0] if row.status == "ok" else math.isnan(needed)


def test_findings_say_what_the_tables_have(of_shapes: Path) -> None:
    found = findings(of_shapes)
    rows = [r for r in table(of_shapes, "closed_form_needed") if r.status == "ok"]
    median = found["median filters for 80% of the gain, LDA by forward selection"]
    assert float(median["value"]) == np.median([r.forward["80%"] for r in rows])
    assert int(median["n"]) == len(rows)
    assert f"or {np.median([r.largest['80%'] for r in rows]):.0f} (" in median["statement"]
    spread = table(of_shapes, "direction_spread")
    cosine = found["mean cosine between LDA from two sets of train images of this size"]
    assert float(cosine["value"]) == pytest.approx(np.nanmean([r.cosine for r in spread]))
    sure = [r.lead.low > 0 for r in spread if math.isfinite(r.lead.low)]
    assert f"For {sum(sure)} of {len(sure)} concepts the nearest" in cosine["statement"]
    directions = table(of_shapes, "random_directions")
    gain = found["mean set IoU of the best filter less that of the best rotated direction"]
    differences = [r.single - r.rotated for r in directions if r.status == "ok"]
    assert float(gain["value"]) == pytest.approx(np.nanmean(differences))
    assert "mean over 20 rotations" in gain["statement"]
    assert all(
        row["statement"] in (of_shapes / "findings.md").read_text() for row in found.values()
    )


def test_figures_are_left(of_shapes: Path) -> None:
    names = {path.name for path in (of_shapes / "figures").iterdir()}
    assert {"closed_form_curves.png", "learning_curve.png", "partial.png"} <= names


@pytest.mark.parametrize(
    ("options", "tables"),
    [
        (["beside=[]"], set()),
        (["beside=[]", "protocol=lda"], set(TABLES)),
        (["data.names=[sky]"], set(TABLES)),
        (["target=classification"], set()),
    ],
)
def test_runs_with_less_say_so(
    options: list[str], tables: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *ASKED, *options, "run.dir=out") == 0
    out = tmp_path / "out"
    assert {path.stem for path in out.glob("analysis/*.csv")} == tables
    if not tables:
        assert "analysis closed_form is left out" in (out / "train.log").read_text()
    elif "beside=[]" in options:
        statuses = {row.status for row in table(out, "closed_form_needed")}
        assert "ok" in statuses
        assert statuses <= {"ok", "not above its reference level"}
        said = findings(out)["median filters for 80% of the gain, LDA by forward selection"]
        assert "gains over a mask of every pixel" in said["statement"]
    else:
        (row,) = table(out, "direction_spread")
        assert row.status == "no other concept has a direction"
        assert (row.neighbour, row.following) == ("", "")
        assert 0 < row.cosine < 1
        assert math.isnan(row.lead.value)


def test_a_resumed_run_solves_and_scores_nothing_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, of_shapes: Path
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("stopped here")

    asked, module = [*ASKED, "run.dir=out"], "net2vec_pl.studies.closed_form"
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.random_directions", refuse)
        with pytest.raises(RuntimeError, match="stopped here"):
            run_cli(patch, tmp_path, *asked)
    for name in ("calibrated_biases", "val_set_iou", "forward_order", "nested_weights"):
        monkeypatch.setattr(f"{module}.{name}", refuse)
    assert run_cli(monkeypatch, tmp_path, "run.resume=out", "callbacks.progress=false") == 0
    for name in TABLES:
        again = tmp_path / "out" / "analysis" / f"{name}.csv"
        assert again.read_bytes() == (of_shapes / "analysis" / f"{name}.csv").read_bytes()


def test_sizes_above_the_layer_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*ASKED, "analysis.sizes=[1,9999]", "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *asked) == 1
    assert "128 filters, 9999 cannot be kept" in capsys.readouterr().err


# -------------------- the planted world, recounted


@pytest.mark.parametrize("concept", ["ball", "cup", "dog", "ear", "red-c"])
def test_curves_over_filters_are_those_of_a_literal_search(planted: Path, concept: str) -> None:
    world = World(concept)
    covariance, difference, _ = world.sums(world.train)
    pull = SHRINKAGE * np.trace(covariance) / FILTERS * np.eye(FILTERS)
    shrunk = (1 - SHRINKAGE) * covariance + pull
    full = world.lda(world.train)
    forward: list[int] = []
    for row in (r for r in table(planted, "closed_form_curves") if r.name == concept):
        while len(forward) < row.filters:
            reach = {
                k: difference[some] @ np.linalg.solve(shrunk[np.ix_(some, some)], difference[some])
                for k in set(range(FILTERS)) - set(forward)
                for some in [[*forward, k]]
            }
            forward.append(max(reach, key=lambda k: reach[k]))
        largest = np.argsort(-np.abs(full), kind="stable")[: row.filters].tolist()
        for chosen, score in ((largest, row.largest), (forward, row.forward)):
            w = np.zeros(FILTERS)
            block = shrunk[np.ix_(chosen, chosen)]
            w[chosen] = np.linalg.solve(block, difference[chosen])
            assert score == pytest.approx(world.val_iou(w, world.train), abs=1e-3), row.filters


@pytest.mark.parametrize("concept", ["ball", "cup", "dog"])
def test_the_learning_curve_takes_means_covariance_and_thresholds_from_its_folds(
    planted: Path, concept: str
) -> None:
    world, rng = World(concept), np.random.default_rng([0, 2])
    scores: dict[int, list[float]] = {}
    chosen: dict[int, list[Array]] = {20: [np.arange(20)]}
    for size in (1, 2, 4, 8, 16):
        for _ in range(5):
            folds = rng.choice(20, size, replace=False)
            chosen.setdefault(size, []).append(folds)
            images = world.train[np.isin(world.fold, folds)]
            scores.setdefault(size, []).append(world.val_iou(world.lda(images), images))
    scores[20] = [world.val_iou(world.lda(world.train), world.train)]
    rows = {r.folds: r for r in table(planted, "learning_curve") if r.name == concept}
    assert set(rows) == set(scores)
    for size, mine in scores.items():
        assert rows[size].val == pytest.approx(np.mean(mine), abs=0.02)
        shares = [np.isin(world.fold, some).mean() for some in chosen[size]]
        assert rows[size].share == pytest.approx(np.mean(shares))
        has = world.own[world.train]
        own = [has[np.isin(world.fold, some)].sum() for some in chosen[size]]
        assert rows[size].images == pytest.approx(np.mean(own))


def test_directions_are_those_of_solves_without_each_fold(planted: Path) -> None:
    names = [r.name for r in table(planted, "direction_spread")]
    worlds = [World(name) for name in names]
    train, fold = worlds[0].train, worlds[0].fold
    without = np.array([[world.lda(train[fold != f]) for world in worlds] for f in range(20)])
    full = np.array([world.lda(train) for world in worlds])

    def cosines(rows: Array, c: int) -> Array:
        length = np.linalg.norm(rows, axis=1)
        found = rows @ rows[c] / length / length[c]
        found[c] = -2
        return np.asarray(np.nan_to_num(found, nan=-2))

    for c, row in enumerate(table(planted, "direction_spread")):
        unit = without[:, c] / np.linalg.norm(without[:, c], axis=1)[:, None]
        variance = 19 / 20 * ((unit - unit.mean(0)) ** 2).sum()
        assert row.cosine == pytest.approx(max(1 - variance, 0), abs=1e-3)
        near = cosines(full, c)
        first, second = np.argsort(-near, kind="stable")[:2]
        assert (row.neighbour, row.following) == (names[first], names[second])
        assert row.neighbour_cosine.value == pytest.approx(near[first], abs=1e-4)
        lead = near[first] - near[second]
        assert row.lead.value == pytest.approx(lead, abs=1e-4)
        changes = [(r := cosines(w, c))[first] - r[second] - lead for w in without]
        error = (19 / 20 * sum(change**2 for change in changes)) ** 0.5
        has = [worlds[c].own[train[fold == f]].any() for f in range(20)]
        assert row.folds == sum(has)
        assert row.lead.low <= row.lead.value - 2.09 * error + 1e-3  # t of 20 folds, or of fewer


def test_the_best_filter_is_found_and_a_rotation_loses_it(planted: Path) -> None:
    """One filter is exactly ball, so turning the basis can only make it worse."""
    rows = {row.name: row for row in table(planted, "random_directions")}
    assert rows["ball"].filter == 0
    assert rows["ball"].single == 1
    assert rows["ball"].rotated < 1
    assert rows["ball"].random_above == 0
    world, rng = World("ball"), np.random.default_rng([0, 4])
    covariance, difference, _ = world.sums(world.train)
    assert rows["ball"].apart == pytest.approx(difference[0] / covariance[0, 0] ** 0.5, rel=1e-4)
    assert rows["ball"].p > 1 / 21  # some rotated directions, cut well, are ball too
    assert rows["ball"].spread > 0
    for row in rows.values():
        assert row.p == pytest.approx(max(1, round(21 * row.p)) / 21)
    drawn = rng.normal(size=(1000, FILTERS))
    best = []
    for _ in range(20):
        q, r = np.linalg.qr(rng.normal(size=(FILTERS, FILTERS)))
        rotated = q * np.sign(np.diagonal(r))
        apart = np.abs(rotated @ difference) / np.sqrt(((rotated @ covariance) * rotated).sum(1))
        best.append(np.sort(apart)[-2:])  # the second may have the better set IoU
    second, first = np.mean(best, axis=0)
    assert second - 1e-4 <= rows["ball"].rotated_apart <= first + 1e-4
    cup = World("cup")
    covariance, difference, _ = cup.sums(cup.train)
    apart = np.abs(drawn @ difference) / np.sqrt(((drawn @ covariance) * drawn).sum(1))
    assert rows["cup"].random_above == pytest.approx((apart > rows["cup"].apart).mean(), abs=0.002)


def test_a_dog_is_three_filters_up_to_the_printed_sentence(planted: Path) -> None:
    rows = {row.name: row for row in table(planted, "closed_form_needed")}
    assert rows["dog"].full == 1
    assert rows["dog"].forward == {"50%": 2, "80%": 3, "90%": 3}
    assert rows["ball"].forward == {"50%": 1, "80%": 1, "90%": 1}
    ok = [row.forward["80%"] for row in rows.values() if row.status == "ok"]
    found = findings(planted)["median filters for 80% of the gain, LDA by forward selection"]
    said = f"the median over {len(ok)} concepts is {np.median(ok):.0f} ("
    assert said in found["statement"]
    assert rows["cup"].full == 1
    assert rows["cup"].forward["90%"] == 2  # filter 1 or 6
    assert {row.status for row in rows.values()} == {"ok"}
    assert "left out" not in found["statement"]
    assert found["statement"] in (planted / "findings.md").read_text()
