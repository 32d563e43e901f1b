"""Ask a network about every image: thresholds, and where its layers fire.

Both come from one pass if they can: what lies above a filter's threshold is part of the upper tail
from which the threshold is read, so a tail that remembers places knows the bits already. Only where
a tail is sampled (more than some 12 million values a filter), or not all images set the thresholds,
is the network asked a second time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int64
from torch import Tensor

from net2vec_pl.activations.extract import device_of, on_device
from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.backbones import FrozenBackbone, read_layers
from net2vec_pl.data import ConceptDataModule, ImageBatch
from net2vec_pl.errors import BackboneError

Watch = Callable[[int, ImageBatch, Tensor], None]
Track = Callable[[str], Callable[[Iterable[ImageBatch]], Iterable[ImageBatch]]]


class Sink(ABC):
    """Where the answers of a survey go."""

    @abstractmethod
    def add_pairs(self, batch: ImageBatch) -> None:
        """Keep what a batch's images are labelled with; each image comes once."""

    @abstractmethod
    def see(
        self, layer: int, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]
    ) -> None:
        """See the activations of the images of :meth:`add_pairs`; what of them to keep is free."""

    @abstractmethod
    def add_fired(self, layer: int, row: Int64[Tensor, "n"], index: Int64[Tensor, "n"]) -> None:
        """Keep where a layer fired.

        Args:
            layer: Which of the layers.
            row: The image of each bit that is set; an image comes in one call.
            index: Its flat index into (K, h, w), rising within an image.
        """


def survey(
    backbones: Sequence[FrozenBackbone],
    stream: ConceptDataModule,
    tau: float,
    *,
    threshold_rows: npt.NDArray[np.int64],
    thresholds: Sequence[Float[Tensor, "_"]] | None = None,
    sink: Sink | None = None,
    sink_rows: npt.NDArray[np.int64] | None = None,
    watch: Watch | None = None,
    watch_rows: npt.NDArray[np.int64] | None = None,
    track: Track = lambda _: lambda batches: batches,
) -> list[Float[Tensor, "_"]]:
    """Find the thresholds of some layers of one network, and send what fires to a sink.

    Args:
        backbones: One network, frozen at each of the layers.
        stream: The images.
        tau: Share of values above the threshold, in (0, 1).
        threshold_rows: The images that set the thresholds.
        thresholds: T_k of each layer, if they are known already.
        sink: Where answers go; nowhere if None.
        sink_rows: The images it wants; must be given with it. In one pass it gets all that set the
            thresholds.
        watch: Called with layer, batch and activations (N, K, h, w) of every batch that passes;
            an image may pass twice.
        watch_rows: Images that must pass; must be given with it.
        track: Shows how far each pass is.

    Returns:
        T_k of each layer.

    Raises:
        BackboneError: If a layer answers with NaN or infinity.
    """
    passes = _Passes(backbones, stream, watch, track)
    if thresholds is None:
        thresholds, served = _find(passes, tau, threshold_rows, sink, sink_rows)
        sink = None if served else sink
    if sink is not None and sink_rows is not None:
        for batch, activations in passes.over(sink_rows, "bits"):
            sink.add_pairs(batch)
            pairs = zip(activations, thresholds, strict=True)
            for layer, (activation, threshold) in enumerate(pairs):
                above = activation > threshold[:, None, None]
                image, index = above.flatten(1).nonzero(as_tuple=True)
                sink.see(layer, batch.row, activation)
                sink.add_fired(layer, batch.row[image], index)
    if watch_rows is not None:
        passes.make_up_for(watch_rows)
    return list(thresholds)


class _Passes:
    """Passes over images, which remember whom they have shown to the watch."""

    def __init__(
        self,
        backbones: Sequence[FrozenBackbone],
        stream: ConceptDataModule,
        watch: Watch | None,
        track: Track,
    ) -> None:
        self.backbones, self._stream, self._watch, self._track = backbones, stream, watch, track
        self._done: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def over(
        self, rows: npt.NDArray[np.int64], wait_for: str
    ) -> Iterator[tuple[ImageBatch, list[Tensor]]]:
        """Yield images, and what each layer answers to them."""
        self._done = np.union1d(self._done, rows)
        batches = cast(Iterable[ImageBatch], self._stream.rows_dataloader(rows))
        for batch in on_device(self._track(wait_for)(batches), self.backbones[0]):
            activations = read_layers(self.backbones, batch.images)
            if self._watch is not None:
                for layer, activation in enumerate(activations):
                    self._watch(layer, batch, activation)
            yield batch, activations

    def make_up_for(self, rows: npt.NDArray[np.int64]) -> None:
        """Show the watch what it has not seen."""
        missing = np.setdiff1d(rows, self._done)
        if len(missing):
            for _ in self.over(missing, "activations"):
                pass


def _find(
    passes: _Passes,
    tau: float,
    rows: npt.NDArray[np.int64],
    sink: Sink | None,
    sink_rows: npt.NDArray[np.int64] | None,
) -> tuple[list[Float[Tensor, "_"]], bool]:
    """Find thresholds, and serve the sink from the same pass if that can be; say whether it was."""
    covered = sink_rows is not None and bool(np.isin(sink_rows, rows).all())
    tails = [_tails(b, len(rows), tau, places=covered) for b in passes.backbones]
    keep = sink if covered and all(tail.exact for tail in tails) else None
    for batch, activations in passes.over(rows, "thresholds and bits" if keep else "thresholds"):
        for layer, (tail, activation) in enumerate(zip(tails, activations, strict=True)):
            _check_finite(passes.backbones[layer], activation)
            tail.update(activation, batch.row)
            if keep is not None:
                keep.see(layer, batch.row, activation)
        if keep is not None:
            keep.add_pairs(batch)
    thresholds = [tail.thresholds() for tail in tails]
    if keep is not None:
        for layer, (tail, threshold) in enumerate(zip(tails, thresholds, strict=True)):
            keep.add_fired(layer, *tail.fired(threshold))
    return thresholds, keep is not None


def _tails(backbone: FrozenBackbone, num_images: int, tau: float, *, places: bool) -> UpperTails:
    num_filters, h, w = backbone.shape
    return UpperTails(
        num_filters, num_images, h * w, tau, places=places, device=device_of(backbone)
    )


def _check_finite(backbone: FrozenBackbone, activation: Float[Tensor, "N K h w"]) -> None:
    if not activation.isfinite().all():
        raise BackboneError(
            f"layer {backbone.layer!r} of {backbone.model} produced NaN or infinite activations: "
            "are these the right weights, and the right input scaling?"
        )
