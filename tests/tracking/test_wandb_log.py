"""What is handed to W&B, by a stand-in for its run; ``test_log_files.py`` has true offline runs."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import wandb
from omegaconf import OmegaConf
from PIL import Image
from support.fake_data.runs import Classified, write_run
from support.wandb_runs import without_account

from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline.progress import Progress
from net2vec_pl.tracking import JobLog, TrackingOptions, check_tracking, wandb_log
from net2vec_pl.tracking import job_log as opened

SCORES = {"sky": 0.5, "sea": 0.25}


class Run:
    """A stand-in for a run of W&B."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        self.artifacts: list[tuple[wandb.Artifact, list[str]]] = []
        self.true = MagicMock(spec=wandb.Run)
        self.true.id = "7d"
        self.true.dir = "somewhere/files"
        self.true.summary = {}
        self.true.log.side_effect = self.logged.update
        self.true.log_artifact.side_effect = lambda a, aliases: self.artifacts.append((a, aliases))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    without_account(monkeypatch, tmp_path / "home")
    found = Run()

    def init(**asked: Any) -> Any:
        found.asked = asked
        return found.true

    monkeypatch.setattr(wandb, "init", init)
    return found


CONFIGURATION = {"seed": 3, "protocol": {"lr": 0.5, "classification": {"lr": 0.25}}, "same": 3}


def job_log(folder: Path, name: str = "wandb", mode: str = "offline") -> Any:
    return opened(TrackingOptions(name, "ours", mode), CONFIGURATION, folder)


def meta(layer: str) -> dict[str, Any]:
    return {"deviations": ["lr"], "seeds": 1, "weights_digest": f"of {layer}"}


def two_layers(folder: Path) -> list[Path]:
    """Write a run of two layers; the second classifies too."""
    folder.mkdir()
    classified = Classified({"sky": 0.75, "sea": 0.5}, {"sky": 0.5, "sea": 0.5})
    ap = {"sky": 0.125, "sea": 0.375}
    write_run(folder / "conv4", SCORES, layer="conv4", header=meta("conv4"), ap=ap)
    write_run(
        folder / "conv5",
        {"sky": 1.0},
        layer="conv5",
        header=meta("conv5"),
        classified=classified,
        single=0.2,
    )
    (folder / "layers.csv").write_text(
        "layer,single_val,multi_val,ap_val,accuracy\nconv4,0.1,0.375,0.25,\nconv5,0.2,1.0,1.0,0.625\n"
    )
    (folder / "conv4" / "seeds.csv").write_text('name,seed,cosine\n"a, b",1,0.5\nsea,2,\n')
    (folder / "conv5" / "figures").mkdir()
    Image.new("RGB", (2, 2)).save(folder / "conv5" / "figures" / "space.png")
    (folder / "report.html").write_text("<p>all</p>")
    for name in ("state", "wandb", ".hydra"):
        (folder / name).mkdir()
        (folder / name / "x.yaml").write_text("")
    (folder / "conv4" / "metrics.txt").write_text("")
    return [folder / "conv4", folder / "conv5"]


