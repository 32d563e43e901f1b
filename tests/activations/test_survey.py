"""Thresholds and bits from one pass over the images, or from two: the same ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support import oracles
from support.planted import PlantedReader, World
from torch import Tensor, nn

from net2vec_pl.activations import Sink, quantiles, survey
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.data import ConceptDataModule, ImageBatch
from net2vec_pl.errors import BackboneError
from net2vec_pl.protocol import Protocol

TAU = 0.03


class Recorder(Sink):
    """Keep all that was sent."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.fired: dict[int, dict[int, list[int]]] = {}
        self.seen: list[tuple[int, Tensor, Tensor]] = []

    def add_pairs(self, batch: ImageBatch) -> None:
        self.rows += batch.row.tolist()
        self.pairs += zip(batch.row[batch.image].tolist(), batch.concept.tolist(), strict=True)

    def see(self, layer: int, row: Tensor, activation: Tensor) -> None:
        self.seen.append((layer, row, activation))

    def add_fired(self, layer: int, row: Tensor, index: Tensor) -> None:
        of_layer = self.fired.setdefault(layer, {})
        bits = zip(row.tolist(), index.tolist(), strict=True)
        for number, group in groupby(bits, key=lambda bit: bit[0]):
            assert number not in of_layer  # an image comes in one call, in one stretch
            of_layer[number] = [place for _, place in group]
            assert of_layer[number] == sorted(set(of_layer[number]))


class Passes:
    """Note what each pass over the images is for, and which rows it takes."""

    def __init__(self) -> None:
        self.rows: dict[str, list[int]] = {}

    def __call__(self, name: str) -> Callable[[Iterable[ImageBatch]], Iterable[ImageBatch]]:
        def note(batches: Iterable[ImageBatch]) -> Iterator[ImageBatch]:
            self.rows[name] = []
            for batch in batches:
                self.rows[name] += batch.row.tolist()
                yield batch

        return note


def network() -> nn.Sequential:
    """Return layers of which the second works in place on the first, the last on the third.

    One filter of each convolution answers below zero, so that its ReLU is dead.
    """
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, stride=2)
    with torch.no_grad():
        first.bias[0] = second.bias[0] = -9  # type: ignore[index]
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU6(inplace=True))


def frozen(reader: PlantedReader, *layers: str) -> list[FrozenBackbone]:
    first = FrozenBackbone(network(), layers[0], InputScaling.named("unit"), reader.image_size)
    return [first, *map(first.at, layers[1:])]


def activations(backbone: FrozenBackbone, reader: PlantedReader) -> Tensor:
    answer: Tensor = backbone(reader.images)
    return answer


def bits_by_row(
    activation: Tensor, threshold: Tensor, rows: npt.NDArray[np.int64]
) -> dict[int, list[int]]:
    """Return, literally, where A > T in each of some images; images without any are left out."""
    bits = oracles.binarise(activation.numpy(), threshold.numpy())
    return {row: found for row in rows.tolist() if (found := np.flatnonzero(bits[row]).tolist())}


def run(
    backbones: Sequence[FrozenBackbone],
    stream: ConceptDataModule,
    *,
    threshold_rows: npt.NDArray[np.int64] | None = None,
    thresholds: Sequence[Tensor] | None = None,
    sink_rows: npt.NDArray[np.int64] | None = None,
) -> tuple[list[Tensor], Recorder, Passes]:
    sink, passes = Recorder(), Passes()
    found = survey(
        backbones,
        stream,
        TAU,
        threshold_rows=stream.all_rows if threshold_rows is None else threshold_rows,
        thresholds=thresholds,
        sink=sink,
        sink_rows=stream.all_rows if sink_rows is None else sink_rows,
        track=passes,
    )
    return found, sink, passes


