"""What the files of a run folder say of its run."""

import math
from pathlib import Path

import pytest

from net2vec_pl import runs


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_means_leave_out_what_could_not_be_scored(tmp_path: Path) -> None:
    write(tmp_path, "concepts.csv", "name,single_val,multi_val\na,0.1,0.5\nb,nan,nan\nc,,0.25\n")
    assert runs.headline(tmp_path) == pytest.approx({"single_val": 0.1, "multi_val": 0.375})
    assert runs.score(tmp_path) == 0.375


def test_both_targets_are_told_and_segmentation_is_the_score(tmp_path: Path) -> None:
    write(tmp_path, "classification.csv", "name,accuracy\na,0.75\n")
    assert runs.score(tmp_path) == 0.75
    write(tmp_path, "concepts.csv", "name,multi_val\na,0.5\n")
    assert runs.headline(tmp_path) == {"multi_val": 0.5, "accuracy": 0.75}
    assert runs.score(tmp_path) == 0.5


def test_several_layers_are_told_by_their_means(tmp_path: Path) -> None:
    write(tmp_path, "layers.csv", "layer,multi_val\nconv1,0.2\nconv2,0.4\n")
    assert runs.score(tmp_path) == pytest.approx(0.3)
    assert runs.finished(tmp_path)


def test_nothing_scored_is_nan(tmp_path: Path) -> None:
    assert math.isnan(runs.score(tmp_path))
    write(tmp_path, "concepts.csv", "name,multi_val\na,nan\n")
    assert math.isnan(runs.score(tmp_path))


def test_a_run_has_finished_when_its_bank_is_there(tmp_path: Path) -> None:
    assert not runs.finished(tmp_path)
    write(tmp_path, "concepts.csv", "name,multi_val\na,0.5\n")
    assert not runs.finished(tmp_path)
    write(tmp_path, "bank.safetensors", "")
    assert runs.finished(tmp_path)


def test_classifiers_alone_have_finished_when_no_stage_is_left(tmp_path: Path) -> None:
    write(tmp_path, "classification.safetensors", "")
    (tmp_path / "state").mkdir()
    assert not runs.finished(tmp_path)
    (tmp_path / "state").rmdir()
    assert runs.finished(tmp_path)


def test_every_score_that_is_told_is_the_mean_of_its_own_column(tmp_path: Path) -> None:
    write(tmp_path, "concepts.csv", "name,single_val,multi_val,ap_val,multi_train\n"
          "a,0.1,0.5,0.25,1\nb,0.3,0.25,0.75,1\n")  # fmt: skip
    write(tmp_path, "classification.csv",
          "name,best_accuracy,accuracy,auc,top_accuracy,single_val\n"
          "a,0.5,1,0.75,0,9\nb,0.75,0.5,0.5,0,9\n")  # fmt: skip
    means = {"single_val": 0.2, "multi_val": 0.375, "ap_val": 0.5, "best_accuracy": 0.625}
    found = runs.headline(tmp_path)
    assert found == pytest.approx(means | {"accuracy": 0.75, "auc": 0.625})
    assert [*found] == [*means, "accuracy", "auc"]
    write(tmp_path, "layers.csv", "layer,auc,accuracy,multi_val\nconv1,0.5,0.25,\n")
    found = runs.headline(tmp_path)
    assert math.isnan(found.pop("multi_val"))
    assert found == {"accuracy": 0.25, "auc": 0.5}  # of the layers, and of nothing else
    write(tmp_path, "layers.csv", "layer,auc\n")
    assert runs.headline(tmp_path) == {}


def test_a_run_of_several_layers_has_finished_when_their_table_is_there(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    write(tmp_path, "layers.csv", "layer\n")
    assert runs.finished(tmp_path)
