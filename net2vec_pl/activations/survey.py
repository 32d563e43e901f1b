"""Ask a network about every image: thresholds, and where its layers fire.

Both come from one pass if they can: what lies above a filter's threshold is part of the upper tail
from which the threshold is read, so a tail that remembers places knows the bits already. Only where
a tail is sampled (more than some 12 million values a filter), or not all images set the thresholds,
is the network asked a second time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
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

Track = Callable[[str], Callable[[Iterable[ImageBatch]], Iterable[ImageBatch]]]


class Sink(ABC):
    """Where the answers of a survey go."""

    @abstractmethod
    def add_pairs(self, batch: ImageBatch) -> None:
        """Keep what a batch's images are labelled with; each image comes once."""

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
        track: Shows how far each pass is.

    Returns:
        T_k of each layer.

    Raises:
        BackboneError: If a layer answers with NaN or infinity.
    """
    if thresholds is None:
        covered = sink_rows is not None and bool(np.isin(sink_rows, threshold_rows).all())
        tails = [_tails(b, len(threshold_rows), tau, places=covered) for b in backbones]
        at_once = covered and all(tail.exact for tail in tails)
        wait_for = "thresholds and bits" if at_once else "thresholds"
        for batch in _images(stream, threshold_rows, backbones, track(wait_for)):
            for backbone, tail, answer in zip(
                backbones, tails, read_layers(backbones, batch.images), strict=True
            ):
                _check_finite(backbone, answer)
                tail.update(answer, batch.row)
            if sink is not None and at_once:
                sink.add_pairs(batch)
        thresholds = [tail.thresholds() for tail in tails]
        if sink is not None and at_once:
            for layer, (tail, threshold) in enumerate(zip(tails, thresholds, strict=True)):
                sink.add_fired(layer, *tail.fired(threshold))
            return thresholds
    if sink is not None and sink_rows is not None:
        for batch in _images(stream, sink_rows, backbones, track("bits")):
            sink.add_pairs(batch)
            answers = read_layers(backbones, batch.images)
            for layer, (answer, threshold) in enumerate(zip(answers, thresholds, strict=True)):
                image, index = (answer > threshold[:, None, None]).flatten(1).nonzero(as_tuple=True)
                sink.add_fired(layer, batch.row[image], index)
    return list(thresholds)


def _tails(backbone: FrozenBackbone, num_images: int, tau: float, *, places: bool) -> UpperTails:
    num_filters, h, w = backbone.shape
    return UpperTails(
        num_filters, num_images, h * w, tau, places=places, device=device_of(backbone)
    )


def _images(
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    backbones: Sequence[FrozenBackbone],
    track: Callable[[Iterable[ImageBatch]], Iterable[ImageBatch]],
) -> Iterable[ImageBatch]:
    batches = cast(Iterable[ImageBatch], stream.rows_dataloader(rows))
    return on_device(track(batches), backbones[0])


def _check_finite(backbone: FrozenBackbone, activation: Float[Tensor, "N K h w"]) -> None:
    if not activation.isfinite().all():
        raise BackboneError(
            f"layer {backbone.layer!r} of {backbone.model} answers with NaN or infinity: "
            "are these the right weights, and the right input scaling?"
        )
