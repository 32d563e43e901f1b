"""Several layers and seeds from one pass: what each would have given alone."""

from pathlib import Path

import pytest
import torch
from support.cli import QUICK, by_name, read_table, run_cli

from net2vec_pl.probes import BankFile


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch:
        assert run_cli(patch, folder, *QUICK, "layer=[conv3,conv5]", "seeds=2", "run.dir=out") == 0
    return folder / "out"


@pytest.mark.parametrize("layer", ["conv3", "conv5"])
def test_a_layer_gives_what_it_gives_alone(
    layer: str, together: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, f"layer={layer}", "run.dir=out") == 0
    for name in ("concepts.csv", "filters.csv"):
        assert (together / layer / name).read_text() == (tmp_path / "out" / name).read_text()
    alone, beside = (
        BankFile.load(folder / "bank.safetensors")
        for folder in (tmp_path / "out", together / layer)
    )
    assert torch.equal(alone.weight, beside.weight)
    assert alone.other_seeds is None
    assert beside.other_seeds is not None
    assert beside.other_seeds.shape == (1, *alone.weight.shape)


def test_the_layers_are_tabulated(together: Path) -> None:
    rows = read_table(together / "layers.csv")
    assert [row["layer"] for row in rows] == ["conv3", "conv5"]
    assert all(0 <= float(row["multi_val"]) <= 1 for row in rows)
    assert not (together / "bank.safetensors").exists()


def test_seeds_are_tabulated_and_differ(together: Path) -> None:
    rows = read_table(together / "conv5" / "seeds.csv")
    concepts = by_name(together / "conv5" / "concepts.csv")
    assert {row["seed"] for row in rows} == {"0", "1"}
    for row in rows:
        if row["seed"] == "0":
            assert row["multi_val"] == concepts[row["name"]]["multi_val"]
            assert float(row["cosine"]) == pytest.approx(1, abs=1e-5)
        else:
            assert abs(float(row["cosine"])) < 0.9  # one epoch: mostly where it began
