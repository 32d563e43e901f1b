"""The probe: joint equals separate, the oracle's training, gradients and checkpoints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support import oracles
from support.planted import PlantedReader, World, quiet_trainer
from torch import Tensor

from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.data import epoch_order
from net2vec_pl.errors import BackboneError
from net2vec_pl.probes import ConceptBank
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

FAST = Protocol(lr=0.02, lr_scaling="none", epochs=5, reference_batch_size=8)


def fit(world: World, folder: Path | None = None) -> SegmentationProbe:
    probe = world.probe()
    epochs = world.protocol.epochs
    trainer = quiet_trainer(epochs, num_sanity_val_steps=0, default_root_dir=folder)
    trainer.fit(probe, datamodule=world.stream())
    if folder is not None:
        trainer.save_checkpoint(folder / "last.ckpt")
    return probe


def scores(probe: SegmentationProbe, world: World) -> tuple[torch.Tensor, torch.Tensor]:
    """Return set IoU and average precision on val, (B, C) each."""
    stream = world.stream()
    counts, ap = score_bank(probe, stream, stream.pair_rows["val"])
    return counts.set_iou(probe.num_concepts), ap


@pytest.mark.parametrize(
    ("bias", "batch_size", "names"),
    [
        (False, 16, ("concept 1", "concept 2")),
        (True, 16, ("concept 1", "concept 2")),
        # Concept 3 is not in every image: one image a batch makes its batches the same.
        (False, 1, ("concept 1", "concept 2", "concept 3")),
    ],
)
def test_joint_training_equals_separate_training_on_the_same_batches(
    reader: PlantedReader, bias: bool, batch_size: int, names: tuple[str, ...]
) -> None:
    protocol = replace(FAST, bias=bias, epochs=2 if batch_size == 1 else FAST.epochs)
    joint = fit(World(reader, protocol, batch_size))
    for row, name in enumerate(names):
        alone = fit(World(reader, protocol, batch_size, names=(name,)))
        torch.testing.assert_close(alone.bank.weight[0], joint.bank.weight[row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_a_bank_of_two_seeds_learns_what_a_bank_of_each_learns(
    reader: PlantedReader, bias: bool
) -> None:
    protocol = replace(FAST, bias=bias)
    both = fit(World(reader, protocol, seeds=(0, 5)))
    assert both.num_banks == 2
    for place, seed in enumerate((0, 5)):
        alone = fit(World(reader, protocol, seeds=(seed,)))
        rows = slice(3 * place, 3 * place + 3)
        torch.testing.assert_close(both.bank.weight[rows], alone.bank.weight, rtol=0, atol=1e-6)
        if both.bank.bias is not None and alone.bank.bias is not None:
            torch.testing.assert_close(both.bank.bias[rows], alone.bank.bias, rtol=0, atol=1e-6)
    assert (both.bank.weight[:3] != both.bank.weight[3:]).any()


def test_seeds_are_scored_each_by_itself(reader: PlantedReader) -> None:
    world = World(reader, FAST, seeds=(0, 5))
    both = fit(world)
    set_iou, ap = scores(both, world)
    assert set_iou.shape == ap.shape == (2, 3)
    for place, seed in enumerate((0, 5)):
        alone = World(reader, FAST, seeds=(seed,)).probe()
        with torch.no_grad():
            alone.bank.weight.copy_(both.bank.weight[3 * place : 3 * place + 3])
        by_itself = scores(alone, world)
        assert torch.equal(by_itself[0][0], set_iou[place])
        assert torch.equal(by_itself[1][0], ap[place])


@pytest.mark.parametrize("batch_size", [8, 16, 64])
@pytest.mark.parametrize("loss", ["agreement", "bce"])
def test_a_concept_in_every_image_learns_what_the_oracle_learns(
    reader: PlantedReader, loss: str, batch_size: int
) -> None:
    """Batches that the reference batch divides give the oracle's own batches, one after another."""
    protocol = replace(FAST, loss=loss, lr=0.005, reference_batch_size=batch_size)  # type: ignore[arg-type]
    world = World(reader, protocol, batch_size=batch_size, names=("concept 1",))
    start = world.probe()
    stream = world.stream()
    rows = stream.pair_rows["train"]
    activation = start.backbone(reader.images)
    fired = (activation > start.thresholds[:, None, None]).numpy()
    place = {row: i for i, row in enumerate(rows.tolist())}
    orders = [
        np.array([place[r] for r in epoch_order(rows, 0, epoch).tolist()])
        for epoch in range(protocol.epochs)
    ]
    expected = oracles.train_one_concept(
        fired[rows],
        (reader.maps[:, 0] == 1).numpy()[rows],
        float(start.alpha[0]),
        start.bank.weight[0].detach().numpy().astype(np.float64),
        orders,
        lr=protocol.lr,
        batch=batch_size,
        loss=loss,  # type: ignore[arg-type]
    )
    learned = fit(world).bank.weight[0].detach().numpy()
    np.testing.assert_allclose(learned, expected, atol=1e-5)


