"""What cannot be done is told as on the command line, by exceptions."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cli import QUICK, run_cli
from torch import nn
from torch.utils.data import DataLoader, Dataset

import net2vec_pl
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import BackboneError, ConfigError, DataError, RunFolderError

pytestmark = pytest.mark.usefixtures("untyped")
SMALL = {"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 1}
BARE: dict[str, Any] = {"analyses": "none", "beside": (), "device": "cpu", "options": SMALL}


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({"layer": "conv9"}, "layer=conv9"),
        ({"layer": ["conv4", "conv4"]}, "layer=[conv4,conv4]"),
        ({"network": "shapesnett"}, "model=shapesnett"),
        ({"protocol": "bset"}, "protocol=bset"),
        ({"probe": "ldaa"}, "protocol.probe=ldaa"),
        ({"seeds": 0}, "seeds=0"),
        ({"seed": -1}, "seed=-1"),
        ({"names": ["skyy"]}, "data.names=[skyy]"),
        ({"categories": ["objekt"]}, "data.categories=[objekt]"),
        ({"min_train": 1000}, "data.min_train=1000"),
        ({"on_error": "ignore"}, "data.on_error=ignore"),
        ({"target": "segment"}, "target=segment"),
        ({"cache": "ram"}, "cache=ram"),
        ({"analyses": "some"}, "analysis=some"),
        ({"analyses": ["intervalls"]}, "analysis.names=[intervalls]"),
        ({"beside": ["lda", "svm"]}, "beside=[lda,svm]"),
        ({"network": "shapesnettt"}, "model=shapesnettt"),
        ({"batch_size": 0}, "loader.batch_size=0"),
        ({"workers": -2}, "loader.workers=-2"),
        ({"weights": "/nowhere.pth"}, "model.weights=/nowhere.pth"),
        ({"scaling": "imagenet"}, "model.scaling=imagenet"),
        ({"options": SMALL | {"protocol.epochs": -1}}, "protocol.epochs=-1"),
        ({"options": SMALL | {"protocol.lr": "fast"}}, "protocol.lr=fast"),
        ({"options": SMALL | {"loader.speed": 1}}, "+loader.speed=1"),
    ],
)
def test_the_text_is_that_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, Any],
    typed: str,
) -> None:
    assert run_cli(monkeypatch, tmp_path, *QUICK, typed, "run.dir=out") == 1
    told = capsys.readouterr().err
    with pytest.raises(net2vec_pl.Net2VecError) as caught:
        net2vec_pl.learn(**{"network": "shapesnet"} | BARE | given)
    assert told.strip() == f"error: {caught.value}"


class Pairs(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, row: int) -> Any:
        mask = np.zeros((16, 16), dtype=np.uint8)
        mask[: row + 2, : 3 + row] = 1
        image = np.stack([mask * 200] * 3).astype(np.uint8)
        return torch.from_numpy(image), mask


class Keeping(nn.Module):
    """Keeps what cannot be copied: an activation with its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 2, stride=2)
        self.kept = self.first.weight * 2


NETWORK = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU())


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"network": 3}, ConfigError, "network=3 must be a torch.nn.Module or the name"),
        ({"weights": "a.pth"}, ConfigError, "a live one has its own"),
        ({"layer": "7"}, BackboneError, "unknown layer of Sequential '7'. .*Known: 0, 1"),
        ({"data": 7}, ConfigError, "data=int must be a torch Dataset"),
        ({"data": "shaeps"}, ConfigError, "unknown dataset 'shaeps'. Did you mean 'shapes'"),
        ({"data": "/no/where"}, DataError, "/no/where: no such folder"),
        ({"data": (Pairs(), Pairs(), Pairs())}, ConfigError, "two of them for train and val"),
        ({"names": None}, ConfigError, "names"),
        ({"split": 1.5}, ConfigError, "split"),
        ({"data": ShapesReader(num_images=8), "split": 0.2}, ConfigError, "split belongs to a"),
        ({"data": "shapes", "mask_size": 8}, ConfigError, "mask_size belongs to a torch Dataset"),
        ({"device": "tpu"}, ConfigError, "unknown device 'tpu'. .*Known: auto, cpu, cuda"),
        ({"device": "cuda:x"}, ConfigError, "unknown device 'cuda:x'"),
        ({"devices": 0}, ConfigError, "devices=0 must be a whole number from 1"),
        ({"devices": 2, "device": "cuda:1"}, ConfigError, "give device='cuda'"),
        ({"logger": "csv"}, ConfigError, "writes into the run folder: give folder=DIR"),
        ({"logger": "mlflow"}, ConfigError, "choice of logger 'mlflow'"),
        ({"logger": 7}, ConfigError, "logger=7 must be a logger of Lightning, or a name"),
        (
            {"protocol": {"epochs": 1}},
            ConfigError,
            r"protocol=.* must be the name .*protocol.epochs",
        ),
        ({"protocol": None}, ConfigError, "protocol=None must be the name of a protocol"),
        ({"layer": nn.ReLU()}, ConfigError, r"layer=ReLU\(\) must be the name of a layer"),
        ({"layer": []}, ConfigError, r"layer=\[\] must be the name of a layer"),
        ({"probe": nn.Linear}, ConfigError, "must be a name, or a class that extends"),
        ({"analyses": [3]}, ConfigError, "must be a name, or a list of names and of questions"),
        ({"seed": -1}, ConfigError, "seed=-1 must be a whole number from 0"),
        ({"seed": "a"}, ConfigError, "seed=a must be a whole number"),
        ({"progress": 1}, ConfigError, "progress=1 must be True or False"),
        ({"options": ["protocol.epochs=3"]}, ConfigError, "must be a dict by dotted name"),
        ({"options": {"seed": 3}}, ConfigError, "seed is an argument of its own, seed=SEED"),
        ({"options": {"layer": "0"}}, ConfigError, "layer is an argument of its own"),
        ({"options": {"data": "broden"}}, ConfigError, "data is an argument of its own"),
        ({"options": {"task": "doctor"}}, ConfigError, "task belongs to the command line"),
        ({"cache": "disk"}, ConfigError, r"needs a folder: options=\{\"cache.dir\": DIR\}"),
        ({"data": DataLoader(Pairs())}, ConfigError, "give its .dataset"),
        ({"folder": __file__}, RunFolderError, "cannot be made: File exists"),
        ({"network": torch.jit.script(nn.ReLU())}, BackboneError, "no layers that can be read"),
        ({"network": Keeping()}, BackboneError, "Keeping cannot be copied"),
    ],
)
def test_live_objects_have_messages_of_their_own(
    given: dict[str, Any], kind: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    usual: dict[str, Any] = {"network": NETWORK, "data": Pairs(), "names": ["square"]}
    with pytest.raises(kind, match=text):
        net2vec_pl.learn(**usual | BARE | {"options": None} | given)


def test_a_notebook_is_told_which_command_takes_several_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ConfigError, match=r"train.py trainer=ddp trainer.devices=2"):
        net2vec_pl.learn("shapesnet", **BARE, devices=2)


