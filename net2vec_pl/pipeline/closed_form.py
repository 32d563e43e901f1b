"""Fit probes in closed form, from sums over train images."""

from collections.abc import Callable
from dataclasses import dataclass

import pytorch_lightning as pl
import torch

from net2vec_pl.data import ConceptDataModule
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.probes.closed_form import Scaled, Solution, solution, standardised
from net2vec_pl.probes.moments import Moments
from net2vec_pl.training import SegmentationProbe


@dataclass(frozen=True)
class ClosedFormFitter(Fitter):
    """Solves for the embeddings of every bank of a probe, each over the filters it may use.

    Args:
        moments: Returns the sums over the train images of a stream.
    """

    moments: Callable[[ConceptDataModule], Moments]

    def fit(self, probe: pl.LightningModule, stream: pl.LightningDataModule | None) -> None:
        """Set weights and biases; see :meth:`Fitter.fit`."""
        assert isinstance(probe, SegmentationProbe)
        assert isinstance(stream, ConceptDataModule)
        closed_form(probe, self.moments(stream))


@dataclass(frozen=True)
class SumFitter(Fitter):
    """Adds a discriminant in closed form to what gradient descent learns.

    Args:
        by_gradient: Learns by gradient descent.
        moments: Returns the sums over the train images of a stream.
    """

    by_gradient: Fitter
    moments: Callable[[ConceptDataModule], Moments]

    def fit(self, probe: pl.LightningModule, stream: pl.LightningDataModule | None) -> None:
        """Train the probe, then add the discriminant; see :meth:`Fitter.fit`."""
        assert isinstance(probe, SegmentationProbe)
        assert isinstance(stream, ConceptDataModule)
        self.by_gradient.fit(probe, stream)
        sum_with_lda(probe, self.moments(stream))


def closed_form(probe: SegmentationProbe, moments: Moments) -> None:
    """Solve for all banks of a probe by its protocol.

    Args:
        probe: The probe; its banks must have biases.
        moments: Sums over its train images.
    """
    _set(probe, _solutions(probe, moments, probe.protocol.probe))


def sum_with_lda(probe: SegmentationProbe, moments: Moments) -> None:
    """Add the discriminant to the embeddings of a probe, both over the spread of their scores.

    Args:
        probe: The probe; its banks must have biases.
        moments: Sums over its train images.
    """
    scaled = Scaled(moments.sums, probe.scale.double().cpu())
    learned = probe.bank.weight.detach().double().cpu().chunk(probe.num_banks)
    found = []
    for weight, lda in zip(learned, _solutions(probe, moments, "lda"), strict=True):
        both = [standardised(scaled, one).weight for one in (weight, lda.weight)]
        found.append(standardised(scaled, both[0] + both[1]))
    _set(probe, found)


def _solutions(probe: SegmentationProbe, moments: Moments, kind: str) -> list[Solution]:
    """Solve for every bank; nothing is random, so banks differ in the filters they may use."""
    protocol, scale = probe.protocol, probe.scale.double().cpu()
    kept = probe.bank.kept
    masks = [None] if kept is None else kept.cpu().chunk(probe.num_banks)
    share = protocol.own_covariance if moments.own_square.shape[1] else 0.0  # it may not fit
    found = [
        solution(kind, moments, scale, protocol.shrinkage, share=share, kept=mask) for mask in masks
    ]
    return found if kept is not None else found * probe.num_banks


def _set(probe: SegmentationProbe, found: list[Solution]) -> None:
    assert probe.bank.bias is not None
    with torch.no_grad():
        probe.bank.weight.copy_(torch.cat([one.weight for one in found]))
        probe.bank.bias.copy_(torch.cat([one.bias for one in found]))
