"""Sums over train images: NumPy's, to the last bit, however images are cut into batches."""

from dataclasses import fields
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.gloo import in_processes
from support.planted import PlantedReader, World
from torch import Tensor, nn

from net2vec_pl.activations.extract import on_device
from net2vec_pl.activations.moments import MomentSums, folds_of, num_folds_for, steps_of
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.functional.inputs import INPUTS
from net2vec_pl.functional.shares import cell_shares
from net2vec_pl.probes.moments import Moments
from net2vec_pl.protocol import Protocol

FOLDS = 3


def frozen(reader: PlantedReader) -> FrozenBackbone:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 2))
    return FrozenBackbone(network, "2", InputScaling.named("unit"), reader.image_size)


def features(activation: Tensor, reads: str) -> Tensor:
    return (activation > 0.1).float() if reads == "bits" else INPUTS[reads](activation)


def world(batch_size: int) -> tuple[PlantedReader, FrozenBackbone, ConceptDataModule]:
    reader = PlantedReader()
    return reader, frozen(reader), World(reader, Protocol(), batch_size=batch_size).stream()


def one_by_one(reader: PlantedReader, backbone: FrozenBackbone) -> Tensor:
    """Return the activations of every image; a convolution's last bits depend on its batch."""
    return torch.cat([backbone(reader[row].image[None]) for row in range(len(reader))])


def summed(batch_size: int, reads: str, order: list[int] | None = None) -> Moments:
    """Sum the planted images; those that are no train images come by too."""
    reader, backbone, stream = world(batch_size)
    step = torch.ones(4).double() if reads == "bits" else step_of(backbone, stream, reads)
    fold = folds_of(stream.train_rows, len(reader), FOLDS)
    sums = MomentSums(backbone.shape, len(stream.index.numbers), fold, step, own=True)
    rows = stream.all_rows if order is None else np.array(order)
    activations = one_by_one(reader, backbone)
    for batch in on_device(stream.rows_dataloader(rows), backbone):
        sums.add(features(activations[batch.row], reads), batch)
    return sums.moments(torch.device("cpu"))


def step_of(backbone: FrozenBackbone, stream: ConceptDataModule, reads: str) -> Tensor:
    return steps_of([backbone], stream, INPUTS[reads])[0]


def literal(reads: str) -> dict[str, np.ndarray]:
    """Sum image by image and position by position, as the formulas are written."""
    reader, backbone, stream = world(1)
    activations = one_by_one(reader, backbone)
    step = torch.ones(4).double() if reads == "bits" else step_of(backbone, stream, reads)
    c, (k, h, w) = len(stream.index.numbers), backbone.shape
    found = {
        "count": np.zeros(FOLDS),
        "total": np.zeros((FOLDS, k)),
        "square": np.zeros((FOLDS, k, k)),
        "inside": np.zeros((FOLDS, c)),
        "inside_total": np.zeros((FOLDS, c, k)),
        "own_count": np.zeros((FOLDS, c)),
        "own_total": np.zeros((FOLDS, c, k)),
        "place": np.zeros((c, h, w)),
        "own_place": np.zeros((c, h, w)),
        "own_square": np.zeros((2, c, k, k)),
    }
    for place, row in enumerate(stream.train_rows.tolist()):
        fold = place * FOLDS // len(stream.train_rows)
        batch = next(iter(stream.rows_dataloader(np.array([row]))))
        read = features(activations[row][None], reads)[0].double()
        x = ((read / step[:, None, None]).round() * step[:, None, None]).numpy()
        shares = cell_shares(batch.masks(slice(None)), (h, w)).numpy()
        for i in range(h):
            for j in range(w):
                at = x[:, i, j]
                found["count"][fold] += 1
                found["total"][fold] += at
                found["square"][fold] += np.outer(at, at)
                for concept, share in zip(batch.concept.tolist(), shares, strict=True):
                    found["inside"][fold, concept] += share[i, j]
                    found["inside_total"][fold, concept] += share[i, j] * at
                    found["own_count"][fold, concept] += 1
                    found["own_total"][fold, concept] += at
                    found["place"][concept, i, j] += share[i, j]
                    found["own_place"][concept, i, j] += 1
                    found["own_square"][int(fold >= FOLDS // 2), concept] += np.outer(at, at)
    return found


@pytest.mark.parametrize("reads", ["raw", "root", "bits"])
def test_sums_are_those_of_a_loop_to_the_last_bit(reads: str) -> None:
    found, expected = summed(7, reads).tensors(), literal(reads)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name].numpy(), values), name
        assert values.any(), name


