"""``ConceptProbe`` follows the concepts of a network that is being trained."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from net2vec_pl import ConceptProbe, ConceptReader, learn
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import ConfigError

NAMES = ["sky", "sea", "grass", "tree"]


class Classifier(pl.LightningModule):
    """Tells from an image which of some concepts it has; learns quickly."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.trunk = nn.Sequential(
                nn.Conv2d(3, 16, 5, stride=2, padding=2),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1),
                nn.BatchNorm2d(16),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
            )
            self.head = nn.Linear(16, len(NAMES))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.trunk(images).mean((2, 3)))
        return scores

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        images, present = batch
        return nn.functional.binary_cross_entropy_with_logits(self(images), present)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)


def batches(reader: ConceptReader) -> DataLoader[Any]:
    numbers = [c.number for c in reader.vocabulary.matching(NAMES)]
    images, present = [], []
    for row in range(len(reader)):
        sample = reader[row]
        images.append((sample.image.float() / 255 - 0.5) / 0.25)
        present.append([float((sample.label_maps == n).any()) for n in numbers])
    order = torch.Generator().manual_seed(0)
    return DataLoader(
        TensorDataset(torch.stack(images), torch.tensor(present)), 16, shuffle=True, generator=order
    )


def trained(
    reader: ConceptReader, folder: Path, epochs: int, *callbacks: pl.Callback, **options: Any
) -> tuple[Classifier, pl.Trainer]:
    module = Classifier()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **options,
    )
    torch.manual_seed(5)  # of dropout
    trainer.fit(module, batches(reader))
    return module, trainer


@pytest.fixture(scope="module")
def reader() -> ShapesReader:
    return ShapesReader(num_images=80, image_size=48)


def test_a_training_is_followed_and_not_disturbed(reader: ShapesReader, tmp_path: Path) -> None:
    probe = ConceptProbe("trunk.4", data=reader, names=NAMES, scaling="half")
    followed, trainer = trained(reader, tmp_path, 4, probe)
    alone, _ = trained(reader, tmp_path, 4)
    for mine, other in zip(followed.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine, other)
    assert followed.trunk[3].training
    assert [row.epoch for row in probe.history] == [e for e in range(5) for _ in NAMES]
    assert {row.step for row in probe.history} == {0, 5, 10, 15, 20}
    at_first, in_the_end = probe.history[: len(NAMES)], probe.history[-len(NAMES) :]
    assert all(math.isnan(row.cosine) for row in at_first)
    # The numbers are those of learn on the network as it is now.
    bank = learn(
        followed, "trunk.4", data=reader, names=NAMES, scaling="half", protocol="lda",
        analyses="none", beside=(), device="cpu",
    )  # fmt: skip
    for row in in_the_end:
        assert row.set_iou == bank.scores[row.name].multi_val
        assert row.norm == pytest.approx(float(bank[row.name].norm()))
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert logged["concepts/set_iou"] == pytest.approx(np.mean([r.set_iou for r in in_the_end]))
    assert logged["concepts/cosine"] == pytest.approx(np.mean([r.cosine for r in in_the_end]))
    assert logged["concepts/set_iou/sky"] == pytest.approx(bank.scores["sky"].multi_val)
    # The network learns to tell the concepts, and its layer to show them.
    assert np.mean([r.set_iou for r in in_the_end]) > np.mean([r.set_iou for r in at_first]) + 0.02


def test_cosines_are_those_of_neighbouring_vectors(reader: ShapesReader, tmp_path: Path) -> None:
    vectors: list[Tensor] = []

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert probe.bank is not None
            vectors.append(probe.bank["sky"].double())

    probe = ConceptProbe("4", data=reader, names=NAMES, network="trunk", every_n_epochs=2)
    trained(reader, tmp_path, 4, probe, Keep())
    sky = [row for row in probe.history if row.name == "sky"]
    assert [row.epoch for row in sky] == [0, 2, 4]
    a, b = vectors[1], vectors[3]
    assert sky[-1].cosine == pytest.approx(float(a @ b / (a.norm() * b.norm())))
    assert torch.equal(vectors[1], vectors[2])  # it does not probe after the third epoch


def test_a_training_that_goes_on_knows_what_was_before(
    reader: ShapesReader, tmp_path: Path
) -> None:
    def probe() -> ConceptProbe:
        return ConceptProbe("trunk.4", data=reader, names=NAMES, scaling="half")

    whole, first, second = probe(), probe(), probe()
    trained(reader, tmp_path, 3, whole)
    module, trainer = trained(reader, tmp_path, 2, first)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    again = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, callbacks=[second],
    )  # fmt: skip
    again.fit(module, batches(reader), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    assert [row.epoch for row in second.history] == [row.epoch for row in whole.history]
    assert repr(second.history[: 3 * len(NAMES)]) == repr(first.history)
    assert all(math.isfinite(row.cosine) for row in second.history[-len(NAMES) :])


def test_two_layers_are_followed_by_two_callbacks(reader: ShapesReader, tmp_path: Path) -> None:
    probes = [
        ConceptProbe(f"trunk.{at}", data=reader, names=NAMES, prefix=f"at{at}") for at in (1, 4)
    ]
    _, trainer = trained(reader, tmp_path, 1, *probes)
    assert {"at1/set_iou", "at4/set_iou"} <= {*trainer.callback_metrics}
    assert probes[0].history[-1].set_iou != probes[1].history[-1].set_iou


def test_another_training_begins_a_history_of_its_own(reader: ShapesReader, tmp_path: Path) -> None:
    probe = ConceptProbe("trunk.4", data=reader, names=NAMES)
    trained(reader, tmp_path, 1, probe)
    first = list(probe.history)
    trained(reader, tmp_path, 1, probe)
    assert repr(list(probe.history)) == repr(first)


def test_a_gradient_fit_within_a_fit(reader: ShapesReader, tmp_path: Path) -> None:
    probe = ConceptProbe(
        "trunk.4", data=reader, names=NAMES, protocol="paper", options={"protocol.epochs": 2}
    )
    followed, _ = trained(reader, tmp_path, 2, probe)
    alone, _ = trained(reader, tmp_path, 2)
    assert all(map(torch.equal, followed.parameters(), alone.parameters()))
    assert len(probe.history) == 3 * len(NAMES)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs=0 must be a whole number from 1"),
        ({"protocl": "lda"}, "unknown argument of ConceptProbe 'protocl'. Did you mean 'protocol'"),
        ({"data": "shaeps"}, "unknown dataset 'shaeps'"),
        ({"layer": ["a", "b"]}, "follow others by a ConceptProbe each"),
        ({"folder": "run"}, "unknown argument of ConceptProbe 'folder'"),
        ({"target": "classification"}, "unknown argument of ConceptProbe 'target'"),
        ({"protocol": "ldaa"}, "unknown choice of protocol 'ldaa'. Did you mean 'lda'"),
        ({"options": {"protocol.epochs": 0}}, "protocol.epochs"),
    ],
)
def test_mistakes_are_told_before_the_training(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ConceptProbe(**{"layer": "trunk.4"} | given)


def test_a_network_that_is_none_of_the_module(reader: ShapesReader, tmp_path: Path) -> None:
    probe = ConceptProbe("4", data=reader, network="trunc", names=NAMES)
    with pytest.raises(ConfigError, match=r"unknown network of Classifier 'trunc'.*trunk"):
        trained(reader, tmp_path, 1, probe)
    probe = ConceptProbe("trunk.9", data=reader, names=NAMES)
    with pytest.raises(Exception, match=r"unknown layer of Classifier 'trunk.9'"):
        trained(reader, tmp_path, 1, probe)
