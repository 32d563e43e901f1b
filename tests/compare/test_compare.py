"""Runs beside one another: planted differences come out, and nothing is mixed or dropped."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.cli import QUICK, read_table, run_cli
from support.fake_data.runs import Extras, write_run

from net2vec_pl import load_bank
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.report.val_counts import ValCounts

NAMES = [f"concept {i}" for i in range(12)]
LOW = {name: 0.1 + 0.01 * i for i, name in enumerate(NAMES)}
HIGH = {name: value + 0.2 for name, value in LOW.items()}


def compared(
    patch: pytest.MonkeyPatch, folder: Path, runs: str, name: str = "out"
) -> dict[str, list[dict[str, str]]]:
    """Compare runs in a folder, and return the tables by name."""
    assert run_cli(patch, folder, "task=compare", f"runs={runs}", f"run.dir={name}") == 0
    return {p.stem: read_table(p) for p in (folder / name).glob("*.csv")}


def row(rows: list[dict[str, str]], **having: str) -> dict[str, str]:
    (found,) = [r for r in rows if all(r[k] == v for k, v in having.items())]
    return found


def test_a_planted_difference_comes_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", LOW, layer="conv4", extras=Extras(images=12))
    write_run(tmp_path / "runs" / "b", HIGH, layer="conv5", extras=Extras(images=12))
    tables = compared(monkeypatch, tmp_path, "runs")
    pair = row(tables["pairs"], score="multi_val")
    assert (pair["first"], pair["second"], pair["n_concepts"]) == ("conv4", "conv5", "12")
    assert float(pair["difference"]) == pytest.approx(-0.2)
    assert -0.25 < float(pair["low"]) < -0.2 < float(pair["high"]) < -0.15
    assert float(pair["p"]) == 2 / 2**12  # every image says the same
    assert float(pair["first_higher"]) == 0
    whole = row(tables["categories"], setting="conv5", category="all")
    assert float(whole["multi_val"]) == pytest.approx(np.mean(list(HIGH.values())))
    assert whole["interval_over"] == pair["interval_over"] == "images"
    assert (whole["won"], whole["detected_by_multi"]) == ("12", "12")
    assert "differences" not in tables
    assert "left_out" not in tables


def test_layers_stand_in_order_of_depth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for layer in ("conv5", "conv3", "conv4"):
        write_run(tmp_path / "runs" / layer[::-1], LOW, layer=layer)
    for number in (14, 3):
        write_run(tmp_path / "runs" / f"{number}", LOW, layer=f"features.{number}", model="own")
    tables = compared(monkeypatch, tmp_path, "runs")
    settings = list(dict.fromkeys(r["setting"] for r in tables["categories"]))
    assert [s for s in settings if "own" in s] == ["own features.3", "own features.14"]
    assert [s for s in settings if "shapesnet" in s] == [f"shapesnet conv{n}" for n in (3, 4, 5)]


def test_seeds_are_averaged_and_their_spread_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs" / "a", LOW, seed=0)
    write_run(tmp_path / "runs" / "b", HIGH, seed=1)
    tables = compared(monkeypatch, tmp_path, "runs")
    whole = row(tables["categories"], category="all")
    assert (whole["setting"], whole["n_seeds"]) == ("conv5", "2")
    means = [np.mean(list(scores.values())) for scores in (LOW, HIGH)]
    assert float(whole["multi_val"]) == pytest.approx(np.mean(means))
    assert float(whole["multi_val_std"]) == pytest.approx(np.std(means, ddof=1))
    assert [r["entry"] for r in tables["runs"]] == ["conv5 seed 0", "conv5 seed 1"]
    assert "pairs" not in tables
    assert len(tables["embedding_distances"]) == 1


def test_statements_tell_what_is_certain_and_what_seeds_alone_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    near, far = draw.normal(size=(2, 12, 8))
    for seed in (0, 1):
        noise = 0.05 * draw.normal(size=(3, 12, 8))
        weights = dict(
            zip(("conv2", "conv3", "conv5"), noise + np.stack([near, near, far]), strict=True)
        )
        for layer, scores in {"conv2": LOW, "conv3": HIGH, "conv5": HIGH}.items():
            folder = tmp_path / "runs" / f"{layer} {seed}"
            write_run(folder, scores, layer=layer, seed=seed, weight=weights[layer],
                      extras=Extras(images=12))  # fmt: skip
    compared(monkeypatch, tmp_path, "runs")
    told = (tmp_path / "out" / "findings.md").read_text()
    assert "conv3 has the highest mean val set IoU" in told
    assert "its lead over conv5 is not certain" in told
    assert "conv2 and conv3 are most alike" in told
    assert "conv5 are least alike" in told
    assert re.search(r"seeds of one setting correlate by (0\.9\d|1\.00) to", told)


def test_other_data_is_told_and_never_mixed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, digest in (("a", "one"), ("b", "one"), ("c", "two")):
        layer = {"a": "conv4"}.get(name, "conv5")
        write_run(tmp_path / "runs" / name, LOW, layer=layer, digest=digest)
    tables = compared(monkeypatch, tmp_path, "runs")
    assert {r["what"] for r in tables["differences"]} == {"data"}
    assert "never with each other" in capsys.readouterr().out
    groups = {r["setting"]: r["group"] for r in tables["categories"]}
    assert list(groups.values()) == ["made up", "made up", "made up #2"]
    assert {(r["first"], r["second"]) for r in tables["pairs"]} == {tuple(list(groups)[:2])}
    assert {r["group"] for r in tables["embedding_distances"]} == {"made up"}


def test_scores_are_compared_over_the_concepts_that_all_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs" / "a", HIGH, layer="conv4")
    fewer = {name: LOW[name] for name in NAMES[:10]}
    write_run(tmp_path / "runs" / "b", fewer | {NAMES[0]: float("nan")})
    tables = compared(monkeypatch, tmp_path, "runs")
    assert {r["n_concepts"] for r in tables["categories"] if r["category"] == "all"} == {"9"}
    told = row(tables["differences"], value="not by all: concept 0, concept 10, concept 11")
    assert told["n_entries"] == "1"
    assert {r["n_concepts"] for r in tables["embedding_distances"]} == {"10"}
    assert len(tables["concepts_by_entry"]) == 12


def test_an_option_of_the_protocol_that_differs_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs" / "a", LOW)
    write_run(tmp_path / "runs" / "b", HIGH, protocol={"epochs": 7})
    tables = compared(monkeypatch, tmp_path, "runs")
    values = {r["value"]: r["entries"] for r in tables["differences"]}
    assert values == {"30": "epochs=30", "7": "epochs=7"}


def test_runs_that_did_not_finish_are_listed_with_their_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "multirun" / "x"
    write_run(sweep / "good", LOW)
    (sweep / "bad" / ".hydra").mkdir(parents=True)
    (sweep / "begun" / ".hydra").mkdir(parents=True)
    write_run(sweep / "cut", LOW)
    bank = sweep / "cut" / "bank.safetensors"
    bank.write_bytes(bank.read_bytes()[:100])
    write_run(sweep / "torn", LOW)
    (sweep / "torn" / "concepts.csv").write_text("id,name,multi_val\n1,sky\n")
    (sweep / "ledger.csv").write_text(
        "job,state,cause\ngood,finished,\nbad,failed,no such layer\nnever,stopped,killed\n"
    )
    tables = compared(monkeypatch, tmp_path, "multirun")
    reasons = {Path(r["folder"]).name: r["reason"] for r in tables["left_out"]}
    assert reasons["bad"] == "no such layer"
    assert reasons["begun"] == "not finished"
    assert reasons["never"] == "killed"
    assert "cut/bank.safetensors cannot be read" in reasons["cut"]
    assert "torn/concepts.csv is damaged" in reasons["torn"]
    assert len(tables["runs"]) == 1
    assert "no such layer" in capsys.readouterr().out


def test_an_export_of_wandbs_table_joins_the_runs_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_run(tmp_path / "a", LOW)
    (tmp_path / "export.csv").write_text(
        "Name,State,model.name,layer,val/set_iou\nfar,finished,vgg16,conv5_3,0.25\n"
    )
    tables = compared(monkeypatch, tmp_path, "[a,export.csv]")
    far = row(tables["runs"], entry="far")
    assert (far["source"], far["multi_val"]) == ("W&B export export.csv", "0.25")
    assert len({r["setting"] for r in tables["categories"]}) == 1


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("nowhere", "no such file or folder, and no pattern"),
        ("empty", "no finished run is there"),
        ("other.csv", "no export of W&B's table"),
        ("[]", "runs is empty"),
    ],
)
def test_a_mistake_is_one_message(
    runs: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert run_cli(monkeypatch, tmp_path, "task=compare", f"runs={runs}", "run.dir=out") == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr


def test_no_common_concept_is_told_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "a", {"sky": 0.5})
    write_run(tmp_path / "runs" / "b", {"sea": 0.5}, layer="conv4")
    tables = compared(monkeypatch, tmp_path, "runs")
    assert "categories" not in tables
    assert len(tables["runs"]) == 2
    assert "over the 0 that all have" in " ".join(capsys.readouterr().out.split())


def test_real_runs_compare_and_a_comparison_is_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = [a for a in QUICK if a != "analysis=none"]
    several = [*quick, "layer=[conv3,conv5]", "seeds=2", "analysis.names=[intervals]"]
    assert run_cli(monkeypatch, tmp_path, *several, "run.dir=runs/two") == 0
    alone = [*quick, "layer=conv4", "target=both", "analysis.names=[]"]
    assert run_cli(monkeypatch, tmp_path, *alone, "run.dir=runs/one") == 0
    tables = compared(monkeypatch, tmp_path, "runs", "runs/first")
    entries = [r["entry"] for r in tables["runs"]]
    assert entries == ["conv3 seed 0", "conv3 seed 1", "conv4", "conv5 seed 0", "conv5 seed 1"]
    assert len(tables["embedding_distances"]) == 10
    whole = row(tables["categories"], setting="conv4", category="all")
    assert 0 < float(whole["multi_val"]) <= 1
    again = compared(monkeypatch, tmp_path, "runs", "runs/second")
    assert again["categories"] == tables["categories"]
    assert (tmp_path / "runs" / "second" / "figures" / "depth.svg").exists()


def test_real_runs_are_compared_over_their_val_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = [a for a in QUICK if a != "analysis=none"]
    several = [*quick, "layer=[conv4,conv5]", "analysis.names=[intervals]"]
    large = "data.categories=[color,object]"  # small parts have no filter at one of the layers
    assert run_cli(monkeypatch, tmp_path, *several, large, "run.dir=runs/two") == 0
    tables = compared(monkeypatch, tmp_path, "runs")
    gains = read_table(tmp_path / "runs/two/conv5/analysis/gains.csv")
    mine = row(tables["categories"], setting="conv5", category="all")
    theirs = row(gains, category="all")
    assert mine["interval_over"] == "images"
    assert mine["won"] == theirs["won"]
    for name, own in {"multi_val": "multi", "single_val": "single", "gain": "gain"}.items():
        for bound in ("", "_low", "_high"):
            assert float(mine[name + bound]) == pytest.approx(float(theirs[own + bound]), abs=1e-6)
    pair = row(tables["pairs"], score="multi_val")
    assert pair["interval_over"] == "images"
    assert 0 < float(pair["p"]) <= 1
    folders = [tmp_path / "runs" / "two" / layer for layer in ("conv4", "conv5")]
    banks = [load_bank(folder) for folder in folders]
    rows = banks[0].compare(banks[1])
    numbers = [banks[0].file.vocabulary[banks[0].names.index(r.name)].number for r in rows]
    one, two = (ValCounts.load(f / "val_counts.safetensors").pairs(numbers) for f in folders)
    found = SetIouIntervals(replace(one, single=two.multi)).gain
    np.testing.assert_allclose([r.difference.low for r in rows], found.low)
    assert any(np.isfinite(r.p) for r in rows)
    # Without what a run has left it is only described.
    for path in (tmp_path / "runs").rglob("val_counts.safetensors"):
        path.unlink()
    older = compared(monkeypatch, tmp_path, "runs/two", "older")
    assert row(older["pairs"], score="multi_val")["untested"] == "no val_counts.safetensors"
    without = row(older["categories"], setting="conv5", category="all")
    assert (without["multi_val"], without["multi_val_low"]) == (mine["multi_val"], "nan")