@pytest.mark.parametrize("batch_size", [1, 3, 40])
def test_batches_and_order_change_no_bit(batch_size: int) -> None:
    order = np.random.default_rng(0).permutation(40).tolist()
    one, other = summed(7, "root"), summed(batch_size, "root", order)
    for field in fields(Moments):
        assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


def in_a_share(_rank: int) -> dict[str, Tensor]:
    return summed(7, "root").tensors()


def test_two_processes_sum_to_the_same_bits() -> None:
    alone = summed(7, "root").tensors()
    for found in in_processes(in_a_share):
        for name, values in alone.items():
            assert torch.equal(found[name], values), name


def test_an_image_that_comes_twice_counts_once() -> None:
    once, twice = summed(7, "raw"), summed(7, "raw", [*range(40), *range(0, 40, 3)])
    for field in fields(Moments):
        assert torch.equal(getattr(once, field.name), getattr(twice, field.name)), field.name


def test_rounding_costs_next_to_nothing() -> None:
    """A filter has 2,048 steps and more: its variance moves by less than a ten thousandth."""
    reader, backbone, stream = world(7)
    images = torch.stack([reader[row].image for row in stream.train_rows.tolist()])
    x = INPUTS["raw"](backbone(images)).double().transpose(0, 1).flatten(1)
    spread = summed(7, "raw").sums.spread
    torch.testing.assert_close(spread, x.std(1, correction=0), rtol=1e-4, atol=0)


def test_a_filter_that_is_dead_in_the_sample_takes_the_step_of_the_largest() -> None:
    _, backbone, stream = world(7)

    def dead(activation: Tensor) -> Tensor:
        return activation * torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None, None]

    (step,) = steps_of([backbone], stream, dead)
    assert step[1] == step.max()
    assert torch.equal(step.log2(), step.log2().round())  # a power of two: products stay exact


def test_folds_may_be_summed_apart_and_again() -> None:
    moments = summed(7, "raw")
    parts = [moments.of([fold]) for fold in range(FOLDS)]
    assert moments.num_folds == FOLDS
    assert torch.equal(sum(part.square for part in parts), moments.sums.square)  # type: ignore[arg-type]
    assert torch.equal(moments.of([0, 0]).inside, 2 * parts[0].inside)


def test_memory_bounds_the_number_of_folds() -> None:
    assert num_folds_for([64]) == 20
    assert num_folds_for([2048] * 5) * 5 * 8 * 2048**2 <= 2**30
    assert num_folds_for([10**6]) == 1


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.integers(1, 20),
    st.sets(st.integers(0, 39)),
)
def test_no_fold_divides_a_group_and_none_is_empty(
    groups: list[int], num_folds: int, val: set[int]
) -> None:
    rows = np.array([row for row in range(len(groups)) if row not in val], dtype=np.int64)
    found = folds_of(rows, len(groups), num_folds, np.array(groups)).numpy()
    assert (found[[row for row in val if row < len(groups)]] == -1).all()
    of_group: dict[int, set[int]] = {}
    for row in rows.tolist():
        of_group.setdefault(groups[row], set()).add(int(found[row]))
    assert all(len(folds) == 1 for folds in of_group.values())
    if len(of_group) >= num_folds:
        assert {*found[rows].tolist()} == {*range(num_folds)}
    else:
        assert len({*found[rows].tolist()}) == len(of_group)
        assert found.max(initial=-1) < num_folds


@given(st.integers(1, 50), st.integers(1, 20), st.randoms())
def test_groups_of_one_image_have_the_folds_of_images(
    count: int, num_folds: int, random: Random
) -> None:
    groups = [*range(count)]
    random.shuffle(groups)
    rows = np.arange(count)
    plain = folds_of(rows, count, num_folds)
    assert torch.equal(folds_of(rows, count, num_folds, np.array(groups)), plain)


def test_even_groups_fill_folds_evenly() -> None:
    groups = np.repeat(np.arange(10), 3)
    assert folds_of(np.arange(30), 30, 5, groups).tolist() == [row // 6 for row in range(30)]