def test_planted_concepts_are_found(reader: PlantedReader) -> None:
    world = World(reader, replace(FAST, epochs=30))
    (set_iou,), (ap,) = scores(fit(world), world)
    assert set_iou[0] > 0.9
    assert set_iou[1] > 0.8
    assert ap[0] > 0.9
    assert set_iou[2] < 0.7  # noise cannot be found


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_chunks_of_pairs_change_nothing_that_is_learned(
    reader: PlantedReader, bias: bool, size: int
) -> None:
    def learned(pairs_per_chunk: int | None) -> ConceptBank:
        world = World(reader, replace(FAST, bias=bias, epochs=2), pairs_per_chunk=pairs_per_chunk)
        return fit(world).bank

    torch.testing.assert_close(learned(size).weight, learned(None).weight, rtol=0, atol=1e-6)


def test_gradients_reach_the_bank_only_and_the_backbone_stays_as_it_was(
    reader: PlantedReader,
) -> None:
    world = World(reader, FAST)
    before = world.probe()
    probe = fit(world)
    trained = [name for name, p in probe.named_parameters() if p.requires_grad]
    assert trained == ["bank.weight"]
    assert not torch.equal(probe.bank.weight, before.bank.weight)
    assert weights_digest(probe.backbone) == weights_digest(before.backbone)
    torch.testing.assert_close(probe.thresholds, before.thresholds, rtol=0, atol=0)


def test_a_checkpoint_holds_bank_and_thresholds_and_loads_without_pickled_code(
    reader: PlantedReader, tmp_path: Path
) -> None:
    world = World(reader, FAST)
    probe = fit(world, tmp_path)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not any(key.startswith("backbone") for key in checkpoint["state_dict"])
    assert {"bank.weight", "thresholds"} <= set(checkpoint["state_dict"])
    fresh = world.probe()
    trainer = quiet_trainer(FAST.epochs + 1)
    trainer.fit(fresh, datamodule=world.stream(), ckpt_path=tmp_path / "last.ckpt")
    longer = fit(World(reader, replace(FAST, epochs=FAST.epochs + 1)))
    torch.testing.assert_close(fresh.bank.weight, longer.bank.weight, rtol=0, atol=0)
    assert not torch.equal(fresh.bank.weight, probe.bank.weight)


def _other_network(world: World) -> str:
    """Return all that is said of a checkpoint of a network with another digest."""
    own = world.probe().backbone
    return f"^the checkpoint is of a network with digest {own.digest}, but {own.model} has another"


def test_a_checkpoint_of_another_network_is_refused(reader: PlantedReader, tmp_path: Path) -> None:
    world = World(reader, FAST)
    fit(world, tmp_path)
    other = world.probe()
    other.backbone.digest = "another"
    trainer = pl.Trainer(max_epochs=9, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(BackboneError, match=_other_network(world)):
        trainer.fit(other, datamodule=world.stream(), ckpt_path=tmp_path / "last.ckpt")


# -------------------- what is logged and predicted


class Epochs(pl.Callback):
    """Note, at the end of every validation, the bank and what the metrics say of it."""

    def __init__(self) -> None:
        self.noted: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationProbe)
        metrics = pl_module.set_iou.compute().clone(), pl_module.ap.compute().clone()
        self.noted.append((pl_module.bank.weight.detach().clone(), *metrics))


