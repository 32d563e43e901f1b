"""Parts of a user's own, given as objects: protocols, probes, questions, loggers, data."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import Dataset

import net2vec_pl
from net2vec_pl import Protocol
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.studies import Question, Study
from net2vec_pl.training import SegmentationProbe

SMALL = {"data.num_images": 60, "data.image_size": 32, "protocol.epochs": 1}
BARE: dict[str, Any] = {"analyses": "none", "beside": (), "device": "cpu", "options": SMALL}


def test_a_protocol_is_a_name_with_options_or_an_object() -> None:
    by_name = net2vec_pl.learn("shapesnet", protocol="lda", **BARE)
    own = Protocol(
        name="lda", probe="lda", input="root", bias=True, calibrate="train", epochs=1
    )  # as conf/protocol/lda.yaml says
    given = net2vec_pl.learn("shapesnet", protocol=own, **BARE)
    assert torch.equal(given.file.weight, by_name.file.weight)
    assert given.header["protocol"] == by_name.header["protocol"]
    other = net2vec_pl.learn("shapesnet", protocol=replace(own, shrinkage=0.5), **BARE)
    assert not torch.equal(given.file.weight, other.file.weight)


class Ones(Fitter):
    """Every embedding is one."""

    def fit(self, probe: pl.LightningModule, stream: pl.LightningDataModule | None) -> None:
        assert isinstance(probe, SegmentationProbe)
        with torch.no_grad():
            probe.bank.weight.fill_(1)


def test_a_probe_is_a_class() -> None:
    bank = net2vec_pl.learn("shapesnet", probe=Ones, **BARE)
    assert torch.equal(bank.file.weight, torch.ones_like(bank.file.weight))
    assert bank.header["protocol"]["probe"].endswith(".Ones")


@dataclass(frozen=True)
class Lengths(Question):
    """How long is the longest embedding?"""

    name: ClassVar[str] = "lengths"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    power: int = 2

    def run(self, study: Study) -> None:
        """State a finding."""
        longest = float(study.segmented.weight.norm(self.power, dim=1).max())
        study.find("How long?", "longest", longest, 1, f"The longest is {longest:.3f}.")


def test_a_question_is_an_object_beside_those_by_name() -> None:
    bank = net2vec_pl.learn(
        "shapesnet", **BARE | {"analyses": ["intervals", Lengths(power=1)], "beside": ()}
    )
    assert "gains" in bank.tables
    longest = bank.file.weight.norm(1, dim=1).max()
    found = [f for f in bank.findings if f.question == "How long?"]
    assert [f.value for f in found] == [pytest.approx(float(longest))]


def test_a_logger_is_one_of_lightning(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="", version="")
    net2vec_pl.learn("shapesnet", logger=logger, **BARE)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert any(row.get("val/set_iou") for row in rows)
    assert any(row.get("train/loss") for row in rows)


class Squares(Dataset[Any]):
    """Images of a square, bright or dark, with a mask for each kind."""

    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        at = (row + self.start) % 9
        square = torch.zeros(24, 24, dtype=torch.bool)
        square[at : at + 8, 4:16] = True
        kind = "bright" if row % 2 else "dark"
        image = torch.where(square, 250 if row % 2 else 60, 140).byte()
        return image.expand(3, -1, -1).contiguous(), {kind: square}


def test_two_datasets_are_train_and_val() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Tanh())
    bank = net2vec_pl.learn(
        network, data=(Squares(0, 20), Squares(3, 10)), protocol="lda", analyses="none", beside=()
    )
    assert {row.name: (row.n_train, row.n_val) for row in bank.scores} == {
        "dark": (10, 5), "bright": (10, 5),
    }  # fmt: skip
    assert bank.mask_size == (12, 12)
    only = net2vec_pl.learn(
        network, data=Squares(0, 24), names=["bright"], groups=[r // 4 for r in range(24)],
        split=0.5, protocol="lda", analyses="none", beside=(), mask_size=24,
    )  # fmt: skip
    assert only.names == ["bright"]
    assert only.mask_size == (24, 24)
    assert (only.scores[0].n_train, only.scores[0].n_val) == (6, 6)
