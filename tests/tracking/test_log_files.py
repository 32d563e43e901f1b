"""W&B: one run for a job, whatever its layers, processes and starts; it asks for nothing."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from support.cli import QUICK, run_cli
from support.several import JOB, run_in
from support.wandb_runs import OfflineRun, offline_runs, without_account

from net2vec_pl.functional import classifier_scores
from net2vec_pl.probes import BankFile
from net2vec_pl.runs import headline, score
from net2vec_pl.tracking.wandb_log import mode_of

WANDB = [*QUICK, "logger=wandb", "run.dir=out"]


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_account(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a job of two layers, two seeds and two targets."""
    at = tmp_path_factory.mktemp("two")
    much = ["layer=[conv4,conv5]", "seeds=2", "target=both", "callbacks.scores=false"]
    shown = ["analysis.names=[sharing]", "report=true"]
    quick = [option for option in WANDB if option != "report=false"]
    with pytest.MonkeyPatch.context() as patch:
        without_account(patch, at / "home")
        patch.setattr(classifier_scores, "LEAST_OF_A_CLASS", 1)  # there are few images
        assert run_cli(patch, at, *quick, *much, *shown) == 0
    return at / "out"


@pytest.fixture(scope="module")
def run(folder: Path) -> OfflineRun:
    (run,) = offline_runs(folder)
    return run


def test_a_job_of_two_layers_is_one_finished_run(run: OfflineRun) -> None:
    assert (run.told["state"], run.told["exit_code"]) == ("finished", 0)
    assert run.told["config"]["layer"] == ["conv4", "conv5"]
    assert run.told["config"]["protocol.epochs"] == 1
    assert {"conv4/train/loss", "conv5/train/loss", "conv5/epoch"} <= {*run.told["summary"]}


def test_the_summary_has_the_final_scores_of_layers_and_their_means(
    run: OfflineRun, folder: Path
) -> None:
    summary = run.told["summary"]
    for prefix, at in (("", folder), ("conv4/", folder / "conv4"), ("conv5/", folder / "conv5")):
        assert summary[f"{prefix}val/set_iou"] == pytest.approx(score(at))
        assert summary[f"{prefix}val/single_iou"] == pytest.approx(headline(at)["single_val"])
        assert summary[f"{prefix}val/ap"] == pytest.approx(headline(at)["ap_val"])
        assert summary[f"{prefix}val/accuracy"] == pytest.approx(headline(at)["accuracy"])
    layers = (summary["conv4/val/set_iou"], summary["conv5/val/set_iou"])
    assert summary["val/set_iou"] == pytest.approx(sum(layers) / 2)


def test_tables_and_figures_are_logged_whole(run: OfflineRun, folder: Path) -> None:
    names = ("concepts", "filters", "classification", "seeds", "findings")
    tables = {f"{layer}/{name}" for layer in ("conv4", "conv5") for name in names} | {"layers"}
    assert run.keys_of("table-file") == tables
    for name in tables:
        lines = (folder / f"{name}.csv").read_text().splitlines()
        told = run.told["summary"][name]
        assert told["ncols"] == len(lines[0].split(","))
        if "findings" not in name:  # these hold commas
            assert told["nrows"] == len(lines) - 1
    figures = {p.relative_to(folder).with_suffix("") for p in folder.glob("*/figures/*.png")}
    assert run.keys_of("image-file") == {figure.as_posix() for figure in figures}
    assert figures
    assert run.keys_of("html-file") == {"report", "conv4/report", "conv5/report"}


def test_a_thousand_concepts_would_not_be_a_thousand_scalars(run: OfflineRun, folder: Path) -> None:
    names = BankFile.load(folder / "conv4" / "bank.safetensors").vocabulary.names
    words = {word for key in run.told["summary"] for word in key.split("/")}
    assert not words & {*names}
    assert len([v for v in run.told["summary"].values() if isinstance(v, float | int)]) < 60


def test_the_artifact_is_a_run_folder_again(run: OfflineRun, folder: Path, tmp_path: Path) -> None:
    (artifact,) = run.artifacts
    assert (artifact["type"], artifact["name"]) == ("bank", "bank-shapes-shapesnet-conv4-conv5")
    assert {*artifact["aliases"]} == {"latest", run.told["run_id"]}
    for entry in artifact["manifest"]["contents"]:
        path = tmp_path / "got" / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(entry["local_path"], path)
        assert path.read_bytes() == (folder / entry["path"]).read_bytes()
    assert headline(tmp_path / "got") == headline(folder)
    for layer in ("conv4", "conv5"):
        results = {
            p.relative_to(folder / layer)
            for p in (folder / layer).rglob("*")
            if p.suffix in (".csv", ".safetensors", ".md", ".html")
        }
        assert {Path("bank.safetensors"), Path("classification.safetensors")} <= results
        assert all((tmp_path / "got" / layer / path).exists() for path in results)
        assert BankFile.load(tmp_path / "got" / layer / "bank.safetensors").header["layer"] == layer
    assert (tmp_path / "got" / ".hydra" / "resolved.yaml").exists()


