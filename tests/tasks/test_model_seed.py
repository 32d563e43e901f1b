"""A network with random weights is drawn from a seed of its own, so that seeds can be compared."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.cli import QUICK, run_cli

import net2vec_pl
from net2vec_pl.backbones import build_backbone
from net2vec_pl.probes import BankFile

SMALL = [*QUICK, "model.weights=null", "layer=conv2", "data.names=[sky,grass]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    cases = {"first": [], "seed": ["seed=1"], "network": ["model.seed=1"]}
    with pytest.MonkeyPatch.context() as patch:
        for name, options in cases.items():
            assert run_cli(patch, folder, *SMALL, *options, f"run.dir={name}") == 0
    return folder


def digest(run: Path) -> str:
    return str(BankFile.load(run / "bank.safetensors").header["weights_digest"])


def test_another_seed_is_another_bank_on_the_same_network(runs: Path) -> None:
    assert digest(runs / "first") == digest(runs / "seed")
    first, other = (BankFile.load(runs / name / "bank.safetensors") for name in ("first", "seed"))
    assert torch.equal(first.threshold, other.threshold)
    assert not torch.equal(first.weight, other.weight)


def test_another_model_seed_is_another_network(runs: Path) -> None:
    assert digest(runs / "first") != digest(runs / "network")


@pytest.mark.parametrize("name", ["first", "seed", "network"])
def test_a_bank_draws_its_network_again(runs: Path, name: str) -> None:
    assert net2vec_pl.load_bank(runs / name).backbone.digest == digest(runs / name)


def test_a_bank_from_before_draws_from_the_seed_of_its_run(runs: Path, tmp_path: Path) -> None:
    file = BankFile.load(runs / "network" / "bank.safetensors")
    model = {name: value for name, value in file.header["model"].items() if name != "seed"}
    older = replace(file, header=file.header | {"model": model, "seed": 1})
    older.save(tmp_path / "bank.safetensors")
    bank = net2vec_pl.load_bank(tmp_path / "bank.safetensors")
    assert bank.backbone.digest == file.header["weights_digest"]


def test_building_a_network_leaves_torchs_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_backbone(name="shapesnet", image_size=(32, 32), layer="conv1", seed=3)
    assert torch.equal(torch.rand(3), expected)
