"""Every file in conf/ composes, and says what the code says."""

import random
import re
from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from support.cli import composed
from support.wandb_server import grid
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from benchmarks.protocols import BEST
from net2vec_pl.backbones import ARCHITECTURES, InputScaling, NetworkSpec
from net2vec_pl.config import known as known_options
from net2vec_pl.config.command_line import config_dir
from net2vec_pl.config.plan import Plan
from net2vec_pl.config.values import plain
from net2vec_pl.protocol import Protocol
from net2vec_pl.studies.registry import BUILT_IN

SWEEPS = Path(__file__).parents[2] / "sweeps"
GROUPS = sorted(p.name for p in config_dir().iterdir() if p.is_dir() and p.name != "hydra")
CHOICES = [
    f"{group}={path.stem}"
    for group in GROUPS
    for path in sorted((config_dir() / group).glob("*.yaml"))
    if not path.stem.startswith("_")
]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_composes(choice: str) -> None:
    needed = {
        "model=torchvision": ["model.name=regnet_y_400mf"],
        "model=timm": ["model.name=timm/resnet18", "model.scaling=unit"],
        "model=hf": ["model.name=hf/owner/name", "model.scaling=unit"],
        "model=custom": ["model._target_=a.B"],
        "data=custom": ["data._target_=a.B"],
    }
    config = composed(choice, *needed.get(choice, []))
    for group in ("data", "model", "protocol", "trainer", "logger", "callbacks"):
        plain(config[group])
    Protocol.parse(plain(config.protocol))
    InputScaling.parse(NetworkSpec(plain(config.model)).plain["scaling"])


@pytest.mark.parametrize("choice", CHOICES)
def test_every_option_of_a_file_is_known_and_every_known_one_is_in_a_file(choice: str) -> None:
    group, _, name = choice.partition("=")
    if group in ("task", "experiment", "trainer", "protocol"):
        return
    options = {*_options(config_dir() / group / f"{name}.yaml")}
    known: Collection[str]
    if group == "analysis":
        known = {"names", *(f.name for kind in BUILT_IN.values() for f in fields(kind))}
    elif group == "model":
        known = {*known_options._MODEL} - ({"_target_", "kwargs"} if name != "custom" else set())
    else:
        known = known_options._PLAIN.get(group) or known_options._NAMED[group][name]
    assert options - {"defaults", "name"} == {*known} - {"name"}


def _options(path: Path) -> list[str]:
    """Return the options of a file, and of the files of its group that it stands on."""
    tree = yaml.safe_load(path.read_text()) or {}
    below = [
        name for name in tree.get("defaults", ()) if str(name).startswith("_") and name != "_self_"
    ]
    return [*tree, *(key for name in below for key in _options(path.with_name(f"{name}.yaml")))]


def test_the_paper_is_the_default_and_its_file_says_what_the_code_says() -> None:
    assert Protocol.parse(plain(composed().protocol)) == Protocol()


def test_the_best_protocol_is_the_one_whose_departures_are_measured() -> None:
    """Of its two parts the one that is learned by gradient descent."""
    best = Protocol.parse(plain(composed("protocol=best").protocol))
    assert replace(best, probe="net2vec", calibrate="none", own_covariance=0.0) == BEST


def test_every_registered_network_has_a_file_of_its_name() -> None:
    files = {path.stem for path in (config_dir() / "model").glob("*.yaml")}
    assert set(ARCHITECTURES) <= files


def test_the_layer_defaults_to_the_models_own_and_can_be_given() -> None:
    assert composed("model=vgg16").layer == "conv5_3"
    assert composed("model=vgg16", "layer=conv4_3").layer == "conv4_3"


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_point_of_a_sweep_composes_as_the_agent_writes_it(path: Path) -> None:
    sweep = yaml.safe_load(path.read_text())  # as W&B reads it: 1e-3 is a string there
    fixed = [word for word in sweep["command"] if "=" in word]
    for point in points(sweep):
        command = {"args": {name: {"value": value} for name, value in point.items()}}
        config = composed(*fixed, *create_sweep_command_args(command)["args_no_hyphens"])
        assert Plan(config).options
        for name, value in point.items():
            found = config.model.name if name == "model" else OmegaConf.select(config, name)
            assert found == value
        assert config.logger.name == "wandb"


def points(sweep: dict[str, Any], draws: int = 5) -> list[dict[str, Any]]:
    """Return all points of a grid; of distributions both ends, and some draws."""
    if sweep["method"] == "grid":
        return grid(sweep)
    drawn = random.Random(0)
    shares = [0.0, 1.0, *(drawn.random() for _ in range(draws))]
    return [
        {name: within(parameter, share) for name, parameter in sweep["parameters"].items()}
        for share in shares
    ]


def within(parameter: dict[str, Any], share: float) -> Any:
    """Return the value of a parameter that lies at a share of the way from its least."""
    if values := parameter.get("values"):
        return values[min(int(share * len(values)), len(values) - 1)]
    low, high = parameter["min"], parameter["max"]
    if parameter["distribution"] == "log_uniform_values":
        return low ** (1 - share) * high**share
    value = low + share * (high - low)
    return round(value) if parameter["distribution"] == "int_uniform" else value


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_sweep_opens_with_its_commands_and_maximises_what_runs_log(path: Path) -> None:
    text = path.read_text()
    assert f"\n#   wandb sweep sweeps/{path.name}\n#   wandb agent " in text
    sweep = yaml.safe_load(text)
    assert sweep["metric"] == {"name": "val/set_iou", "goal": "maximize"}
    assert (Path(__file__).parents[2] / sweep["program"]).exists()
    assert ("--count" in text) == (sweep["method"] != "grid")  # the others never end


def test_an_experiment_wins_over_the_defaults() -> None:
    assert composed("experiment=layers").layer == "all"


def test_run_folders_name_data_model_and_layer_without_awkward_signs() -> None:
    for layer, slug in (
        ("features.14.conv.0", "features.14.conv.0"),
        ("null", "last"),
        ("'a/b c'", "a_b_c"),
    ):
        config = composed("model=mobilenet_v2", f"layer={layer}")
        assert re.fullmatch(rf"runs/[\d_-]+-shapes-mobilenet_v2-{re.escape(slug)}", config.run.dir)
