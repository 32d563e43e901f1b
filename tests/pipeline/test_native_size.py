"""``score.mask_size``: the run's probes on masks of another size, and at its own, the run's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import QUICK, read_table, run_cli, without
from support.several import run_forked

import net2vec_pl
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline import native

Rows = list[dict[str, str]]
FEW = [*without(QUICK, "beside"), "data.categories=[color,object]", "protocol.align_corners=false"]
PROBES = ["paper", "paper, calibrated", "mean_difference", "lda", "single filter, calibrated"]
SMALL = {"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 1}


def finished(folder: Path, *options: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *FEW, *options, "run.dir=out") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("same"), "score.mask_size=16")


@pytest.fixture(scope="module")
def finest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = ["score.mask_size=native", "report=true", "analysis=basic"]
    return finished(tmp_path_factory.mktemp("finest"), *report)


def test_at_the_runs_own_size_scores_are_the_runs_own(same: Path) -> None:
    """Every bit of both, where the protocol upsamples as the papers do."""
    rows, probes = read_table(same / "native.csv"), read_table(same / "probes.csv")
    assert list(dict.fromkeys(row["probe"] for row in rows)) == PROBES
    table = {(row["probe"], row["name"]): row for row in probes}
    assert len({row["argmax"] for row in rows}) > 50
    for row in rows:
        own = table[row["probe"], row["name"]]
        assert row["iou"] == own["val"], row
        assert row["argmax"] == own["argmax"], row
        assert row["n_val"] == own["n_val"], row
        assert row["masks"] == "16x16"


def test_aligned_corners_move_the_winner_and_not_binary_masks(tmp_path: Path) -> None:
    out = finished(tmp_path, "score.mask_size=16", "protocol.align_corners=true", "protocol=lda")
    probes = {(row["probe"], row["name"]): row for row in read_table(out / "probes.csv")}
    rows = read_table(out / "native.csv")
    own = [probes[row["probe"], row["name"]] for row in rows]
    assert [row["iou"] for row in rows] == [row["val"] for row in own]
    pairs = [(float(a["argmax"]), float(b["argmax"])) for a, b in zip(rows, own, strict=True)]
    both = np.array([pair for pair in pairs if not np.isnan(pair).any()])
    assert 0 < np.abs(both[:, 0] - both[:, 1]).mean() < 0.1


def test_facts_are_those_of_the_finer_masks(finest: Path) -> None:
    reader = ShapesReader(num_images=60, image_size=32).at_mask_size(None)
    assert reader.mask_size == (64, 64)
    column = [category.name for category in reader.categories]
    masks = {row["name"]: [0, 0, 0] for row in read_table(finest / "native.csv")}
    for number in np.flatnonzero(~reader.is_train):
        sample = reader[int(number)]
        for concept in reader.vocabulary:
            if concept.name in masks:
                pixels = int((sample.label_maps == concept.number).any(0).sum())
                masks[concept.name][0] += pixels > 0
                masks[concept.name][1] += pixels
                known = reader.annotated[number, column.index(concept.category)]
                masks[concept.name][2] += int(known)
    for row in read_table(finest / "native.csv"):
        found = [int(row[name]) for name in ("n_val", "pixels", "n_annotated")]
        assert found == masks[row["name"]], row
        assert row["masks"] == "native"


def test_means_are_told_wherever_others_are(
    finest: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [row for row in read_table(finest / "native.csv") if row["probe"] == "lda"]
    means = {}
    for category in ("color", "object"):
        scores = [float(row["argmax"]) for row in rows if row["category"] == category]
        means[category] = f"{np.nanmean(scores):.3f}"
    iou = np.nanmean([float(row["iou"]) for row in rows])
    card = (finest / "bank.md").read_text()
    said = f"color {means['color']}, object {means['object']}"
    told = f"lda: mean set IoU {iou:.3f}, mIoU by argmax: {said}."
    assert f"On masks of their own size, {told}" in card
    page = (finest / "report.html").read_text()
    assert "mIoU by argmax on masks of their own size, lda" in page
    assert said in page
    findings = (finest / "findings.md").read_text()
    assert "How do the scores compare with published ones?" in findings
    assert f"lda {means['object']}" in findings
    found = [r for r in read_table(finest / "findings.csv") if r["measure"].startswith("mIoU of")]
    assert [row["measure"] for row in found] == ["mIoU of color, paper", "mIoU of object, paper"]
    out = [*FEW, "score.mask_size=[8,24]", "beside=[]"]
    assert run_cli(monkeypatch, tmp_path, *out, "run.dir=out") == 0
    assert "On masks of 8x24: means over concepts, on val" in capsys.readouterr().out
    alone = read_table(tmp_path / "out" / "native.csv")
    assert {row["probe"] for row in alone} == {"paper"}


def test_two_processes_and_small_batches_give_the_same_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = [*FEW, "score.mask_size=native"]
    done = run_forked(tmp_path, 2, *without(options, "trainer"), "protocol=lda")
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(native, "_MOST_PIXELS", 1)
    monkeypatch.setattr("net2vec_pl.training.native._STRIP", {"cpu": 1})
    assert run_cli(monkeypatch, tmp_path, *options, "protocol=lda", "run.dir=one") == 0
    one, both = (read_table(tmp_path / name / "native.csv") for name in ("one", "out"))
    assert len(one) > 50
    assert one == both


def test_a_stopped_run_does_not_score_again(
    finest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.report.tables.write_csv", stop)
        options = [*FEW, "score.mask_size=native", "run.dir=out"]
        assert run_cli(broken, tmp_path, *options) == 130
    monkeypatch.setattr(native, "_counted", stop)
    assert run_cli(monkeypatch, tmp_path, "run.resume=out") == 0
    assert read_table(tmp_path / "out" / "native.csv") == read_table(finest / "native.csv")


def test_without_it_there_is_no_such_table_and_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ShapesReader, "at_mask_size", None)
    monkeypatch.setattr(native, "_counted", None)
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 0
    assert not (tmp_path / "out" / "native.csv").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["score.mask_size=65"], "are drawn in 64x64 dots, so masks of 65x65 cannot be had"),
        (["score.mask_size=0"], "score.mask_size=0 must be native, a side in pixels, [height"),
        (["score.mask_size=[8]"], "score.mask_size=[8] must be native"),
        (["score.mask_size=true"], "score.mask_size=True must be native"),
        (["score.mask_size=full"], "score.mask_size=full must be native"),
        (["score.mask_size=8", "target=classification"], "target=both has them"),
        (["+score.size=8"], "unknown option of score 'size'"),
    ],
)
def test_what_cannot_be_had_is_refused(
    options: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, *options, "run.dir=out") == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("error:") == 1
    assert not (tmp_path / "out" / "state").exists()


class OneSize(ShapesReader):
    """Shapes whose masks are in files of one size."""

    at_mask_size: Callable[..., ShapesReader] = net2vec_pl.data.ConceptReader.at_mask_size  # type: ignore[assignment]


def test_masks_that_exist_at_one_size_are_scored_at_that_alone() -> None:
    data = OneSize(num_images=60, image_size=32)
    common: dict[str, Any] = {"analyses": "none", "data": data, "protocol": "lda"}
    bank = net2vec_pl.learn("shapesnet", beside=(), options={"score.mask_size": 16}, **common)
    found = {row.name: row.iou for row in bank.tables["native"]}
    scores = {row.name: row.multi_val for row in bank.scores if row.name in found}
    assert len(found) > 20
    assert list(found) == list(scores)
    np.testing.assert_array_equal([*found.values()], [*scores.values()])
    with pytest.raises(ConfigError, match="the masks of shapes exist at 16x16 only"):
        net2vec_pl.learn("shapesnet", options={"score.mask_size": "native"}, **common)
