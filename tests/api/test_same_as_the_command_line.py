"""``learn`` is the command line's job: the same files, bit for bit, from names or live objects."""

from dataclasses import replace
from html import unescape
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from support.cli import QUICK, composed, run_cli, without
from support.real import LAYER

import net2vec_pl
from net2vec_pl.api.learning import learn
from net2vec_pl.api.request import Request
from net2vec_pl.backbones import FrozenBackbone, NetworkSpec
from net2vec_pl.config.plan import Plan
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.pipeline import segmentation
from net2vec_pl.pipeline.options import FitCallbacks
from net2vec_pl.probes import BankFile
from net2vec_pl.records.kinds import FolderTables

SMALL = {"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 1}
BARE: dict[str, Any] = {"analyses": "none", "beside": (), "device": "cpu", "options": SMALL}


def arguments_of(**given: Any) -> dict[str, Any]:
    """Return the arguments of a call with their defaults."""
    usual = {name: p.default for name, p in signature(learn).parameters.items()}
    return usual | {"network": "shapesnet"} | given


def of_a_run(folder: Path) -> dict[str, bytes]:
    """Read every table and bank that a run has left, by path."""
    files = [*folder.rglob("*.csv"), *folder.rglob("*.safetensors"), *folder.rglob("bank.md")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_by_default_both_do_the_same(tmp_path: Path) -> None:
    """Defaults stand in conf/ and, for editors to show, in the signature."""
    ours = Request(arguments_of(folder=tmp_path), tmp_path)
    theirs = Plan(composed())
    assert replace(ours.options, workers=0, callbacks=FitCallbacks(), trainer={}, forks=True) == (
        replace(theirs.options, workers=0, callbacks=FitCallbacks(), trainer={})
    )
    assert dict(ours.options.trainer) == dict(theirs.options.trainer)
    assert ours.questions == theirs.questions
    assert ours.subject.concepts == theirs.concepts
    assert ours.subject.network == theirs.network
    assert ours.subject.layers == theirs.layers
    assert ours.subject.on_error == theirs.on_error


def test_every_file_is_that_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = [f"{name}={value}" for name, value in SMALL.items()]
    usual = without(QUICK, "analysis", "beside", *SMALL)
    given = [*usual, *options, "target=both", "seeds=2", "analysis=basic", "run.dir=cli"]
    assert run_cli(monkeypatch, tmp_path, *given, "logger=none") == 0
    bank = learn(
        "shapesnet", target="both", seeds=2, device="cpu", options=SMALL, folder=tmp_path / "api"
    )
    wanted, found = of_a_run(tmp_path / "cli"), of_a_run(tmp_path / "api")
    assert len(wanted) > 20
    assert found == wanted
    bank.scores.to_csv(tmp_path / "concepts.csv")
    bank.save(tmp_path / "bank.safetensors")
    assert bank.classifiers is not None
    bank.classifiers.save(tmp_path / "classification.safetensors")
    for name in ("concepts.csv", "bank.safetensors", "classification.safetensors"):
        assert (tmp_path / name).read_bytes() == wanted[name]
    for name, table in FolderTables(tmp_path / "cli").items():
        assert repr(bank.tables[name]) == repr(table) or name in ("findings", "synthesis"), name


def test_a_live_network_and_a_reader_give_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, "layer=conv4", "run.dir=cli") == 0
    network = NetworkSpec({"name": "shapesnet", "weights": "shipped", "scaling": "half"})
    live = network.freeze(["conv4"], (32, 32))[0].network
    bank = learn(
        live,
        "conv4",
        data=ShapesReader(num_images=60, image_size=32),
        scaling="half",
        analyses="none",
        beside=(),
        device="cpu",
        options={"protocol.epochs": 1},
    )
    bank.scores.to_csv(tmp_path / "concepts.csv")
    assert (tmp_path / "concepts.csv").read_bytes() == (
        tmp_path / "cli" / "concepts.csv"
    ).read_bytes()
    theirs = BankFile.load(tmp_path / "cli" / "bank.safetensors")
    assert torch.equal(bank.file.weight, theirs.weight)
    assert torch.equal(bank.file.threshold, theirs.threshold)
    differing = {
        name for name, value in bank.header.items() if value != theirs.header.get(name, value)
    }
    assert differing == {"model"}
    assert bank.header["model"]["weights"] == "live"


def test_real_images_by_all_ways_in(
    monkeypatch: pytest.MonkeyPatch, shared: Path, tmp_path: Path
) -> None:
    """CamVid: the command line, a network by name, and a live one from a folder."""
    root = shared / "data" / "camvid_broden_224"
    weights = shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth"
    names = ["car", "building", "sky"]
    usual = without(QUICK, "data.", "beside")
    assert not run_cli(
        monkeypatch, tmp_path, *usual, "data=broden", f"data.root={root}", f"layer={LAYER}",
        "model=mobilenet_v2", f"model.weights={weights}", "data.names=[car,building,sky]",
        "beside=[lda]", "logger=none", "run.dir=cli",
    )  # fmt: skip
    common: dict[str, Any] = {
        "data": root,
        "names": names,
        "analyses": "none",
        "beside": ["lda"],
        "device": "cpu",
        "options": {"protocol.epochs": 1},
    }
    named = learn("mobilenet_v2", LAYER, weights=weights, folder=tmp_path / "api", **common)
    assert of_a_run(tmp_path / "api") == of_a_run(tmp_path / "cli")
    network = torchvision.models.mobilenet_v2(weights=None)
    network.load_state_dict(
        {k: v.float() for k, v in torch.load(weights, weights_only=True).items()}
    )
    live = learn(network, LAYER, **common)
    assert torch.equal(live.file.weight, named.file.weight)
    for name in ("concepts", "filters", "probes"):
        live.tables[name].to_csv(tmp_path / "live.csv")
        assert (tmp_path / "live.csv").read_bytes() == (
            tmp_path / "cli" / f"{name}.csv"
        ).read_bytes()


def test_several_layers_give_a_bank_each() -> None:
    banks = learn("shapesnet", ["conv4", "conv5"], **BARE)
    assert list(banks) == ["conv4", "conv5"]
    alone = learn("shapesnet", "conv4", **BARE)
    assert torch.equal(banks["conv4"].file.weight, alone.file.weight)
    assert repr(banks["conv4"].scores) == repr(alone.scores)
    assert isinstance(banks["conv5"].backbone, FrozenBackbone)


def test_the_folder_is_one_of_a_run_and_taken(tmp_path: Path) -> None:
    given = BARE | {"folder": tmp_path / "r"}
    bank = learn("shapesnet", **given)
    left = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"bank.safetensors", "concepts.csv", "report.html", ".hydra", "checkpoints"} <= left
    page = unescape((tmp_path / "r" / "report.html").read_text("utf-8"))
    assert "net2vec_pl.learn(network='shapesnet', analyses='none', beside=[], device='cpu'" in page
    again = net2vec_pl.load_bank(tmp_path / "r")
    assert repr(again.scores) == repr(bank.scores)
    with pytest.raises(net2vec_pl.Net2VecError, match="already holds a finished run"):
        learn("shapesnet", **given)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = BARE | {"folder": tmp_path / "r"}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segmentation, "_score", stop)
        with pytest.raises(KeyboardInterrupt):
            learn("shapesnet", **given)
    before = (tmp_path / "r" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    bank = learn("shapesnet", **given)
    assert (tmp_path / "r" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    wanted = learn("shapesnet", **given | {"folder": None})
    assert torch.equal(bank.file.weight, wanted.file.weight)
