"""Every experiment opens with its command, composes, and runs on drawn pictures too."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support.cli import QUICK, composed, read_table, run_cli

from net2vec_pl import runs
from net2vec_pl.config.command_line import config_dir

FILES = sorted((config_dir() / "experiment").glob("*.yaml"))
PAPER = [path.stem for path in FILES if path.stem.startswith("paper_")]
PAGE = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^(?:# )?python train\.py (.*)$", flags=re.MULTILINE)


def compose_each(arguments: str) -> None:
    """Compose the jobs of a command line, with stand-ins for what the user has to name."""
    given = [re.sub(r"=(DIR|FILE|FOLDER)$", "=somewhere", word) for word in shlex.split(arguments)]
    choices = [
        [f"{word.partition('=')[0]}={choice}" for choice in word.partition("=")[2].split(",")]
        if "," in word and not set("[{") & {*word}
        else [word]
        for word in given
        if word != "-m" and not word.startswith("hydra")
    ]
    for job in itertools.product(*choices):
        composed(*job)


def listed(path: Path) -> dict[str, str]:
    """Return what an experiment sweeps over by itself."""
    params = OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params")
    return {} if params is None else dict(params)


def files_of(name: str) -> list[str]:
    """Return the files in which the page on the paper says to look after an experiment."""
    rows = [line for line in PAGE.splitlines() if f"`experiment={name}`" in line]
    cells = [re.findall("`([^`]+)`", row.split("|")[3]) for row in rows]
    return [file for files in cells for file in files if file.endswith(".csv") or "*" in file]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_opens_with_its_command(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# python train.py experiment={path.stem}")
    for arguments in COMMAND.findall(path.read_text(encoding="utf-8")):
        compose_each(arguments)


@pytest.mark.parametrize("path", [p for p in FILES if "model" in listed(p)], ids=lambda p: p.stem)
def test_every_job_of_a_sweep_over_networks_is_at_the_networks_own_layer(path: Path) -> None:
    assert OmegaConf.load(path).hydra.mode == "MULTIRUN"
    for model in listed(path)["model"].split(","):
        config = composed(f"experiment={path.stem}", f"model={model}")
        assert config.model.name == model
        assert config.layer == config.model.default_layer


def test_networks_on_the_command_line_take_the_place_of_those_of_the_file() -> None:
    both = [f"model={listed(config_dir() / 'experiment' / 'architectures.yaml')['model']}"]
    both.append("model=shapesnet,mobilenet_v2")
    jobs = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(both), None)
    assert jobs == [[["model=shapesnet"], ["model=mobilenet_v2"]]]


def test_all_layers_cost_no_validation_and_make_a_short_folder_name() -> None:
    config = composed("experiment=layers", "model=vgg16")
    assert config.layer == "all"
    assert not config.callbacks.scores
    assert config.run.dir.endswith("-vgg16-all")


def test_the_page_on_the_paper_names_every_experiment_and_its_commands_compose() -> None:
    assert {name for name in PAPER if f"experiment={name}" not in PAGE} == set()
    assert all(files_of(name) for name in PAPER)
    assert len(PAGE.splitlines()) <= 90
    for arguments in COMMAND.findall(PAGE):
        compose_each(arguments)
    known = {path.stem for path in FILES}
    assert set(re.findall(r"experiment=(\w+)", PAGE)) <= known


def test_all_layers_in_one_run_give_what_each_gives_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "layer=all", "run.dir=all") == 0
    rows = {row.pop("layer"): row for row in read_table(tmp_path / "all" / "layers.csv")}
    assert list(rows) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    for layer, row in [*rows.items()][::4]:
        assert run_cli(monkeypatch, tmp_path, *QUICK, f"layer={layer}", f"run.dir={layer}") == 0
        alone = runs.headline(tmp_path / layer)
        assert {name: float(row[name]) for name in alone} == pytest.approx(alone, abs=1e-12)
        for name in ("concepts.csv", "filters.csv"):
            together = tmp_path / "all" / layer / name
            assert together.read_text() == (tmp_path / layer / name).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_an_experiment_of_the_paper_runs_on_drawn_pictures(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config: DictConfig = composed(f"experiment={name}")
    sizes = ["data.num_images=80", "data.image_size=64", "data.names=null", "protocol.epochs=1"]
    sizes += ["protocol.classification.epochs=1", "analysis.permutations=100"]
    quick = [word for word in QUICK if not word.startswith(("data.", "protocol.", "analysis="))]
    # Those that are about some layers of one network want this network, untrained.
    of_layers = isinstance(config.layer, str)
    network = ["model=shapesnet"] if of_layers else ["model.weights=null"]
    words = [f"experiment={name}", "data=shapes", "hydra.mode=RUN", "run.dir=out"]
    assert run_cli(monkeypatch, tmp_path, *words, *network, *quick, *sizes) == 0
    out = tmp_path / "out"
    assert runs.score(out) > 0
    missing = [file for file in files_of(name) if not [*out.rglob(Path(file).name)]]
    assert missing == []
