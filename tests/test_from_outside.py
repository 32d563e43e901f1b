"""What a user adds from a folder of their own: one file, and an option or a line of YAML."""

import csv
from pathlib import Path

import pytest
from support.cli import QUICK, by_name, run_cli

from net2vec_pl.probes import BankFile

READER = """
import numpy as np
import torch
from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample


class Squares(ConceptReader):
    def __init__(self, count: int) -> None:
        self.name = "squares"
        self.categories = (Category("object", True),)
        self.vocabulary = Vocabulary([Concept(300, "square", "object", ("object",), True)])
        self.image_names = [str(n) for n in range(count)]
        self.is_train = np.arange(count) % 2 == 0
        self.annotated = np.ones((count, 1), dtype=np.bool_)
        self.image_size = self.mask_size = (32, 32)

    def __getitem__(self, row: int) -> Sample:
        labels = torch.zeros(1, 32, 32, dtype=torch.int32)
        labels[0, row % 16 : row % 16 + 12, 4:20] = 300
        image = (labels > 0).to(torch.uint8).expand(3, -1, -1) * 200
        return Sample(image.contiguous(), labels, ("object",), ())

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])
"""
NETWORK = """
import torch
from torch import nn


class Bright(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(3, width, 4, stride=4), nn.ReLU())
        with torch.no_grad():
            self[0].weight.fill_(1.0)
            self[0].bias.copy_(torch.arange(width) * 10.0)
"""
PROBE = """
import torch
from net2vec_pl.pipeline.fitter import Fitter


class Ones(Fitter):
    def fit(self, probe, stream):
        seen = sum(len(b.row) for b in stream.rows_dataloader(stream.pair_rows["train"]))
        with torch.no_grad():
            probe.bank.weight.fill_(seen)
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder of the user's own, from which the command line is started."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_reader_is_one_file_and_one_yaml(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "my_reader_file.py").write_text(READER)
    given = ["data=custom", "data._target_=my_reader_file.Squares", "+data.kwargs.count=12"]
    quick = [o for o in QUICK if not o.startswith("data.")]
    assert run_cli(monkeypatch, folder, *quick, *given, "run.dir=out") == 0
    found = by_name(folder / "out" / "concepts.csv")
    assert found["square"]["n_train"] == found["square"]["n_val"] == "6"
    # The same as a choice of its own name, in a folder of the user's own.
    (folder / "conf" / "data").mkdir(parents=True)
    (folder / "conf" / "data" / "squares.yaml").write_text(
        "defaults: [_concepts, _self_]\nname: squares\n"
        "_target_: my_reader_file.Squares\nkwargs: {count: 12}\n"
    )
    own = ["--config-dir", str(folder / "conf"), "data=squares", "run.dir=again"]
    assert run_cli(monkeypatch, folder, *own, *quick) == 0
    assert by_name(folder / "again" / "concepts.csv") == found


def test_a_network_is_one_file_and_one_yaml(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "my_network_file.py").write_text(NETWORK)
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "bright.yaml").write_text(
        "name: bright\n_target_: my_network_file.Bright\nkwargs: {width: 5}\n"
        "default_layer: '1'\nweights: null\nseed: 0\nscaling: unit\n"
    )
    own = ["--config-dir", str(folder / "conf"), "model=bright", "run.dir=out"]
    assert run_cli(monkeypatch, folder, *own, *QUICK) == 0
    with (folder / "out" / "filters.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 5
    assert BankFile.load(folder / "out" / "bank.safetensors").header["model"]["name"] == "bright"


def test_a_probe_is_one_file_and_one_option(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "my_probe_file.py").write_text(PROBE)
    own = ["protocol.probe=my_probe_file.Ones", "data.names=[sky,tree]", "run.dir=out"]
    assert run_cli(monkeypatch, folder, *QUICK, *own) == 0
    bank = BankFile.load(folder / "out" / "bank.safetensors")
    assert bank.header["protocol"]["probe"] == "my_probe_file.Ones"
    assert {*bank.weight.flatten().tolist()} == {float(len(_train_rows(folder / "out")))}
    assert "multi_val" in by_name(folder / "out" / "concepts.csv")["sky"]


def _train_rows(run: Path) -> range:
    """Return as many rows as train images contain sky or tree: all that are annotated do."""
    weight = BankFile.load(run / "bank.safetensors").weight
    rows = by_name(run / "concepts.csv").values()
    least, most = max(int(r["n_train"]) for r in rows), sum(int(r["n_train"]) for r in rows)
    assert least <= int(weight[0, 0]) <= most
    return range(int(weight[0, 0]))


def test_a_probe_that_cannot_be_loaded_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch, folder, *QUICK, "protocol.probe=nowhere.Probe", "run.dir=out") == 1
    assert "nowhere.Probe: cannot import 'nowhere'" in capsys.readouterr().err
    assert not (folder / "out" / "concepts.csv").exists()


def test_arguments_that_a_reader_does_not_take_are_told_in_one_message(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "my_reader_too.py").write_text(READER)
    given = ["data=custom", "data._target_=my_reader_too.Squares", "+data.kwargs.cuont=12"]
    quick = [o for o in QUICK if not o.startswith("data.")]
    assert run_cli(monkeypatch, folder, *quick, *given, "run.dir=out") == 1
    assert "my_reader_too.Squares, called with {'cuont': 12}: TypeError" in capsys.readouterr().err
