"""Means of every image and spreads of every filter, from whichever passes go by."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support.gloo import in_processes
from support.planted import PlantedReader, World
from torch import Tensor, nn

from net2vec_pl import processes
from net2vec_pl.activations import PooledActivations, Sink, quantiles, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ConceptDataModule, ImageBatch
from net2vec_pl.functional.inputs import Transform, as_they_are, signed_root
from net2vec_pl.protocol import Protocol

CPU = torch.device("cpu")
ROWS, TAU = 9, 0.05


def answers(filters: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.1, 30, filters)[:, None, None]
    return scale * (torch.randn(ROWS, filters, 3, 4, generator=generator) - 0.5)


def pooled(
    spread_rows: list[int], transform: Transform, batches: list[list[int]]
) -> tuple[PooledActivations, list[Tensor]]:
    """Show two layers of 3 and 5 filters, batch after batch."""
    layers = [answers(3, 0), answers(5, 1)]
    found = PooledActivations([3, 5], ROWS, np.array(spread_rows, dtype=np.int64), transform)
    for rows in batches:
        row = torch.tensor(rows, dtype=torch.int64)
        for layer, answer in enumerate(layers):
            found.see(layer, row, answer[row])
    return found, layers


def literal_spread(layer: Tensor, rows: list[int], function: Callable[[Any], Any]) -> Any:
    """Return NumPy's standard deviation of each filter over some images and all positions."""
    values = function(layer.numpy().astype(np.float64))
    every = ([values[row, k].ravel() for row in rows] for k in range(values.shape[1]))
    return [np.std(np.concatenate(of_filter)) for of_filter in every]


@pytest.mark.parametrize(
    ("transform", "function"),
    [(as_they_are, lambda a: a), (signed_root, lambda a: np.sign(a) * np.sqrt(np.abs(a)))],
)
def test_mean_and_spread_are_numpys_over_the_right_images(
    transform: Transform, function: Callable[[Any], Any]
) -> None:
    spread_rows, batches = [6, 0, 3, 4], [[4, 1, 8], [], [0], [3, 6, 2]]
    found, layers = pooled(spread_rows, transform, batches)
    for layer, answer in enumerate(layers):
        for row in range(ROWS):
            mean = found.mean[layer][row].numpy()
            if row in (5, 7):  # these never came
                assert np.isnan(mean).all()
            else:  # the mean is of the activations, whatever the probe makes of them
                expected = answer[row].numpy().astype(np.float64).mean((1, 2))
                np.testing.assert_allclose(mean, expected, rtol=1e-5)
        expected = literal_spread(answer, spread_rows, function)
        np.testing.assert_allclose(found.spread(layer).numpy(), expected, rtol=1e-4)
        assert not np.allclose(expected, literal_spread(answer, [4, 1, 8, 0, 3, 6, 2], function))


def test_an_image_that_comes_twice_counts_once() -> None:
    rows = [0, 1, 2, 3]
    once, _ = pooled(rows, as_they_are, [[0, 1], [2, 3]])
    twice, _ = pooled(rows, as_they_are, [[0, 1], [1, 0, 2], [2, 3], [3]])
    for layer in range(2):
        torch.testing.assert_close(twice.mean[layer], once.mean[layer], equal_nan=True)
        torch.testing.assert_close(twice.spread(layer), once.spread(layer))


def test_a_dead_filter_has_no_spread() -> None:
    found = PooledActivations([2], 2, np.arange(2), as_they_are)
    dead = torch.stack([torch.zeros(2, 3, 3), torch.arange(18.0).view(2, 3, 3)], 1)
    found.see(0, torch.arange(2), dead)
    assert found.spread(0).tolist() == [0, pytest.approx(np.std(np.arange(18)), rel=1e-5)]


def test_what_nobody_has_seen_is_known() -> None:
    found, _ = pooled([0], as_they_are, [[4, 1], [8]])
    assert found.unseen(np.array([8, 7, 1, 0, 4]), CPU).tolist() == [7, 0]
    assert found.unseen(np.array([1, 4]), CPU).tolist() == []


# -------------------- two processes


def see_a_share(rank: int) -> tuple[list[list[float]], list[list[float]], list[int], list[int]]:
    """See this process's part of seven of nine images, one of them twice; tell what all know."""
    mine = processes.share(np.array([4, 1, 8, 0, 3, 6, 2])).tolist()
    found, _ = pooled([6, 0, 3, 4], signed_root, [mine[:2], mine[1:]])
    unseen = found.unseen(np.arange(ROWS), CPU).tolist()
    found.share(CPU)
    after = np.flatnonzero(found.mean[1].isnan().any(1)).tolist()
    mean = [values.nan_to_num(-1).flatten().tolist() for values in found.mean]
    return mean, [found.spread(layer).tolist() for layer in (0, 1)], unseen, after


