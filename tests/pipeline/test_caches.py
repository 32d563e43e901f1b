"""``cache=disk`` from the command line: found again, refused, rebuilt."""

import json
import sys
from pathlib import Path

import pytest
from support.cli import QUICK, run_cli


def cache_of(folder: Path) -> Path:
    (found,) = (p for p in (folder / "cache").iterdir() if p.is_dir())
    return found


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "cache=disk", "run.dir=one") == 0
    return tmp_path


def no_network(*_arguments: object) -> None:
    raise AssertionError("the network was asked")


def test_a_second_run_does_not_ask_the_network_though_concepts_and_seed_differ(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By module: the package's own name ``survey`` is the function.
    monkeypatch.setattr(sys.modules["net2vec_pl.activations.survey"], "read_layers", no_network)
    again = [*QUICK, "cache=disk", "run.dir=two"]
    assert run_cli(monkeypatch, first, *again) == 0
    for name in ("concepts.csv", "filters.csv", "bank.safetensors"):
        assert (first / "one" / name).read_bytes() == (first / "two" / name).read_bytes()
    again = [*QUICK, "cache=disk", "run.dir=three", "data.categories=[color]", "seed=3"]
    assert run_cli(monkeypatch, first, *again) == 0


@pytest.mark.parametrize(
    "other",
    [
        "layer=conv4",
        "protocol.tau=0.01",
        "data.seed=1",
        "data.num_images=61",
        "model.scaling=torchvision",
        "protocol.threshold_images=train",
        "protocol.precision=bf16",
        "model.weights=null",
    ],
)
def test_whatever_changes_the_answers_gives_another_cache(
    other: str, first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [a for a in QUICK if a.split("=")[0] != other.split("=")[0]]
    assert run_cli(monkeypatch, first, *quick, "cache=disk", "run.dir=two", other) == 0
    assert len([p for p in (first / "cache").iterdir() if p.is_dir()]) == 2


def test_a_damaged_cache_is_said_and_built_anew(
    first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (part,) = cache_of(first).glob("*.h5")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert run_cli(monkeypatch, first, *QUICK, "cache=disk", "run.dir=two") == 0
    assert "is damaged or incomplete; it will be rebuilt" in (first / "two/train.log").read_text()
    assert (first / "one/concepts.csv").read_bytes() == (first / "two/concepts.csv").read_bytes()


def test_a_cache_under_a_wrong_name_is_refused(
    first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = cache_of(first) / "complete.json"
    content = json.loads(manifest.read_text())
    content["key"]["tau"] = 0.01
    manifest.write_text(json.dumps(content))
    assert run_cli(monkeypatch, first, *QUICK, "cache=disk", "run.dir=two") == 1
    stderr = capsys.readouterr().err
    assert "was made for something else (tau differ) and cannot be used" in stderr
