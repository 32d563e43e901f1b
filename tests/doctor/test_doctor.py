"""``task=doctor``: all that would end a run is named before it, and nothing is written."""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from support.cli import composed

from net2vec_pl import cli
from net2vec_pl.config.plan import Plan
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.doctor import forecast, machine, versions
from net2vec_pl.doctor.examination import NotReadyError
from net2vec_pl.doctor.found import Found
from net2vec_pl.doctor.options import setup_of
from net2vec_pl.doctor.sections import _SECTIONS, _made
from net2vec_pl.errors import ConfigError
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.pipeline import storage
from net2vec_pl.tasks.doctor import doctor

QUICK = [
    "task=doctor",
    "data.num_images=40",
    "data.image_size=32",
    "loader.workers=0",
    "callbacks.progress=false",
    "trainer=cpu",
    "sample=40",
    "run.dir=runs/new",
]
NO_DATA = [a for a in QUICK if not a.startswith("data.")]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def broden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "small"
    write_broden(ShapesReader(num_images=40, image_size=32), folder)
    return folder


def told(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    doctor(composed(*QUICK, *overrides))
    return capsys.readouterr().out


def to_fix(*overrides: str, quick: list[str] = QUICK) -> str:
    with pytest.raises(NotReadyError) as error:
        doctor(composed(*quick, *overrides))
    return str(error.value)


def exit_status() -> int:
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def examined(config: DictConfig) -> Found:
    """Make all checks and return what they opened."""
    found, plan = Found(int(config.sample)), Plan(config, ("sample", "page"))
    for checks in _SECTIONS.values():
        for make in checks:
            list(_made(make, plan, found))
    return found


def test_what_works_is_ready_and_every_section_has_spoken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = told(capsys)
    headings = [line for line in text.splitlines() if line and line[0] != " "]
    assert headings == [
        "versions", "options", "data", "network", "machine", "forecast", "ready",
    ]  # fmt: skip
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    assert "shapesnet with weights shipped, digest 89efb73110c34d3a2f57e220474c5e94" in text
    assert "layer conv5 (module conv5): 128 filters of 4 x 4 on images of 32 x 32" in text
    assert list(tmp_path.iterdir()) == []


def test_counts_are_those_of_the_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys)
    reader = ShapesReader(num_images=40, image_size=32)
    for place, category in enumerate(reader.categories):
        train = int(reader.annotated[reader.is_train, place].sum())
        val = int(reader.annotated[~reader.is_train, place].sum())
        assert f"{category.name}: {train} train and {val} val images annotated" in text


def test_the_command_line_leaves_nothing_behind_and_exits_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_do", lambda _name, config: doctor(config))
    for more, status in (([], 0), (["layer=conv9"], 1)):
        monkeypatch.setattr(sys, "argv", ["train.py", *QUICK[:-1], *more])
        GlobalHydra.instance().clear()
        assert exit_status() == status
        assert list(tmp_path.iterdir()) == []
    assert "error: not ready. To fix:\n  1. unknown layer of shapesnet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.tau=5"], "protocol.tau=5.0 is out of range"),
        (["analysis.names=[spcae]"], "unknown analysis 'spcae'"),
        (
            ["analysis.names=[examples]", "analysis.concepts=[dgo]"],
            "unknown concept of analysis.concepts 'dgo'",
        ),
        (["analysis.names=[subsets]", "analysis.sizes=[500]"], "has 128 filters, 500 cannot"),
        (["logger=wandb", "logger.mode=of"], "unknown logger.mode 'of'"),
        (["trainer.accelerator=gpx"], "trainer="),
        (["+lr=3"], "unknown option 'lr'"),
        (["model.name=vgg61"], "unknown model 'vgg61'"),
        (["model.weights=nowhere.pth"], "model.weights=nowhere.pth: no such file"),
        (["model.scaling=imagenet"], "unknown input scaling 'imagenet'"),
        (["layer=conv9"], "unknown layer of shapesnet 'conv9'"),
        (["data.names=[doog]"], "unknown concept 'doog'"),
        (["data.categories=[scene]"], "target=classification takes them"),
        (["data.on_error=ignore"], "unknown value of data.on_error 'ignore'"),
        (["data.min_train=100000"], "no concept is left"),
        (["cache=disk", "cache.dir=/dev/null/x"], "cache.dir=/dev/null/x cannot be written"),
        (["run.dir=/dev/null"], "run.dir=/dev/null cannot be written"),
        (["run.dir="], "run.dir is empty"),
    ],
)
def test_what_would_end_a_run_is_to_be_mended(overrides: list[str], message: str) -> None:
    assert message in to_fix(*overrides)