def test_two_processes_know_what_one_knows() -> None:
    mean, spread, unseen, after = see_a_share(0)
    assert unseen == after == [5, 7]
    for told in in_processes(see_a_share):
        assert told[0] == mean
        for found, expected in zip(told[1], spread, strict=True):
            assert found == pytest.approx(expected, rel=1e-6)
        assert told[2:] == (unseen, after)


# -------------------- the pass that goes by


class Nothing(Sink):
    """Take everything and keep nothing."""

    def add_pairs(self, batch: ImageBatch) -> None:
        pass

    def see(self, layer: int, row: Tensor, activation: Tensor) -> None:
        pass

    def add_fired(self, layer: int, row: Tensor, index: Tensor) -> None:
        pass


class Watch:
    """Note what goes by."""

    def __init__(self) -> None:
        self.activations: list[dict[int, Tensor]] = [{}, {}]
        self.times: dict[int, int] = {}

    def __call__(self, layer: int, batch: ImageBatch, activation: Tensor) -> None:
        for number, answer in zip(batch.row.tolist(), activation, strict=True):
            self.activations[layer][number] = answer.clone()
            self.times[number] = self.times.get(number, 0) + (layer == 0)


@pytest.fixture(scope="module")
def stream(reader: PlantedReader) -> ConceptDataModule:
    return World(reader, Protocol(), batch_size=7).stream()


@pytest.fixture(scope="module")
def backbones(reader: PlantedReader) -> list[FrozenBackbone]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 4, 2))
    first = FrozenBackbone(network, "1", InputScaling.named("unit"), reader.image_size)
    return [first, first.at("2")]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("with_sink", [False, True])
@pytest.mark.parametrize("sampled", [False, True])
def test_every_watched_image_goes_by_whatever_else_is_asked(
    reader: PlantedReader,
    stream: ConceptDataModule,
    backbones: list[FrozenBackbone],
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
    with_sink: bool,
    sampled: bool,
) -> None:
    """Among them train images, which set thresholds, val images, and such as no sink wants."""
    monkeypatch.setattr(quantiles, "sampling_shift", lambda *_: int(sampled))
    watch, watched = Watch(), np.array([1, 3, 7, 22, 39])
    assert not reader.is_train[watched].all()
    assert reader.is_train[watched].any()
    survey(
        backbones,
        stream,
        TAU,
        threshold_rows=stream.train_rows,
        thresholds=[torch.zeros(5), torch.zeros(4)] if known else None,
        sink=Nothing() if with_sink else None,
        sink_rows=np.array([1, 3, 5]) if with_sink else None,
        watch=watch,
        watch_rows=watched,
    )
    for backbone, found in zip(backbones, watch.activations, strict=True):
        expected = backbone(reader.images)
        assert set(watched.tolist()) <= set(found)
        for row, answer in found.items():
            torch.testing.assert_close(answer, expected[row])
    assert watch.times[22] == watch.times[39] == 1  # none of it is asked for once too often


def test_a_watch_of_the_images_that_set_thresholds_costs_no_pass(
    stream: ConceptDataModule, backbones: list[FrozenBackbone]
) -> None:
    names: list[str] = []

    def track(name: str) -> Callable[[Any], Any]:
        names.append(name)
        return iter

    rows, watch = stream.all_rows, Watch()
    survey(
        backbones, stream, TAU, threshold_rows=rows, watch=watch, watch_rows=rows[::3], track=track
    )
    assert names == ["thresholds"]
    survey(
        backbones,
        stream,
        TAU,
        threshold_rows=rows[:8],
        watch=watch,
        watch_rows=rows,
        track=track,
    )
    assert names == ["thresholds", "thresholds", "activations"]
    assert [watch.times[row] for row in rows.tolist()] == [2] * len(rows)


def watch_a_share(rank: int, *, known: bool) -> tuple[list[float], list[float], list[int]]:
    """Survey in as many processes as there are; tell the means and spreads of one layer."""
    reader = PlantedReader()
    stream = World(reader, Protocol(), batch_size=7).stream()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True))
    backbone = FrozenBackbone(network, "1", InputScaling.named("unit"), reader.image_size)
    found = PooledActivations([5], len(reader), stream.train_rows, as_they_are)
    survey(
        [backbone],
        stream,
        TAU,
        threshold_rows=stream.train_rows,
        thresholds=[torch.zeros(5)] if known else None,
        watch=lambda layer, batch, activation: found.see(layer, batch.row, activation),
        watch_rows=stream.all_rows,
    )
    unseen = found.unseen(stream.all_rows, CPU).tolist()
    found.share(CPU)
    return found.mean[0].flatten().tolist(), found.spread(0).tolist(), unseen


@pytest.mark.parametrize("known", [False, True])
def test_processes_that_survey_together_pool_what_one_pools(known: bool) -> None:
    mean, spread, unseen = watch_a_share(0, known=known)
    assert unseen == []
    assert np.isfinite(mean).all()
    for told in in_processes(partial(watch_a_share, known=known)):
        assert told[0] == pytest.approx(mean, rel=1e-6)
        assert told[1] == pytest.approx(spread, rel=1e-6)
        assert told[2] == []