def test_the_artifact_says_which_bank_it_is(run: OfflineRun, folder: Path) -> None:
    metadata = json.loads(run.artifacts[0]["metadata"])
    header = BankFile.load(folder / "conv4" / "bank.safetensors").header
    assert metadata["layers"] == ["conv4", "conv5"]
    assert metadata["scores"]["val/set_iou"] == pytest.approx(score(folder))
    for name in ("model", "protocol", "data", "weights_digest", "tau"):
        assert metadata[name] == header[name]


def test_every_epoch_is_logged_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = dict(os.environ)
    assert run_cli(monkeypatch, tmp_path, *WANDB, "protocol.epochs=3") == 0
    assert dict(os.environ) == before
    assert not [name for name in children() if "wandb" in name]
    (run,) = offline_runs(tmp_path)
    assert [item["epoch"] for item in run.history if "val/set_iou" in item] == [0, 1, 2]
    assert all("val/set_iou/object" in item for item in run.history if "val/set_iou" in item)
    assert len(run.told["summary"]) < 40


def children() -> list[str]:
    """Return the names of the processes that this one has started and that still live."""
    numbers = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return [Path(f"/proc/{number}/comm").read_text() for some in numbers for number in some]


def test_two_jobs_of_one_process_are_two_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for layer in ("conv4", "conv5"):
        arguments = [*WANDB[:-1], f"layer={layer}", f"run.dir={layer}"]
        assert run_cli(monkeypatch, tmp_path, *arguments) == 0
    runs = [*offline_runs(tmp_path / "conv4"), *offline_runs(tmp_path / "conv5")]
    assert [run.told["config"]["layer"] for run in runs] == ["conv4", "conv5"]
    assert len({run.told["run_id"] for run in runs}) == 2
    assert all(len(run.artifacts) == 1 for run in runs)


def test_a_job_that_fails_shows_as_failed_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *WANDB, "layer=conv9") == 1
    (run,) = offline_runs(tmp_path)
    assert (run.told["state"], run.told["exit_code"]) == ("failed", 1)
    assert run.told["summary"]["failure"].startswith(
        "BackboneError: unknown layer of shapesnet 'conv9'"
    )


def test_a_run_that_is_resumed_goes_on_in_the_same_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.pipeline.segmentation.score_bank", stop)
        assert run_cli(broken, tmp_path, *WANDB) == 130
    (stopped,) = offline_runs(tmp_path)
    assert stopped.told["state"] == "failed"
    assert run_cli(monkeypatch, tmp_path, "run.resume=out") == 0
    (_, resumed) = offline_runs(tmp_path)
    assert resumed.told["run_id"] == stopped.told["run_id"]
    assert resumed.told["state"] == "finished"
    assert len(resumed.artifacts) == 1


def test_disabled_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_cli(monkeypatch, tmp_path, *WANDB, "logger.mode=disabled") == 0
    assert not [path for path in (tmp_path / "out").rglob("*") if "wandb" in path.name]
    assert (tmp_path / "out" / "bank.safetensors").exists()


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_wandb_is_not_imported_unless_it_is_asked_for(
    logger: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("wandb", "net2vec_pl.tracking.wandb_log"):
        monkeypatch.setitem(sys.modules, module, None)  # an import of it fails
    assert run_cli(monkeypatch, tmp_path, *QUICK, f"logger={logger}", "run.dir=out") == 0


@pytest.mark.parametrize(
    ("arguments", "mode", "message"),
    [
        (["logger.name=wandbb"], None, "unknown logger 'wandbb'. Did you mean 'wandb'?"),
        (["logger=wandb", "logger.mode=of"], None, "unknown logger.mode 'of'"),
        (["logger=wandb"], "ofline", "unknown WANDB_MODE 'ofline'. Did you mean 'offline'"),
        (["logger=wandb"], "shared", "unknown WANDB_MODE 'shared'. Known: online, offline"),
        (["logger=wandb"], "run", "logger.mode=online needs an API key"),
        (["logger=wandb", "logger.mode=online"], None, "logger.mode=online needs an API key"),
    ],
)
def test_a_logger_that_cannot_be_had_is_refused_before_anything_is_computed(
    arguments: list[str],
    mode: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if mode is not None:
        monkeypatch.setenv("WANDB_MODE", mode)

    def early(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr("net2vec_pl.job.trainer_from", early)
    assert run_cli(monkeypatch, tmp_path, *QUICK, *arguments, "run.dir=out") == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.wandb"))


def test_an_api_key_means_online_unless_something_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert mode_of(None) == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mode_of(None) == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://elsewhere.example")
    assert mode_of(None) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert mode_of(None) == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode_of(None) == "disabled"
    assert mode_of("offline") == "offline"
    for older, mode in (("dryrun", "offline"), ("run", "online"), ("", "online")):
        monkeypatch.setenv("WANDB_MODE", older)
        assert mode_of(None) == mode
    assert mode_of("dryrun") == "offline"


@pytest.mark.slow
def test_two_processes_are_one_run(tmp_path: Path) -> None:
    arguments = [argument for argument in JOB if argument != "trainer=cpu"]
    done = run_in(tmp_path, 2, *arguments, "logger=wandb", "logger.mode=offline")
    assert done.returncode == 0, done.stderr
    (run,) = offline_runs(tmp_path)
    assert run.told["state"] == "finished"
    assert [item["epoch"] for item in run.history if "val/set_iou" in item] == [0, 1, 2]
    assert len(run.artifacts) == 1
