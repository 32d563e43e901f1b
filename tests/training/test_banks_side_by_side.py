"""Banks of other filters, other inputs and other penalties learn what each would by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import dense
from support.planted import PlantedReader, World, quiet_trainer
from torch import Tensor
from torch.nn.functional import interpolate

from net2vec_pl.analysis.subsets import top_filters
from net2vec_pl.data import epoch_order
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.protocol import Protocol
from net2vec_pl.training import SegmentationProbe, mean_slopes

FAST = Protocol(lr=0.02, lr_scaling="none", epochs=4, reference_batch_size=8)
EVERYWHERE = ("concept 1", "concept 2")  # in every image, so batches are alike for both
SCALE = torch.tensor([0.3, 0.0, 0.2])


def probe_of(
    world: World, bank: ConceptBank, *, scale: Tensor | None = None, off: Tensor | None = None
) -> SegmentationProbe:
    """Return a probe of any bank; filters that are off never fire."""
    made = world.probe()
    thresholds = made.thresholds.clone()
    if off is not None:
        thresholds[off] = torch.inf
    alpha = made.alpha[: made.num_concepts]
    size = world.reader.mask_size
    return SegmentationProbe(
        made.backbone, thresholds, bank, alpha, size, world.protocol, scale=scale
    )


def fit(probe: SegmentationProbe, world: World) -> SegmentationProbe:
    trainer = quiet_trainer(world.protocol.epochs, limit_val_batches=0)
    trainer.fit(probe, datamodule=world.stream())
    return probe


def starts(world: World) -> Tensor:
    return initial_rows(world.selection().vocabulary.numbers.tolist(), 3, 0)


# -------------------- subsets of the filters


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("bias", [False, True])
def test_all_subsets_of_all_concepts_learn_at_once_what_each_learns_alone(
    reader: PlantedReader, bias: bool, optimizer: str
) -> None:
    """Alone, filters that are not kept never fire; at once, their weights are held at zero."""
    protocol = replace(FAST, bias=bias, optimizer=optimizer, weight_decay=0.1)  # type: ignore[arg-type]
    world = World(reader, protocol, names=EVERYWHERE)
    start = starts(world)
    kept = torch.from_numpy(top_filters(start.double().numpy(), [1, 2, 3]))
    bank = ConceptBank(start.repeat(3, 1), bias=bias, kept=kept.flatten(0, 1))
    together = fit(probe_of(world, bank), world).bank
    assert not torch.equal(together.weight, ConceptBank(start.repeat(3, 1)).weight)
    assert (together.weight[~kept.flatten(0, 1)] == 0).all()
    assert (together.weight[kept.flatten(0, 1)] != 0).all()
    for place, of_size in enumerate(kept):
        for c, name in enumerate(EVERYWHERE):
            by_itself = World(reader, protocol, names=(name,))
            row = ConceptBank((start[c] * of_size[c])[None], bias=bias)
            alone = fit(probe_of(by_itself, row, off=~of_size[c]), by_itself).bank
            found = together.weight[2 * place + c]
            torch.testing.assert_close(found, alone.weight[0], rtol=0, atol=1e-6)
            if together.bias is not None and alone.bias is not None:
                found = together.bias[2 * place + c]
                torch.testing.assert_close(found, alone.bias[0], rtol=0, atol=1e-6)


def test_a_bank_of_one_subset_learns_what_it_learns_beside_others(reader: PlantedReader) -> None:
    """Concept 3 is not in every image: rows step at different times, in one bank as in three."""
    world = World(reader, FAST)
    start = starts(world)
    kept = torch.from_numpy(top_filters(start.double().numpy(), [1, 2, 3]))
    bank = ConceptBank(start.repeat(3, 1), kept=kept.flatten(0, 1))
    together = fit(probe_of(world, bank), world)
    assert together.num_banks == 3
    for place, of_size in enumerate(kept):
        alone = fit(probe_of(world, ConceptBank(start, kept=of_size)), world).bank.weight
        rows = slice(3 * place, 3 * place + 3)
        torch.testing.assert_close(together.bank.weight[rows], alone, rtol=0, atol=1e-6)
    whole = fit(world.probe(), world)  # all filters: the bank as ever
    torch.testing.assert_close(together.bank.weight[6:], whole.bank.weight, rtol=0, atol=1e-6)


def test_rows_that_keep_nothing_stay_nothing(reader: PlantedReader) -> None:
    world = World(reader, FAST)
    kept = torch.zeros(3, 3, dtype=torch.bool)
    kept[1] = True
    weight = fit(probe_of(world, ConceptBank(starts(world), kept=kept)), world).bank.weight
    assert not weight[[0, 2]].any()
    assert weight[1].all()


# -------------------- inputs that are not bits


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("loss", ["agreement", "bce"])
@pytest.mark.parametrize("kind", ["bits", "raw", "root"])
def test_any_input_learns_what_a_plain_loop_with_autograd_learns(
    kind: str, loss: str, bias: bool
) -> None:
    """A filter of scale zero never varies, and takes no part."""
    protocol = replace(
        FAST, input=kind, loss=loss, bias=bias, lr=0.002, epochs=3, momentum=0.5  # type: ignore[arg-type]
    )  # fmt: skip
    world = World(PlantedReader(mask=11), protocol, batch_size=8, names=EVERYWHERE, seeds=(0, 3))
    scale = None if kind == "bits" else SCALE
    bank = ConceptBank(torch.cat([starts(world), -starts(world)]), bias=bias)
    start = bank.weight.detach().double()
    probe = probe_of(world, bank, scale=scale)
    inputs = literal_inputs(probe, world.reader.images, kind)
    masks = torch.stack([(world.reader.maps == n).any(1) for n in (1, 2)])
    learned = fit(probe, world).bank
    rows = world.stream().pair_rows["train"]
    for row in range(4):
        alpha = float(probe.alpha[row])
        weight, b = plain_loop(protocol, start[row], inputs, masks[row % 2], alpha, rows)
        torch.testing.assert_close(learned.weight[row].double(), weight, rtol=0, atol=2e-6)
        assert (learned.weight[row] != start[row]).tolist() == [True, kind == "bits", True]
        if learned.bias is not None:
            torch.testing.assert_close(learned.bias[row].double(), b, rtol=0, atol=2e-6)
            assert b != 0


def literal_inputs(probe: SegmentationProbe, images: Tensor, kind: str) -> Tensor:
    answer: Tensor = probe.backbone(images).double()
    if kind == "bits":
        bits: Tensor = answer > probe.thresholds[:, None, None]
        return bits.double()
    made: Tensor = answer if kind == "raw" else answer.sign() * answer.abs() ** 0.5
    made = made / SCALE.double()[:, None, None]
    made[:, SCALE == 0] = 0
    return made


def plain_loop(
    protocol: Protocol,
    weight: Tensor,
    inputs: Tensor,
    masks: Tensor,
    alpha: float,
    rows: np.ndarray,
) -> tuple[Tensor, Tensor]:
    """Train one row: pixels are summed, images of a step averaged."""
    params = [
        weight.clone().requires_grad_(),
        torch.zeros((), dtype=torch.float64).requires_grad_(),
    ]
    learned = params if protocol.bias else params[:1]
    optimizer = torch.optim.SGD(learned, lr=protocol.lr, momentum=protocol.momentum)
    for epoch in range(protocol.epochs):
        order = epoch_order(rows, 0, epoch)
        for start in range(0, len(order), protocol.reference_batch_size):
            some = torch.from_numpy(order[start : start + protocol.reference_batch_size])
            logits = torch.einsum("nkhw,k->nhw", inputs[some], params[0]) + params[1]
            up = interpolate(logits[None], (11, 11), mode="bilinear", align_corners=True)[0]
            loss = dense.loss(protocol.loss, up, masks[some], torch.full((len(some),), alpha))
            for param, slope in zip(
                learned, torch.autograd.grad(loss.mean(), learned), strict=True
            ):
                param.grad = slope
            optimizer.step()
    return params[0].detach(), params[1].detach()


# -------------------- slopes, and the L1 penalty


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["bits", "raw", "root"])
def test_mean_slopes_are_autograds(reader: PlantedReader, kind: str, bias: bool) -> None:
    protocol = replace(FAST, input=kind, bias=bias)  # type: ignore[arg-type]
    world = World(reader, protocol, batch_size=7)
    bank = ConceptBank(torch.cat([starts(world), 9 * starts(world)]), bias=bias)
    if bank.bias is not None:
        torch.nn.init.normal_(bank.bias, generator=torch.Generator().manual_seed(0))
    probe = probe_of(world, bank, scale=None if kind == "bits" else SCALE)
    stream = world.stream()
    rows = stream.pair_rows["train"]
    found = mean_slopes(probe, stream.rows_dataloader(rows))
    inputs = literal_inputs(probe, reader.images, kind)
    assert found.shape == (3, 3)
    for c in range(3):  # of the first bank
        weight = bank.weight[c].detach().double().requires_grad_()
        with_it = [row for row in rows.tolist() if (reader.maps[row] == c + 1).any()]
        logits = torch.einsum("nkhw,k->nhw", inputs[with_it], weight)
        if bank.bias is not None:
            logits = logits + bank.bias[c].detach().double()
        masks = (reader.maps[with_it] == c + 1).any(1)
        alpha = probe.alpha[c].double().expand(len(with_it))
        (slope,) = torch.autograd.grad(dense.loss("agreement", logits, masks, alpha).mean(), weight)
        torch.testing.assert_close(found[c].double(), slope, rtol=1e-4, atol=1e-5)
        assert slope.abs().max() > 0.01
    assert found.isfinite().all()


def penalised(reader: PlantedReader, strengths: list[float]) -> tuple[Tensor, Tensor]:
    """Train from zero, one step an epoch; return weights (B, C, K) and slopes at zero (C, K)."""
    protocol = replace(FAST, epochs=40, reference_batch_size=64, loss="bce", lr=0.01)
    world = World(reader, protocol, batch_size=64)
    stream = world.stream()
    none = ConceptBank(torch.zeros(3, 3))
    slopes = mean_slopes(probe_of(world, none), stream.rows_dataloader(stream.pair_rows["train"]))
    pull = protocol.lr / (1 - protocol.momentum)
    shrink = torch.cat([pull * strength * slopes.abs().amax(1) for strength in strengths])
    bank = ConceptBank(torch.zeros(len(shrink), 3), shrink=shrink)
    return fit(probe_of(world, bank), world).bank.weight.detach().view(-1, 3, 3), slopes


def test_the_strongest_penalty_leaves_nothing_and_weaker_ones_leave_more(
    reader: PlantedReader,
) -> None:
    weight, slopes = penalised(reader, [1.0, 0.9, 0.5, 0.1, 0.01, 0.0])
    filters = (weight != 0).sum(2)
    assert not filters[0].any()
    assert (filters.diff(dim=0) >= 0).all()
    assert (filters[-1] == 3).all()
    for c in range(3):  # the filter of the largest slope leaves zero, downhill
        first = int(slopes[c].abs().argmax())
        assert weight[1, c, first].sign() == -slopes[c, first].sign()
    assert weight[1, 0].nonzero().flatten().tolist() == [0]  # concept 1 lies where channel 0 is


def test_a_penalty_of_nothing_is_no_penalty(reader: PlantedReader) -> None:
    world = World(reader, FAST)
    start = starts(world)
    shrunk, free = (
        fit(probe_of(world, ConceptBank(start, shrink=shrink)), world).bank.weight
        for shrink in (torch.zeros(3), None)
    )
    torch.testing.assert_close(shrunk, free, rtol=0, atol=1e-7)


def test_a_row_shrinks_when_it_steps_and_not_before() -> None:
    bank = ConceptBank(torch.tensor([[3.0, -0.5], [3.0, -0.5]]), shrink=torch.tensor([1.0, 1.0]))
    bank.constrain(torch.tensor([0]))
    assert bank.weight.tolist() == [[2.0, 0.0], [3.0, -0.5]]
    bank.constrain(torch.tensor([0, 1]))
    assert bank.weight.tolist() == [[1.0, 0.0], [2.0, 0.0]]
