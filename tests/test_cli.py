"""The command line: every mistake ends in one message and a non-zero exit, and loses nothing."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.cli import QUICK, run_cli

from net2vec_pl.datasets import ShapesReader
from net2vec_pl.formats.broden_writer import write_broden


@pytest.fixture(scope="module")
def broden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "small"
    write_broden(ShapesReader(num_images=40, image_size=32), folder)
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layr=conv5"], "unknown option 'layr'. Did you mean 'layer'"),
        (["protocol.taw=0.1"], "unknown option 'protocol.taw'. Did you mean 'protocol.tau'"),
        (["data=brodn"], "unknown choice of data 'brodn'. Did you mean 'broden'"),
        (["protocol=papr"], "unknown choice of protocol 'papr'. Did you mean 'paper'"),
        (["model=vgg61"], "unknown model 'vgg61'. Did you mean"),
        (["model=custom"], "the option model._target_ must be given"),
        (["layer=conv6"], "unknown layer of shapesnet 'conv6'. Did you mean 'conv5'"),
        (["layer=head"], "layer 'head' of shapesnet gives an output of shape (54,)"),
        (["layer=[conv1,conv9]"], "unknown layer of shapesnet 'conv9'"),
        (["layer=[conv1,conv1]"], "is named more than once"),
        (["layer=[all,conv1]"], "unknown layer of shapesnet 'all'"),
        (["layer={a:1}"], "layer={'a': 1} must be a list of names"),
        (["seeds=0"], "seeds=0 must be a whole number from 1"),
        (["fit.pairs_per_chunk=0"], "fit.pairs_per_chunk=0 must be a whole number from 1"),
        (["fit.compile=maybe"], "fit.compile=maybe must be auto, true or false"),
        (["protocol.precision=fp8"], "unknown value of protocol.precision 'fp8'"),
        (["run.resume=nowhere"], "run.resume=nowhere is not a run folder"),
        (["run.resume=nowhere", "-m"], "leave out --multirun"),
        (["run.resume="], "run.resume is empty"),
        (["cache=memory", "cache.dir=x"], "cache.dir belongs to another choice of cache="),
        (["cache=disk", "cache.dir=/dev/null"], "cache.dir=/dev/null cannot be written"),
        (["protocol.tau=0"], "protocol.tau=0.0 is out of range"),
        (["protocol.tau=1.5"], "protocol.tau=1.5 is out of range"),
        (["protocol.tau=high"], "protocol.tau=high must be a number"),
        (["protocol.loss=bse"], "unknown value of protocol.loss 'bse'. Did you mean 'bce'"),
        (["protocol.epochs=0"], "protocol.epochs=0 is out of range"),
        (["task=fly"], "unknown choice of task 'fly'"),
        (["data=broden"], "data=broden needs data.root=DIR"),
        (["data=broden", "data.root=nowhere"], "data.root=nowhere: no such folder"),
        (["data=broden", "data.root=."], "label.csv, images absent"),
        (["data.names=[doog]"], "unknown concept 'doog'"),
        (["data.categories=[objet]"], "unknown category 'objet'. Did you mean 'object'"),
        (["data.categories=[scene]"], "no concept is left of the 6 asked for"),
        (["data.min_train=100000"], "no concept is left"),
        (["data.min_train=0"], "data.min_train=0"),
        (["data.on_error=ignore"], "unknown value of data.on_error 'ignore'"),
        (["data.num_images=0"], "num_images"),
        (["data.image_size=7"], "image_size of the shapes dataset is 7; it must be 32 to 1024"),
        (["data.num_images=many"], "data.num_images=many must be a whole number from 1"),
        (["model.weights=nowhere.pth"], "model.weights=nowhere.pth: no such file"),
        (["model.scaling=imagenet"], "unknown input scaling 'imagenet'"),
        (["model.scaling={mean:[0,0,0],std:[1,1,0]}"], "std above 0"),
        (["loader.workers=many"], "loader.workers=many must be a whole number from 0"),
        (["loader.batch_size=0"], "loader.batch_size=0 must be a whole number from 1"),
        (["seed=-1"], "seed=-1 must be a whole number from 0"),
        (["seed=99999999999"], "seed=99999999999 must be a whole number from 0 to 4294967295"),
        (["+lr=3"], "unknown option 'lr'. Known: protocol.lr"),
        (["data.names={a:1}"], "data.names={'a': 1} must be a list of names"),
        (["data.names=[1]"], "unknown concept '1'"),
        (["data.categories=objects"], "unknown category 'objects'. Did you mean 'object'"),
        (["data.min_val=abc"], "data.min_val=abc must be a whole number from 1"),
        (["data.on_error=7"], "unknown value of data.on_error '7'"),
        (["model.name=7"], "unknown model '7'"),
        (["model.weights=5"], "shapesnet has no named weights"),
        (["model.scaling=null"], "model.scaling=None must be one of"),
        (["callbacks.scores=7"], "callbacks.scores=7 must be true or false"),
        (["trainer.accelerator=gpx"], "trainer="),
        (["layer=conv9"], "Did you mean 'conv5' or 'conv4' or 'conv3'?"),
        (["-m", "task=compare", "runs=x"], "task=compare cannot be part of a sweep"),
        (["-m", "layer=conv9"], "conv9"),
        (
            ["trainer.devices=2", "+trainer.strategy=ddp_spawn"],
            "work together by strategy=ddp",
        ),
        (["+trainer.no_such=1"], "unknown option of trainer 'no_such'"),
        (["+trainer.benchmrk=1"], "unknown option of trainer 'benchmrk'. Did you mean 'benchmark'"),
        (["+trainer.max_epochs=3"], "trainer.max_epochs cannot be given: protocol.epochs sets it"),
        (["+trainer.max_time=00:00:00:01"], "a run takes protocol.epochs whole epochs"),
        (["+trainer.gradient_clip_val=1"], "which Lightning cannot clip"),
        (["+trainer.accumulate_grad_batches=2"], "every concept takes steps of its own"),
        (["+trainer.precision=16"], "the network's precision is protocol.precision"),
        (["+data._target_=a.B"], "unknown option of data=shapes '_target_'"),
        (["+data.root=x"], "unknown option of data=shapes 'root'. Known: name"),
        (["+model.weight=x"], "unknown option of model 'weight'. Did you mean 'weights'"),
        (["+model.kwargs.width=3"], "model.kwargs: model=shapesnet takes no arguments"),
        (["+loader.x=1"], "unknown option of loader 'x'. Known: batch_size, workers."),
        (["loader=3"], "loader=3 must be a group of options"),
        (["+fit.chunk=1"], "unknown option of fit 'chunk'"),
        (["+cache.dir=x"], "unknown option of cache=memory 'dir'. Known: name, max_gib"),
        (["+run.folder=x"], "unknown option of run 'folder'. Known: resume, dir"),
        (["+logger.mode=offline"], "unknown option of logger=csv 'mode'"),
        (["+callbacks.norm=true"], "unknown option of callbacks 'norm'. Did you mean 'norms'"),
        (["+analysis.sise=[1]"], "unknown option of analysis 'sise'. Did you mean 'sizes'"),
        (["+protocol.taw=0.1"], "unknown option of protocol 'taw'. Did you mean 'tau'"),
        (["+loader.x=1", "task=layers"], "unknown option of loader 'x'"),
        (["+trainer.x=1", "task=compare", "runs=."], "unknown option of trainer 'x'"),
        (["+fit.x=1", "task=predict", "bank=x", "images=y"], "unknown option of fit 'x'"),
        (["+loader.x=1", "task=doctor"], "unknown option of loader 'x'"),
        (["model.seed=-1"], "model.seed=-1 must be a whole number from 0 to 4294967295"),
        (["cache=memroy"], "unknown choice of cache 'memroy'. Did you mean 'memory'"),
        (["cache.max_gib=-1"], "cache.max_gib=-1 must be a number above 0"),
        (["logger=wandb", "logger.mode=of"], "unknown logger.mode 'of'"),
    ],
)
def test_a_mistake_is_named_in_one_message(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = [a for a in QUICK if a.split("=")[0] not in {g.split("=")[0] for g in arguments}]
    if any(a.startswith("data=") for a in arguments):
        quick = [a for a in quick if not a.startswith(("data.num", "data.image"))]
    if any(a.startswith("trainer.") for a in arguments):
        (tmp_path / "note").touch()
    assert run_cli(monkeypatch, tmp_path, *quick, *arguments) == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr
    assert stderr.count("error: ") == 1
    assert "Error executing job" not in stderr or "-m" in arguments
    assert not list(tmp_path.rglob("bank.safetensors"))


def test_weights_of_another_network_name_the_first_keys_that_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert run_cli(monkeypatch, tmp_path, *QUICK, "model.weights=other.pth") == 1
    stderr = capsys.readouterr().err
    assert "do not match shapesnet" in stderr
    assert "absent: conv1.conv.weight" in stderr
    assert "not in the network: features.0.weight" in stderr


def damaged(broden: Path, folder: Path) -> Path:
    """Copy a dataset, truncate one image and remove another."""
    copy = folder / "damaged"
    shutil.copytree(broden, copy)
    images = sorted(p for p in (copy / "images").rglob("*.png") if "_" not in p.stem)
    data = images[3].read_bytes()
    images[3].write_bytes(data[: len(data) // 2])
    images[5].unlink()
    return copy


def test_unreadable_rows_stop_a_run_before_it_starts_and_are_all_named(
    broden: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = damaged(broden, tmp_path)
    quick = [a for a in QUICK if not a.startswith("data.")]
    assert run_cli(monkeypatch, tmp_path, *quick, "data=broden", f"data.root={root}") == 1
    stderr = capsys.readouterr().err
    assert "2 of 40 rows of damaged cannot be used; data.on_error=skip" in stderr
    assert stderr.count("\n  row ") == 2
    assert "is absent" in stderr


def test_unreadable_rows_can_be_left_out_and_are_listed(
    broden: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = damaged(broden, tmp_path)
    quick = [a for a in QUICK if not a.startswith("data.")]
    arguments = ["data=broden", f"data.root={root}", "data.on_error=skip", "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *quick, *arguments) == 0
    skipped = (tmp_path / "out" / "skipped.csv").read_text().splitlines()
    assert len(skipped) == 3
    assert (tmp_path / "out" / "bank.safetensors").exists()


def test_a_finished_run_is_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 0
    kept = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.suffix != ".log"]
    before = {path: path.read_bytes() for path in kept}
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out", "seed=5") == 1
    assert "already holds a finished run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in kept} == before


def test_a_full_disk_is_one_message_and_what_was_written_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("net2vec_pl.report.tables.write_csv", full)
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 1
    assert "error: the disk is full" in capsys.readouterr().err
    assert (tmp_path / "out" / "state" / "scores.safetensors").exists()


def test_too_little_disk_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert run_cli(monkeypatch, tmp_path, *QUICK) == 1
    assert "has 1 MiB of disk left" in capsys.readouterr().err


def test_help_answers_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "from net2vec_pl.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "protocol" in done.stdout


def test_one_concept_alone_can_be_probed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "data.names=sky", "run.dir=out") == 0
    assert "of 1 concepts" in capsys.readouterr().out
    assert len((tmp_path / "out" / "concepts.csv").read_text().splitlines()) == 2


def test_ctrl_c_is_one_message_and_its_own_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("net2vec_pl.training.SegmentationProbe.validation_step", stop)
    assert run_cli(monkeypatch, tmp_path, *QUICK) == 130
    assert "error: interrupted" in capsys.readouterr().err


def test_a_run_folder_that_is_a_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert run_cli(monkeypatch, tmp_path, *QUICK, "run.dir=out") == 1
    assert "Choose another run.dir" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_reader_that_goes_away_stops_no_run(tmp_path: Path) -> None:
    code = "from net2vec_pl.cli import main; main()"
    arguments = [*(a for a in QUICK if "progress" not in a), "run.dir=out"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(timeout=120) == 0
    assert (tmp_path / "out" / "filters.csv").exists()
