"""Fit units to what layers give on train images, once, before anything else is done with them."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.extract import device_of, on_device
from net2vec_pl.activations.moments import steps_of
from net2vec_pl.backbones import FrozenBackbone, read_layers
from net2vec_pl.data import ImageBatch
from net2vec_pl.errors import BackboneError, DataError
from net2vec_pl.functional.inputs import as_they_are
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.runs.stages import Stages, Tensors
from net2vec_pl.units import Units
from net2vec_pl.units.fitting import components, factors

_STAGE = "units"
_SAMPLE = 20_000  # positions to which factors are fitted
_AT_ONCE = 8  # images, in float64
_log = logging.getLogger(__name__)


def with_fitted_units(setup: Setup, stages: Sequence[Stages]) -> Setup:
    """Return a setup whose layers are read in units that are fitted, if it asks for such.

    Args:
        setup: Whose units are blank where they are fitted.
        stages: Of each layer; those of a setup with blank units.

    Raises:
        BackboneError: If a layer goes below zero and its units cannot.
        DataError: If there are fewer positions than units.
    """
    choice = setup.subject.units
    if not choice.is_fitted:
        return setup
    kept = [stage.recall(_STAGE) for stage in stages]
    made = kept if all(kept) else _fitted(setup)
    backbones = [
        backbone.with_units(choice.fitted(stage.once(_STAGE, lambda one=one: one)))  # type: ignore[misc]
        for backbone, stage, one in zip(setup.backbones, stages, made, strict=True)
    ]
    return replace(setup, backbones=backbones)


def _fitted(setup: Setup) -> list[Tensors]:
    """Pass over the train images; the first process fits, and all have what it finds."""
    filters = [backbone.with_units(Units()) for backbone in setup.backbones]
    passes: list[_Pass]
    if setup.subject.units.name == "pca":
        rows = setup.stream.train_rows
        steps = steps_of(filters, setup.stream, as_they_are)
        passes = [_Sums(len(step), step) for step in steps]
    else:
        rows = _some(setup.stream.train_rows)
        passes = [_Sample(b, rows, setup.subject.units.options["seed"]) for b in filters]
    batches = setup.progress("fitting units")(setup.stream.rows_dataloader(rows))
    for batch in on_device(batches, filters[0]):
        assert isinstance(batch, ImageBatch)
        for one, activation in zip(passes, read_layers(filters, batch.images), strict=True):
            one.see(batch.row, activation)
    for one in passes:
        one.share()
    numbers = [backbone.shape[0] for backbone in setup.backbones]
    return processes.from_first(
        lambda: [one.fit(number) for one, number in zip(passes, numbers, strict=True)]
    )


def _some(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the train images from which positions are drawn, evenly among all."""
    few = min(len(rows), _SAMPLE)
    return rows[np.linspace(0, len(rows) - 1, few).round().astype(np.int64)]


class _Pass(ABC):
    """What units of one layer are fitted to."""

    @abstractmethod
    def see(self, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]) -> None:
        """Take in some images."""

    @abstractmethod
    def share(self) -> None:
        """Join what all processes have seen."""

    @abstractmethod
    def fit(self, number: int) -> Tensors:
        """Return the tensors of so many units."""


class _Sums(_Pass):
    """Exact sums over all positions; see :mod:`net2vec_pl.activations.moments`.

    Args:
        filters: K.
        step: What each filter is rounded to.
    """

    def __init__(self, filters: int, step: Float64[Tensor, "K"]) -> None:
        self._step = step
        self._count, self._total = step.new_zeros(1), step.new_zeros(filters)
        self._square = step.new_zeros(filters, filters)

    def see(self, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]) -> None:
        """Add some images."""
        for part in torch.split(activation, _AT_ONCE):
            flat = (part.double() / self._step[:, None, None]).round_().transpose(0, 1).flatten(1)
            self._count += flat.shape[1]
            self._total += flat.sum(1)
            self._square += flat @ flat.T

    def share(self) -> None:
        """Sum over all processes."""
        for value in (self._count, self._total, self._square):
            processes.sum_over(value)

    def fit(self, number: int) -> Tensors:
        """Return principal components."""
        step = self._step
        total, square = self._total * step, self._square * step * step[:, None]
        return components(self._count[0].cpu(), total.cpu(), square.cpu(), number)


class _Sample(_Pass):
    """Positions drawn from each image, as its row says: no batch and no process changes them.

    Args:
        backbone: The layer, read in filters.
        rows: The images.
        seed: Of the draw.
    """

    def __init__(self, backbone: FrozenBackbone, rows: npt.NDArray[np.int64], seed: int) -> None:
        self._backbone, self._seed, self._rows = backbone, seed, rows
        filters, height, width = backbone.shape
        each = min(-(-_SAMPLE // len(rows)), height * width)
        device = device_of(backbone)
        self._values = torch.zeros(len(rows), each, filters, device=device)
        self._least = torch.zeros(1, device=device)

    def see(self, row: Int64[Tensor, "N"], activation: Float[Tensor, "N K h w"]) -> None:
        """Draw from some images."""
        each, positions = self._values.shape[1], activation[0, 0].numel() if len(row) else 0
        for number, flat in zip(row.tolist(), activation.flatten(2), strict=True):
            rng = np.random.default_rng([self._seed, number])
            drawn = torch.from_numpy(rng.choice(positions, each, replace=False)).to(flat.device)
            self._values[np.searchsorted(self._rows, number)] = flat[:, drawn].T
            self._least = torch.minimum(self._least, flat.amin())

    def share(self) -> None:
        """Bring the draws of all processes together: where one has drawn, the others have zeros.

        Raises:
            BackboneError: If any activation is below zero.
        """
        processes.sum_over(self._values)
        least = float(torch.cat(processes.gather(self._least)).min())
        if least < 0:
            raise BackboneError(
                f"units=nmf factorises what is never below zero, but layer "
                f"{self._backbone.layer!r} of {self._backbone.model} gives values down to "
                f"{least:.3g}. units=pca takes any layer, and units=signed tells signs apart."
            )

    def fit(self, number: int) -> Tensors:
        """Return factors."""
        sample = self._values.flatten(0, 1).cpu()
        if len(sample) < number:
            raise DataError(
                f"units.count={number} is more than the {len(sample)} positions of the train "
                "images."
            )
        _log.info("factorising %d positions into %d factors", len(sample), number)
        return factors(sample, number, self._seed)