def test_a_job_of_two_layers_is_logged_whole(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    layers = two_layers(folder)
    wandb_log.WandbLog(run.true, folder).leave(layers)
    assert [*run.logged] == [
        "layers", "report", "conv4/concepts", "conv4/seeds",
        "conv5/concepts", "conv5/classification", "conv5/figures/space",
    ]  # fmt: skip
    assert run.true.summary == pytest.approx({
        "val/single_iou": 0.15, "val/set_iou": 0.6875, "val/ap": 0.625, "val/accuracy": 0.625,
        "conv4/val/single_iou": 0.1, "conv4/val/set_iou": 0.375, "conv4/val/ap": 0.25,
        "conv5/val/single_iou": 0.2, "conv5/val/set_iou": 1.0, "conv5/val/ap": 1.0,
        "conv5/val/best_accuracy": 0.5, "conv5/val/accuracy": 0.625,
        "conv5/val/auc": 0.67,
    })  # fmt: skip
    seeds = run.logged["conv4/seeds"]
    assert seeds.columns == ["name", "seed", "cosine"]
    assert seeds.data == [["a, b", 1.0, 0.5], ["sea", 2.0, None]]
    with (folder / "conv5" / "concepts.csv").open() as file:
        header, row = csv.reader(file)
    assert run.logged["conv5/concepts"].columns == header
    assert run.logged["conv5/concepts"].data[0][1:3] == row[1:3]
    assert isinstance(run.logged["conv5/figures/space"], wandb.Image)
    assert isinstance(run.logged["report"], wandb.Html)


def test_the_artifact_holds_results_under_their_own_names(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    layers = two_layers(folder)
    wandb_log.WandbLog(run.true, folder).leave(layers)
    ((artifact, aliases),) = run.artifacts
    assert aliases == ["latest", "7d"]
    assert (artifact.name, artifact.type) == ("bank-made_up-shapesnet-conv4-conv5", "bank")
    assert {*artifact.manifest.entries} == {
        ".hydra/x.yaml", "layers.csv", "report.html", "conv4/bank.safetensors",
        "conv4/concepts.csv", "conv4/seeds.csv", "conv5/bank.safetensors", "conv5/concepts.csv",
        "conv5/classification.csv", "conv5/classification.safetensors",
    }  # fmt: skip
    told = artifact.metadata
    assert told["layers"] == ["conv4", "conv5"]
    assert told["scores"] == pytest.approx(
        {"val/single_iou": 0.15, "val/set_iou": 0.6875, "val/ap": 0.625, "val/accuracy": 0.625}
    )
    assert (told["weights_digest"], told["tau"], told["seed"]) == ("of conv4", 0.005, 0)
    assert {*told} == {"layers", "scores", "model", "weights_digest", "tau", "protocol",
                       "deviations", "data", "seed", "seeds", "versions"}  # fmt: skip


def test_a_name_that_is_too_long_is_cut(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "out", SCORES, layer="l" * 150, header=meta(""))
    wandb_log.WandbLog(run.true, tmp_path / "out").leave([tmp_path / "out"])
    ((artifact, _),) = run.artifacts
    assert artifact.name == f"bank-made_up-shapesnet-{'l' * 150}"[:128]
    assert [*run.logged] == ["concepts"]  # a run of one layer has no prefix


def test_a_layer_logs_under_its_folder(run: Run, tmp_path: Path) -> None:
    log = wandb_log.WandbLog(run.true, tmp_path)
    assert not log.forks
    for folder, prefix in ((tmp_path, ""), (tmp_path / "conv4", "conv4")):
        logger: Any = log.of_layer(folder, 0)
        assert (logger._prefix, logger.LOGGER_JOIN_CHAR) == (prefix, "/")
        assert logger.experiment is run.true


def test_a_run_is_opened_under_its_folders_name_and_goes_on_there(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for known in (None, "7d"):
        with job_log(tmp_path) as log:
            assert isinstance(log, wandb_log.WandbLog)
        asked = dict(run.asked)
        settings = asked.pop("settings")
        assert (settings.mode, settings.silent) == ("offline", True)
        assert asked.pop("config") == {
            "seed": 3, "protocol.lr": 0.5, "protocol.classification.lr": 0.25, "same": 3,
        }  # fmt: skip
        assert asked == {"project": "ours", "id": known, "name": tmp_path.name, "dir": tmp_path,
                         "resume": "allow"}  # fmt: skip
        assert (tmp_path / "wandb_id").read_text() == "7d"
    assert [call.kwargs for call in run.true.finish.call_args_list] == [{"exit_code": 0}] * 2
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "point")
    monkeypatch.setenv("WANDB_NAME", "mine")
    with job_log(tmp_path):
        pass
    assert (run.asked["project"], run.asked["id"], run.asked["name"]) == (None, None, "mine")


@pytest.mark.parametrize(("fault", "cause"), [(ValueError("no"), "ValueError: no"),
                                              (KeyboardInterrupt(), None)])  # fmt: skip
def test_a_job_that_does_not_end_well_is_closed_as_failed(
    fault: BaseException, cause: str | None, run: Run, tmp_path: Path
) -> None:
    @contextmanager
    def failing() -> Iterator[None]:
        with job_log(tmp_path):
            yield

    with pytest.raises(type(fault)), failing():
        raise fault
    assert run.true.summary.get("failure") == cause
    run.true.finish.assert_called_once_with(exit_code=1)


def test_a_run_that_cannot_be_opened_is_one_message(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_asked: Any) -> None:
        raise wandb.Error("no network")

    monkeypatch.setattr(wandb, "init", refuse)
    told = "W&B could not start a run: no network. logger.mode=offline needs no network."
    with pytest.raises(ConfigError) as raised, job_log(tmp_path):
        pass
    assert str(raised.value) == told


def test_disabled_and_none_log_nothing(run: Run, tmp_path: Path) -> None:
    with job_log(tmp_path, mode="disabled") as log:
        assert type(log) is JobLog
        assert log.of_layer(tmp_path, 0) is False
    assert not run.asked
    check_tracking(TrackingOptions())
    with job_log(tmp_path, "none") as log:
        assert (type(log), log.forks) == (JobLog, True)
    assert not [*tmp_path.rglob("wandb_id")]


def test_a_csv_log_goes_on_behind_the_epochs_that_are_done(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,loss,step\n0,0.5,1\n1,0.25,2\n2,0.125,3\n")
    with job_log(tmp_path, "csv") as log:
        logger: Any = log.of_layer(tmp_path, 2)
        logger.log_metrics({"epoch": 2, "loss": 0.0625}, step=3)
        logger.save()
    assert (tmp_path / "metrics.csv").read_text().split() == [
        "epoch,loss,step", "0,0.5,1", "1,0.25,2", "2,0.0625,3",
    ]  # fmt: skip
    assert OmegaConf.load(tmp_path / "hparams.yaml").same == 3


def test_tensorboard_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with job_log(tmp_path, "tensorboard") as log:
        logger: Any = log.of_layer(tmp_path, 0)
    assert Path(logger.log_dir) == tmp_path / "tensorboard"
    assert dict(logger.hparams) == CONFIGURATION


@pytest.mark.parametrize("enabled", [True, False])
def test_a_bar_names_its_step_on_stderr_where_it_is_asked_for(
    enabled: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert [*Progress(enabled=enabled)("single filters")([1, 2, 3])] == [1, 2, 3]
    out = capsys.readouterr()
    assert out.out == ""
    assert ("single filters            ━" in out.err) == enabled
