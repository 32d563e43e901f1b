"""A run killed at any moment goes on where it was, to the same bank and the same tables."""

import os
import random
import time
from pathlib import Path
from threading import Timer

import pytest
from filelock import FileLock
from support.cli import QUICK, run_cli
from support.several import Forked

RESULTS = ("bank.safetensors", "concepts.csv", "filters.csv")
LONGER = [*(a for a in QUICK if "epochs" not in a), "protocol.epochs=25"]


def interrupted(monkeypatch: pytest.MonkeyPatch, folder: Path, where: str, *options: str) -> None:
    """Start a run in which a function of the main job meets a Ctrl-C."""

    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(f"net2vec_pl.{where}", stop)
        assert run_cli(broken, folder, *LONGER, *options, "run.dir=out") == 130


def assert_same(one: Path, two: Path) -> None:
    for name in RESULTS:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *LONGER, "run.dir=out") == 0
    return folder / "out"


def test_killed_three_times_at_random_moments_it_ends_with_the_same_bytes(
    undisturbed: Path, tmp_path: Path
) -> None:
    moments = random.Random(os.environ.get("PYTEST_SEED", "7"))
    out = tmp_path / "out"
    run = Forked(tmp_path, *LONGER, "run.dir=out")
    for _ in range(3):
        while not (out / ".hydra" / "overrides.yaml").exists() and run.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.5))
        if run.poll() is not None:
            break
        run.kill()
        run = Forked(tmp_path, "run.resume=out")
    assert run.wait(timeout=120) == 0
    assert_same(undisturbed, out)
    assert not (out / "state").exists()


@pytest.mark.parametrize("epochs", [1, 11])
def test_killed_in_the_fit_it_goes_on_from_the_last_epoch(
    epochs: int, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = Forked(tmp_path, *LONGER, "run.dir=out")
    rows = 1 + 2 * epochs  # a header, and two an epoch
    while run.poll() is None:
        log = out / "metrics.csv"
        if log.exists() and log.read_text().count("\n") >= rows:
            break
        time.sleep(0.002)
    run.kill()
    assert Forked(tmp_path, "run.resume=out").wait(timeout=120) == 0
    assert_same(undisturbed, out)
    assert "fit: resuming after epoch" in (out / "train.log").read_text()
    assert "thresholds: already done" in (out / "train.log").read_text()
    assert (out / "metrics.csv").read_text().count("\n") == 1 + 2 * 25


@pytest.mark.parametrize(
    "stage",
    [
        "pipeline.segmentation.count_single_filters",
        "pipeline.segmentation.score_bank",
        "report.tables.write_csv",
    ],
)
def test_an_interrupted_stage_is_done_again_and_those_before_it_are_not(
    stage: str, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted(monkeypatch, tmp_path, stage)
    assert not (tmp_path / "out" / "bank.safetensors").exists()
    assert run_cli(monkeypatch, tmp_path, "run.resume=out") == 0
    assert_same(undisturbed, tmp_path / "out")


def test_a_damaged_checkpoint_or_state_is_made_anew(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted(monkeypatch, tmp_path, "pipeline.segmentation.score_bank")
    for path in ("checkpoints/last.ckpt", "state/baseline.safetensors"):
        whole = (tmp_path / "out" / path).read_bytes()
        (tmp_path / "out" / path).write_bytes(whole[: len(whole) // 2])
    assert run_cli(monkeypatch, tmp_path, "run.resume=out") == 0
    assert_same(undisturbed, tmp_path / "out")
    assert "is damaged" in (tmp_path / "out" / "train.log").read_text()


def test_a_finished_run_has_nothing_left_to_do(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in undisturbed.rglob("*") if p.suffix in (".csv", ".ckpt")}
    (undisturbed / "state").mkdir()  # as left by a kill behind the bank
    (undisturbed / "state" / "scores.safetensors").write_bytes(b"")
    assert run_cli(monkeypatch, tmp_path, f"run.resume={undisturbed}") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert not (undisturbed / "state").exists()


@pytest.mark.parametrize("given", ["{path}", "'{quoted}'"])
def test_a_folder_of_any_name_can_be_gone_on_with(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / 'it\'s a=b, "c"'
    quoted = str(folder).replace("'", "\\'")
    assert run_cli(monkeypatch, tmp_path, *QUICK, f"run.dir='{quoted}'") == 0
    (folder / "bank.safetensors").unlink()
    again = given.format(path=folder, quoted=quoted)
    assert run_cli(monkeypatch, tmp_path, f"run.resume={again}") == 0
    assert (folder / "bank.safetensors").exists()


def test_another_configuration_takes_nothing_over(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted(monkeypatch, tmp_path, "pipeline.segmentation.score_bank", "seed=4")
    assert run_cli(monkeypatch, tmp_path, *LONGER, "run.dir=out") == 0
    assert_same(undisturbed, tmp_path / "out")


def test_two_runs_in_one_folder_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("net2vec_pl.runs.folder._LAST_MOMENTS", 0.1)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 1
    assert "another run is using" in capsys.readouterr().err


def test_a_run_waits_for_the_last_moments_of_one_that_has_been_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    lock = FileLock(tmp_path / "out" / ".lock", thread_local=False)
    lock.acquire()
    Timer(1.0, lock.release).start()
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 0


def test_a_run_that_ends_while_another_waits_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    lock = FileLock(out / ".lock", thread_local=False)
    lock.acquire()

    def end() -> None:
        (out / "bank.safetensors").write_text("the other's")
        (out / "concepts.csv").write_text("the other's")
        lock.release()

    Timer(1.0, end).start()
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 1
    assert "already holds a finished run" in capsys.readouterr().err
    assert (out / "bank.safetensors").read_text() == "the other's"