def test_a_bank_of_a_live_network_asks_for_it(tmp_path: Path) -> None:
    bank = net2vec_pl.learn(NETWORK, "1", data=Pairs(), names=["square"], **BARE | {"options": {}})
    bank.save(tmp_path / "bank.safetensors")
    again = net2vec_pl.load_bank(tmp_path / "bank.safetensors")
    with pytest.raises(BackboneError, match=r"live network of class torch.nn.*network=\.\.\."):
        again.segment(Pairs()[0][0])
    again = net2vec_pl.load_bank(tmp_path / "bank.safetensors", network=NETWORK)
    assert torch.equal(again.segment(Pairs()[0][0]), bank.segment(Pairs()[0][0]))
    with pytest.raises(net2vec_pl.Net2VecError, match="loaded from a file alone"):
        _ = again.scores
    with pytest.raises(net2vec_pl.Net2VecError, match="no longer has"):
        net2vec_pl.load_bank(_a_run(tmp_path)).report(tmp_path / "report.html")


def test_what_a_bank_is_asked_for_is_checked_before_it_works(tmp_path: Path) -> None:
    bank = net2vec_pl.learn("shapesnet", **BARE)
    with pytest.raises(RunFolderError, match="there is no folder"):
        bank.save(tmp_path / "nowhere" / "bank.safetensors")
    with pytest.raises(RunFolderError, match="is a folder; name a file in it"):
        bank.report(tmp_path)
    with pytest.raises(ConfigError, match="size=0 must be a number of pixels above 0"):
        bank.segment(Pairs()[0][0], size=0)
    assert bank.segment(Pairs()[0][0], ["sky"], size=7).shape == (1, 1, 7, 7)
    with pytest.raises(ConfigError, match=r"compare\(\) takes a Bank, not str"):
        bank.compare("bank.safetensors")
    with pytest.raises(KeyError, match=r"unknown table 'filter'. Did you mean 'filters'"):
        bank.tables["filter"]
    for device, text in (("tpu", "unknown device .tpu."), ("cuda:99", "this machine has")):
        with pytest.raises(ConfigError, match=text):
            net2vec_pl.Bank(bank.file, device=device)
    assert net2vec_pl.Bank(bank.file, device="auto").device.type in ("cpu", "cuda")


def test_images_may_be_what_a_dataset_gives() -> None:
    bank = net2vec_pl.learn("shapesnet", **BARE)
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    wanted = bank.logits(image)
    assert torch.equal(bank.logits(image.permute(1, 2, 0).numpy()), wanted)
    assert torch.equal(bank.logits(image / 255), wanted)
    with pytest.raises(DataError, match="It looks normalised"):
        bank.logits(image / 100 - 1)


def test_several_layers_are_not_a_run_that_did_not_finish(tmp_path: Path) -> None:
    net2vec_pl.learn("shapesnet", "all", **BARE, folder=tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"those of several layers. Did you mean .*conv1"):
        net2vec_pl.load_bank(tmp_path / "run")


def _a_run(folder: Path) -> Path:
    net2vec_pl.learn("shapesnet", **BARE, folder=folder / "run")
    return folder / "run"
