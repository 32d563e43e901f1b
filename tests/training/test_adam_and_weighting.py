"""Adam row by row, learning rates that fall, decay, and pixels weighed by the IoU reached."""

import io
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import dense, oracles
from support.planted import PlantedReader, World, quiet_trainer
from support.row_steps import PER_STEP, ROWS, WIDTH, batches_of, trained_alone, trained_together
from torch import Tensor, nn

from net2vec_pl.protocol import Protocol
from net2vec_pl.training import RowwiseAdam, SegmentationProbe

LR = 0.1
FAST = Protocol(lr=0.02, lr_scaling="none", epochs=4, reference_batch_size=64)


# -------------------- Adam


def ours(weight: nn.Parameter, decay: float) -> RowwiseAdam:
    return RowwiseAdam([weight], ROWS, lr=LR, images_per_step=PER_STEP, weight_decay=decay)


def pytorchs(weight: nn.Parameter, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW([weight], lr=LR, weight_decay=decay)


@settings(deadline=None, max_examples=60)
@given(
    concepts=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=60),
    sizes=st.lists(st.integers(1, 11), min_size=60, max_size=60),
    flushes=st.sets(st.integers(0, 20)),
    decay=st.sampled_from([0.0, 0.3]),
)
def test_rows_step_as_adam_would_alone_however_pairs_are_batched(
    concepts: list[int], sizes: list[int], flushes: set[int], decay: float
) -> None:
    concept = torch.tensor(concepts)
    gradient = torch.randn(len(concepts), WIDTH, generator=torch.Generator().manual_seed(0))
    batches, flushes = batches_of(sizes, len(concepts), flushes)
    together = trained_together(partial(ours, decay=decay), concept, gradient, batches, flushes)
    for row in range(ROWS):
        ends = [int((concept[: sum(batches[: n + 1])] == row).sum()) for n in flushes]
        expected = trained_alone(
            partial(pytorchs, decay=decay), list(gradient[concept == row]), ends
        )
        torch.testing.assert_close(together[row], expected, rtol=0, atol=2e-5)


def test_a_saved_adam_goes_on_where_it_was() -> None:
    generator = torch.Generator().manual_seed(3)
    row = torch.randint(0, ROWS, (33,), generator=generator)
    gradient = torch.randn(33, WIDTH, generator=generator)

    def made(weight: nn.Parameter) -> RowwiseAdam:
        return RowwiseAdam([weight], ROWS, lr=LR, images_per_step=PER_STEP, weight_decay=0.1)

    through, stopped = (nn.Parameter(torch.ones(ROWS, WIDTH)) for _ in range(2))
    whole, before = made(through), made(stopped)
    for optimizer in (whole, before):
        optimizer.learn([gradient[:17]], row[:17])
    saved = io.BytesIO()
    torch.save(before.state_dict(), saved)
    saved.seek(0)
    resumed = nn.Parameter(stopped.detach().clone())
    after = made(resumed)
    after.load_state_dict(torch.load(saved, weights_only=True))
    assert after.state[resumed]["steps"].dtype == torch.int64
    for optimizer in (whole, after):
        optimizer.learn([gradient[17:]], row[17:])
        optimizer.step(flush=True)
    assert torch.equal(resumed, through)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weights_decay_and_biases_do_not(reader: PlantedReader, optimizer: str) -> None:
    protocol = replace(FAST, bias=True, optimizer=optimizer, weight_decay=0.5)  # type: ignore[arg-type]
    probe = World(reader, protocol).probe()
    assert probe.bank.bias is not None
    nn.init.ones_(probe.bank.bias)
    before = probe.bank.weight.detach().clone()
    step = probe.configure_optimizers()
    step.learn([torch.zeros(2, 3), torch.zeros(2)], torch.tensor([0, 2]))
    step.step(flush=True)
    expected = before * torch.tensor([1 - 0.02 * 0.5, 1, 1 - 0.02 * 0.5])[:, None]
    torch.testing.assert_close(probe.bank.weight.detach(), expected)
    assert probe.bank.bias.tolist() == [1, 1, 1]


# -------------------- the schedule, and the weight of pixels


class Diary(pl.Callback):
    """Note learning rates, weights and alphas as every epoch begins."""

    def __init__(self) -> None:
        self.lr: list[list[float]] = []
        self.weight: list[Tensor] = []
        self.alpha: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, SegmentationProbe)
        if batch_idx == 0:
            self.lr.append([group["lr"] for group in trainer.optimizers[0].param_groups])
            self.weight.append(pl_module.bank.weight.detach().clone())
            self.alpha.append(pl_module.alpha.clone())


def trainer_of(epochs: int, *callbacks: pl.Callback) -> pl.Trainer:
    return quiet_trainer(epochs, callbacks=list(callbacks), num_sanity_val_steps=0)


def fit(world: World, probe: SegmentationProbe | None = None) -> tuple[SegmentationProbe, Diary]:
    probe, diary = probe or world.probe(), Diary()
    trainer_of(world.protocol.epochs, diary).fit(probe, datamodule=world.stream())
    return probe, diary


def train_iou(world: World, probe: SegmentationProbe, weight: Tensor, row: int) -> float:
    """Return a row's set IoU over the train images with its concept, literally."""
    reader, inside, either = world.reader, 0, 0
    for image in range(len(reader)):
        mask = (reader.maps[image] == row % 3 + 1).any(0).numpy()
        if reader.is_train[image] and mask.any():
            answer = probe.backbone(reader.images[image][None])[0].numpy()
            bits = oracles.binarise(answer, probe.thresholds.numpy())
            counts = oracles.multi_filter_counts(weight.double().numpy(), bits, mask)
            inside, either = inside + counts[0], either + counts[1]
    return inside / either