@pytest.fixture(scope="module")
def stream(reader: PlantedReader) -> ConceptDataModule:
    return World(reader, Protocol(), batch_size=7).stream()


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tails look at every other position, as of a dataset too large for all."""
    monkeypatch.setattr(quantiles, "sampling_shift", lambda *_: 1)


def test_one_pass_sends_what_two_passes_send(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    backbones = frozen(reader, "1")
    at_once, one, passes = run(backbones, stream)
    assert list(passes.rows) == ["thresholds and bits"]
    again, two, passes = run(backbones, stream, thresholds=at_once)
    assert list(passes.rows) == ["bits"]
    assert torch.equal(again[0], at_once[0])
    assert one.fired == two.fired
    assert sorted(one.rows) == sorted(two.rows) == stream.all_rows.tolist()
    assert one.pairs == two.pairs
    activation = activations(backbones[0], reader)
    values = activation.permute(1, 0, 2, 3).flatten(1).numpy()
    for threshold, of_filter in zip(at_once[0].tolist(), values, strict=True):
        assert threshold == pytest.approx(oracles.exact_threshold(of_filter, TAU), rel=1e-5)
    assert one.fired[0] == bits_by_row(activation, at_once[0], stream.all_rows)


def test_pairs_are_the_streams_own(reader: PlantedReader, stream: ConceptDataModule) -> None:
    _, sink, _ = run(frozen(reader, "1"), stream)
    expected = [(row, c) for row in sink.rows for c in stream.index[row].tolist()]
    assert sink.pairs == expected


@pytest.mark.usefixtures("sampled")
def test_sampled_tails_lead_to_a_second_pass_and_to_the_bits_above_them(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    backbones = frozen(reader, "1", "2")
    thresholds, sink, passes = run(backbones, stream)
    assert list(passes.rows) == ["thresholds", "bits"]
    assert sorted(sink.rows) == stream.all_rows.tolist()
    for layer, (backbone, threshold) in enumerate(zip(backbones, thresholds, strict=True)):
        activation = activations(backbone, reader)
        assert sink.fired[layer] == bits_by_row(activation, threshold, stream.all_rows)
    exact, _, _ = _unsampled(backbones, stream)
    assert not torch.equal(thresholds[0], exact[0])  # they were sampled indeed


def _unsampled(
    backbones: Sequence[FrozenBackbone], stream: ConceptDataModule
) -> tuple[list[Tensor], Recorder, Passes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "sampling_shift", lambda *_: 0)
        return run(backbones, stream)


def test_train_images_alone_may_set_the_thresholds(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    backbones = frozen(reader, "1")
    (threshold,), sink, passes = run(backbones, stream, threshold_rows=stream.train_rows)
    assert passes.rows["thresholds"] == stream.train_rows.tolist()
    assert passes.rows["bits"] == stream.all_rows.tolist()
    activation = activations(backbones[0], reader)
    values = activation[torch.from_numpy(reader.is_train)].permute(1, 0, 2, 3).flatten(1).numpy()
    for found, of_filter in zip(threshold.tolist(), values, strict=True):
        assert found == pytest.approx(oracles.exact_threshold(of_filter, TAU), rel=1e-5)
    assert sink.fired[0] == bits_by_row(activation, threshold, stream.all_rows)
    (of_all,), _, _ = run(backbones, stream)
    assert not torch.equal(threshold, of_all)


def test_train_images_that_want_train_bits_need_one_pass(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    rows = stream.train_rows
    (threshold,), sink, passes = run(
        frozen(reader, "1"), stream, threshold_rows=rows, sink_rows=rows[::-1].copy()
    )
    assert list(passes.rows) == ["thresholds and bits"]
    activation = activations(frozen(reader, "1")[0], reader)
    assert sink.fired[0] == bits_by_row(activation, threshold, rows)
    assert sorted(sink.rows) == rows.tolist()


@pytest.mark.parametrize("sampling", [False, True])
def test_several_layers_answer_as_each_does_alone(
    reader: PlantedReader,
    stream: ConceptDataModule,
    monkeypatch: pytest.MonkeyPatch,
    sampling: bool,
) -> None:
    if sampling:
        monkeypatch.setattr(quantiles, "sampling_shift", lambda *_: 1)
    layers = ("2", "0", "1", "3")  # in any order
    thresholds, sink, _ = run(frozen(reader, *layers), stream)
    for place, layer in enumerate(layers):
        (alone,), single, _ = run(frozen(reader, layer), stream)
        assert torch.equal(thresholds[place], alone), layer
        assert sink.fired[place] == single.fired[0], layer
    assert sink.rows == single.rows  # once, not once a layer
    assert not torch.equal(thresholds[1], thresholds[2])


def test_thresholds_alone_need_no_sink(reader: PlantedReader, stream: ConceptDataModule) -> None:
    backbones = frozen(reader, "1", "3")
    expected, _, _ = run(backbones, stream)
    passes = Passes()
    found = survey(backbones, stream, TAU, threshold_rows=stream.all_rows, track=passes)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
    assert list(passes.rows) == ["thresholds"]


def test_thresholds_that_are_known_are_not_looked_for(
    reader: PlantedReader, stream: ConceptDataModule
) -> None:
    backbones, rows = frozen(reader, "1"), stream.all_rows
    known, passes = [torch.full((5,), 0.1)], Passes()
    found = survey(backbones, stream, TAU, threshold_rows=rows, thresholds=known, track=passes)
    assert torch.equal(found[0], known[0])
    assert not passes.rows


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_layer_that_answers_with_nan_or_infinity_is_refused(
    reader: PlantedReader, stream: ConceptDataModule, value: float
) -> None:
    backbones = frozen(reader, "0", "2")
    with torch.no_grad():
        backbones[0].network[2].bias[1] = value  # type: ignore[index]
    with pytest.raises(
        BackboneError, match=r"layer '2' of network produced NaN or infinite activations"
    ):
        run(backbones, stream)