def test_all_that_is_wrong_is_named_at_once_and_nothing_twice() -> None:
    text = to_fix(
        "data=broden", "data.root=nowhere", "model.name=vgg61", "logger.name=x", quick=NO_DATA
    )
    assert re.findall(r"^  \d\. \S+ \S+", text, re.MULTILINE) == [
        "  1. unknown logger",
        "  2. data.root=nowhere: no",
        "  3. unknown model",
    ]


def test_a_sample_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="sample=many must be a whole number from 1"):
        doctor(composed("task=doctor", "sample=many"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    assert "do not match shapesnet" in to_fix("model.weights=other.pth")


def test_weights_that_are_not_here_are_told_and_not_fetched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetch(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    text = told(capsys, "model=mobilenet_v2", "layer=features.3")
    assert "warning  the IMAGENET1K_V1 weights of mobilenet_v2 are not here" in text
    assert "(14 MB)" in text
    assert text.endswith("ready, warnings: 1\n")
    assert list(tmp_path.iterdir()) == []


def damaged(broden: Path, folder: Path) -> tuple[Path, list[str]]:
    """Copy a dataset, truncate one image and remove another; return their names."""
    copy = folder / "damaged"
    shutil.copytree(broden, copy)
    images = sorted(p for p in (copy / "images").rglob("*.png") if "_" not in p.stem)
    images[3].write_bytes(images[3].read_bytes()[:100])
    images[5].unlink()
    return copy, [images[3].name, images[5].name]


def test_files_that_cannot_be_read_are_named(
    broden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, names = damaged(broden, tmp_path)
    given = ["data=broden", f"data.root={root}"]
    text = to_fix(*given, quick=NO_DATA)
    assert "all 40 rows: 2 cannot be read; data.on_error=skip goes on" in text
    assert all(name in text for name in names)
    capsys.readouterr()
    doctor(composed(*NO_DATA, *given, "data.on_error=skip"))
    text = capsys.readouterr().out
    assert "warning  all 40 rows: 2 cannot be read, and a run leaves them out" in text
    assert all(name in text for name in names)
    assert text.endswith("ready, warnings: 1\n")


def test_a_dataset_that_cannot_be_read_at_all_is_to_be_mended(broden: Path, tmp_path: Path) -> None:
    shutil.copytree(broden, tmp_path / "empty")
    for image in (tmp_path / "empty" / "images").rglob("*.png"):
        image.write_bytes(b"")
    given = ["data=broden", "data.root=empty", "data.on_error=skip", "sample=7"]
    text = to_fix(*given, quick=[a for a in NO_DATA if "sample" not in a])
    assert "7 of 7 rows of a sample of empty cannot be used" in text


def test_the_same_rows_are_drawn_for_a_seed_and_the_draw_is_said_to_be_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = [a for a in QUICK if "sample" not in a]
    drawn = [examined(composed(*quick, "sample=10", f"seed={seed}")).sample for seed in (0, 0, 1)]
    rows = [sample.rows.tolist() for sample in drawn if sample]
    assert rows[0] == rows[1] != rows[2]
    assert len(set(rows[0])) == 10
    capsys.readouterr()
    doctor(composed(*quick, "sample=10"))
    text = capsys.readouterr().out
    assert "10 of 40 rows, drawn: images and masks can be read" in text
    assert "a run reads all 40 rows first" in text


def test_the_forecast_of_a_sample_is_near_that_of_all_rows() -> None:
    quick = [a for a in QUICK if "sample" not in a and "num_images" not in a]
    sizes = []
    for sample in (60, 240):
        config = composed(*quick, "data.num_images=240", f"sample={sample}")
        setup = setup_of(Plan(config, ("sample", "page")), examined(config))
        assert setup is not None
        sizes.append(storage.kept_bytes(setup) * 240 / sample)
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_a_cache_that_would_not_fit_is_told_before_the_run_falls_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = told(capsys, "cache.max_gib=1e-6")
    assert "more than cache.max_gib allows: they are not kept" in text
    assert "cache.max_gib=1 would keep them; cache=disk needs no memory" in text
    assert text.endswith("ready, warnings: 1\n")


def test_too_little_memory_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "memory", lambda: (1 << 30, 1 << 29))
    assert "0.50 GiB are free. Fewer layers at once" in to_fix()


def test_too_little_disk_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1 << 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    text = to_fix("cache=disk", "data.num_images=400", "layer=conv1")
    assert "the run folder takes at most some" in text
    assert "the cache takes at most" in text
    assert "name another cache.dir" in text


def test_a_small_memory_shared_by_readers_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(".")._replace(free=64 << 20)
    real = shutil.disk_usage
    monkeypatch.setattr(machine, "_SHARED", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda p: usage if p == tmp_path / "" else real(p))
    config = composed(*QUICK, "loader.batch_size=4096")
    found = examined(config)
    assert list(machine.shared_memory(Plan(config), found)) == []  # nobody but this process reads
    found = examined(composed(*QUICK, "loader.batch_size=4096", "loader.workers=2"))
    (check,) = machine.shared_memory(Plan(config), found)
    assert check.verdict == "warning"
    assert "2 processes that read may hold" in check.text


def test_a_finished_run_is_not_to_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bank.safetensors").touch()
    assert "run.dir=. holds a finished run" in to_fix("run.dir=.")


def test_classification_asks_for_no_masks(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "target=classification", "data.categories=[scene]")
    assert re.search(r"classification: [1-6] concepts are probed, scene [1-6]\n", text)
    assert "cached activations need" not in text


def test_a_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    monkeypatch.setattr(machine, "_LIMITS", (str(limit),))
    total, _ = machine.memory()
    limit.write_text(f"{1 << 28}\n")
    assert machine.memory() == (1 << 28, 1 << 28)
    assert total > 1 << 28


Installed = namedtuple("Installed", ["version", "requires"])


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        (
            {"torch": Installed("1.0", ())},
            "net2vec_pl 0.1 needs torch>=2, not 1.0: install the two together",
        ),
        ({}, "net2vec_pl needs torch>=2, which is not installed: pip install 'torch>=2'"),
        (
            {"torch": Installed("2.2", ()), "torchvision": Installed("0.26", ("torch==2.11",))},
            "torchvision 0.26 needs torch==2.11, not 2.2: install the two together",
        ),
        ({"torch": Installed("2.11+cpu", ()), "h5py": Installed("3", ("nothing>=3",))}, None),
    ],
)
def test_versions_that_do_not_go_together_are_to_be_mended(
    packages: dict[str, Installed], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = packages | {"net2vec_pl": Installed("0.1", ("torch>=2", "other>=9; extra == 'dev'"))}
    at_hand = {name: package.version for name, package in known.items()}
    monkeypatch.setattr(versions, "_version", at_hand.get)
    monkeypatch.setattr(versions, "requires", lambda name: known[name].requires)
    fixes = [check.text for check in versions.check_versions() if check.verdict == "fix"]
    assert [text.partition(", pip")[0] for text in fixes] == ([message] if message else [])


def test_packages_that_cannot_be_imported_together_end_in_a_message_too(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    broken = "raise OSError('libcudart.so.99: cannot open shared object file')"
    (tmp_path / "torch" / "__init__.py").write_text(broken)
    code = (
        "from net2vec_pl.doctor.examination import NotReadyError\n"
        "from net2vec_pl.tasks.doctor import doctor\n"
        "try: doctor({})\n"
        "except NotReadyError as error: print(error)\n"
    )
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(tmp_path), str(root)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  1. the packages cannot be imported together: libcudart.so.99: " in done.stdout


def test_masks_that_a_run_would_score_on_are_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "scores are also taken on masks of native" in told(capsys, "score.mask_size=native")
    assert "drawn in 64x64 dots" in to_fix("score.mask_size=65")