@pytest.mark.parametrize("batch_size", [64, 11])
def test_alpha_follows_the_iou_of_the_epoch(reader: PlantedReader, batch_size: int) -> None:
    """One step an epoch, at its end: what is counted is what the weights at its start predict."""
    world = World(reader, replace(FAST, weighting="iou"), batch_size, seeds=(0, 5))
    probe, diary = fit(world)
    by_size = torch.tensor([entry.alpha for entry in world.selection().probed])
    torch.testing.assert_close(diary.alpha[0], by_size.repeat(2))
    after = [*diary.alpha[1:], probe.alpha]
    for weight, alpha in zip(diary.weight, after, strict=True):
        for row in range(6):
            iou = train_iou(world, probe, weight[row], row)
            assert float(alpha[row]) == pytest.approx(min(1 / (1 + iou / 2), 0.9999), abs=1e-6)
    assert len({round(a, 4) for a in probe.alpha.tolist()}) > 3


def test_what_is_nowhere_right_does_not_get_all_the_weight(reader: PlantedReader) -> None:
    world = World(reader, replace(FAST, weighting="iou", epochs=1))
    probe = world.probe()
    nn.init.constant_(probe.bank.weight, -1)
    probe, _ = fit(world, probe)
    assert probe.alpha.tolist() == pytest.approx([0.9999] * 3, abs=1e-7)


def test_a_concept_alone_is_weighed_as_beside_others(reader: PlantedReader) -> None:
    protocol = replace(FAST, weighting="iou", epochs=2)
    beside, _ = fit(World(reader, protocol))
    alone, _ = fit(World(reader, protocol, names=("concept 2",)))
    torch.testing.assert_close(alone.alpha, beside.alpha[1:2])


def test_by_size_alpha_stays(reader: PlantedReader) -> None:
    probe, diary = fit(World(reader, FAST))
    assert torch.equal(diary.alpha[0], probe.alpha)


@pytest.mark.parametrize("weighting", ["size", "iou"])
@pytest.mark.parametrize("decay", ["none", "cosine"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_epoch_steps_by_its_own_rate_and_weight_of_pixels(
    reader: PlantedReader, optimizer: str, decay: str, weighting: str
) -> None:
    """The whole course of one row, again, by autograd and PyTorch's optimisers."""
    protocol = replace(
        FAST, optimizer=optimizer, lr_decay=decay, weighting=weighting, loss="bce", weight_decay=0.2  # type: ignore[arg-type]
    )  # fmt: skip
    world = World(reader, protocol, batch_size=64)
    probe, diary = fit(world)
    for row in range(3):
        mask = (reader.maps == row + 1).any(1)
        mine = torch.from_numpy(reader.is_train) & mask.flatten(1).any(1)
        bits = (probe.backbone(reader.images[mine]) > probe.thresholds[:, None, None]).double()
        weight = nn.Parameter(diary.weight[0][row].double())
        buffer = torch.zeros(3, dtype=torch.float64)
        adam = torch.optim.AdamW([weight], weight_decay=0.2)
        alpha = float(diary.alpha[0][row])
        for epoch in range(protocol.epochs):
            rate = 0.02
            if decay == "cosine":
                rate *= (1 + math.cos(math.pi * epoch / protocol.epochs)) / 2
            logits = torch.einsum("nkhw,k->nhw", bits, weight)
            iou = float(((logits > 0) & mask[mine]).sum() / ((logits > 0) | mask[mine]).sum())
            loss = dense.loss("bce", logits, mask[mine], torch.full((len(bits),), alpha))
            (weight.grad,) = torch.autograd.grad(loss.mean(), weight)
            if optimizer == "adam":
                adam.param_groups[0]["lr"] = rate
                adam.step()
            else:
                buffer = 0.9 * buffer + weight.grad
                with torch.no_grad():
                    weight.copy_(weight * (1 - rate * 0.2) - rate * buffer)
            if weighting == "iou":
                alpha = min(1 / (1 + iou / 2), 0.9999)
        found = probe.bank.weight[row].detach().double()
        torch.testing.assert_close(found, weight.detach(), rtol=0, atol=1e-5)


def test_the_rate_falls_along_a_cosine_for_weights_and_biases(reader: PlantedReader) -> None:
    protocol = replace(FAST, lr_decay="cosine", bias=True, reference_batch_size=8)
    _, diary = fit(World(reader, protocol))
    expected = [0.02, 0.02 * (2 + 2**0.5) / 4, 0.01, 0.02 * (2 - 2**0.5) / 4]
    assert diary.lr == [pytest.approx([rate, rate]) for rate in expected]


@pytest.mark.parametrize("batch_size", [16, 64])
def test_a_fit_that_stopped_goes_on_with_its_weights_rates_and_alphas(
    reader: PlantedReader, tmp_path: Path, batch_size: int
) -> None:
    protocol = replace(
        FAST,
        weighting="iou",
        lr_decay="cosine",
        optimizer="adam",
        weight_decay=0.1,
        bias=True,
        reference_batch_size=8,
    )
    world = World(reader, protocol, batch_size, seeds=(0, 1))
    whole, _ = fit(world)
    first = trainer_of(2)
    first.fit(world.probe(), datamodule=world.stream())
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = world.probe()
    trainer_of(4).fit(
        resumed, datamodule=world.stream(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    for name, value in whole.state_dict().items():
        if name.startswith("bank.") or name == "alpha":
            assert torch.equal(resumed.state_dict()[name], value), name
