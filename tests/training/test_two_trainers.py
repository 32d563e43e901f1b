"""Two processes of a gloo group, each with a Trainer, learn and score as one process does."""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from support.gloo import in_processes
from support.planted import PlantedReader, World, quiet_trainer

from net2vec_pl import processes
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, score_bank

BATCH_SIZE = 13  # of 30 train images: 13, 13 and 4; in two processes 7 and 6, 7 and 6, 2 and 2


@dataclass
class Told:
    """What a process tells of its training, in plain numbers."""

    rows: list[list[int]] = field(default_factory=list)
    clocks: list[list[int]] = field(default_factory=list)
    bank: list[list[float]] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    set_iou: list[float] = field(default_factory=list)
    ap: list[float] = field(default_factory=list)
    loss: float = 0.0


class Clocks(pl.Callback):
    """Note which rows a process sees, and after each batch how many images every row waits with."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, SegmentationProbe)
        state = trainer.optimizers[0].state[pl_module.bank.weight]
        self.told.clocks.append(state["images"].tolist())
        self.told.rows.append(batch.row.tolist())


def train(rank: int, *, bias: bool = False) -> Told:
    """Fit on the planted world, in as many processes as there are."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    told = Told()
    protocol = Protocol(
        lr=0.02, lr_scaling="none", epochs=3, reference_batch_size=8, bias=bias, loss="bce"
    )
    world = World(PlantedReader(), protocol, BATCH_SIZE, seeds=(0, 1))
    probe = world.probe()
    callbacks = Clocks(told)
    trainer = quiet_trainer(protocol.epochs, devices=1, num_sanity_val_steps=0, callbacks=callbacks)
    trainer.fit(probe, datamodule=world.stream())
    told.loss = float(trainer.callback_metrics["train/loss"])
    told.bank = probe.bank.weight.tolist()
    told.bias = [] if probe.bank.bias is None else probe.bank.bias.tolist()
    stream = world.stream()
    counts, ap = score_bank(probe, stream, stream.pair_rows["val"])
    told.set_iou, told.ap = counts.set_iou(3).flatten().tolist(), ap.flatten().tolist()
    return told


@pytest.mark.parametrize("bias", [False, True])
def test_two_processes_learn_and_score_as_one(bias: bool) -> None:
    one = train(0, bias=bias)
    two = in_processes(partial(train, bias=bias))
    for told in two:
        assert told.clocks == one.clocks
        np.testing.assert_allclose(told.bank, one.bank, rtol=0, atol=1e-5)
        np.testing.assert_allclose(told.bias, one.bias, rtol=0, atol=1e-5)
        assert told.loss == pytest.approx(one.loss, rel=1e-5)
        np.testing.assert_allclose(told.set_iou, one.set_iou, rtol=0, atol=1e-5)
        np.testing.assert_allclose(told.ap, one.ap, rtol=0, atol=1e-5)
    assert two[0].bank == two[1].bank
    assert [a + b for a, b in zip(two[0].rows, two[1].rows, strict=True)] == one.rows
    assert any(any(clock) for clock in one.clocks)
    start = World(PlantedReader(), Protocol(), seeds=(0, 1)).probe().bank.weight
    assert np.abs(np.array(one.bank) - start.detach().numpy()).max() > 0.1


# -------------------- what a group says of itself


Heard = dict[str, Any]


def ask(rank: int) -> Heard:
    """Use everything that processes do together."""
    rows = np.arange(7)

    def make() -> str:
        return f"made by {processes.rank()}"

    def fail() -> str:
        raise ValueError("only the first process tried")

    with pytest.raises(ValueError, match="only the first process tried"):
        processes.from_first(fail)
    processes.wait()
    return {
        "who": (processes.rank(), processes.count(), processes.is_first()),
        "share": processes.share(rows).tolist(),
        "sum": processes.sum_over(torch.tensor([rank + 1, 10])).tolist(),
        "gather": [part.tolist() for part in processes.gather(torch.tensor([rank, 5]))],
        "first": processes.from_first(make),
    }


def test_processes_sum_share_and_gather() -> None:
    first, second = in_processes(ask)
    assert first.pop("who") == (0, 2, True)
    assert second.pop("who") == (1, 2, False)
    assert first.pop("share") == [0, 2, 4, 6]
    assert second.pop("share") == [1, 3, 5]
    assert first == second
    assert first == {
        "sum": [3, 20],
        "gather": [[0, 5], [1, 5]],
        "first": "made by 0",
    }