def test_every_epoch_is_scored_by_itself(reader: PlantedReader) -> None:
    world = World(reader, replace(FAST, epochs=3), seeds=(0, 5))
    probe, epochs = world.probe(), Epochs()
    trainer = quiet_trainer(3, callbacks=[epochs], num_sanity_val_steps=0)
    trainer.fit(probe, datamodule=world.stream())
    assert len(epochs.noted) == 3
    for weight, set_iou, ap in epochs.noted:
        with torch.no_grad():
            probe.bank.weight.copy_(weight)
        expected = scores(probe, world)
        assert torch.equal(set_iou, expected[0].flatten())
        assert torch.equal(ap, expected[1].flatten())
    assert len({tuple(set_iou.tolist()) for _, set_iou, _ in epochs.noted}) == 3


@pytest.mark.parametrize("bias", [False, True])
def test_the_logged_loss_is_the_mean_over_all_pairs_of_all_banks(
    reader: PlantedReader, bias: bool
) -> None:
    protocol = replace(FAST, lr=1e-12, epochs=1, bias=bias)  # the bank stays where it is
    world = World(reader, protocol, batch_size=7, seeds=(0, 5))
    probe = world.probe()
    if probe.bank.bias is not None:
        with torch.no_grad():
            probe.bank.bias.copy_(torch.linspace(-1, 1, 6))
    trainer = quiet_trainer(1, num_sanity_val_steps=0)
    trainer.fit(probe, datamodule=world.stream())
    losses = []
    for row in np.flatnonzero(reader.is_train):
        bits = probe.backbone(reader.images[row][None])[0] > probe.thresholds[:, None, None]
        for place in range(6):
            mask = (reader.maps[row] == place % 3 + 1).any(0).double()
            if mask.any():
                logits = (probe.bank.weight[place].double()[:, None, None] * bits).sum(0)
                if probe.bank.bias is not None:
                    logits = logits + probe.bank.bias[place].double()
                m, alpha = logits.sigmoid(), float(probe.alpha[place])
                right = alpha * mask * m + (1 - alpha) * (1 - mask) * (1 - m)
                losses.append(-float(right.sum()))
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(np.mean(losses), rel=1e-5)


def test_masks_are_those_of_the_first_bank_where_its_logit_is_above_zero(
    reader: PlantedReader,
) -> None:
    world = World(reader, FAST, seeds=(0, 5))
    probe = world.probe()
    with torch.no_grad():
        probe.bank.weight[:3] = torch.tensor([[1.0, -1, 0], [0, 0, 0], [-1, 2, -1]])
    (batch,) = world.stream().rows_dataloader(np.array([4, 5, 7]))
    found = probe.masks(batch)
    rows, concepts = batch.row[batch.image].tolist(), batch.concept.tolist()
    for mask, row, concept in zip(found, rows, concepts, strict=True):
        bits = (probe.backbone(reader.images[row][None])[0] > 150 / 255).int()
        first, second, third = bits
        on = [first > second, torch.zeros_like(first).bool(), 2 * second > first + third][concept]
        assert torch.equal(mask, on)
    assert set(concepts) == {0, 1, 2}


def test_average_precision_that_is_not_wanted_is_not_a_number(reader: PlantedReader) -> None:
    world = World(reader, FAST, seeds=(0, 5))
    stream, probe = world.stream(), world.probe()
    counts, ap = score_bank(probe, stream, stream.pair_rows["val"], ap=False)
    assert ap.shape == (2, 3)
    assert ap.isnan().all()
    assert torch.equal(counts.set_iou(3), scores(probe, world)[0])
