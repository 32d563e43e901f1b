"""Fit probes in closed form, from sums over train images."""

from collections.abc import Callable
from dataclasses import dataclass

import pytorch_lightning as pl
import torch

from net2vec_pl.data import ConceptDataModule
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.probes.closed_form import solution
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
        protocol, bank = probe.protocol, probe.bank
        assert bank.bias is not None
        moments, scale = self.moments(stream), probe.scale.double().cpu()
        kept = None if bank.kept is None else bank.kept.cpu().chunk(probe.num_banks)
        found = [
            solution(
                protocol.probe,
                moments,
                scale,
                protocol.shrinkage,
                share=protocol.own_covariance,
                kept=None if kept is None else kept[number],
            )
            for number in range(probe.num_banks if kept is not None else 1)
        ]
        if kept is None:  # nothing is random, so all banks are one
            found *= probe.num_banks
        with torch.no_grad():
            bank.weight.copy_(torch.cat([one.weight for one in found]))
            bank.bias.copy_(torch.cat([one.bias for one in found]))
