"""Banks that read what closed forms read: their thresholds from train images, their val scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import ConceptBank
from net2vec_pl.training.scoring import Maps, score_all, thresholds_on


@dataclass(frozen=True)
class Group:
    """Contenders whose maps come together, a bank each.

    Args:
        names: Of the contenders; B of them.
        maps: Returns their logits before they are calibrated.
        stream: What gives the batches.
        weight: Their embeddings; None where they have none.
        bias: The biases of banks to choose from; None where there are none.
        fixed: How many of them, the first ones, keep their threshold of 0.
        candidates: How many further banks come last, of which each concept takes the one with the
            highest set IoU on train; they are one contender, the last.
    """

    names: Sequence[str]
    maps: Maps
    stream: ConceptDataModule
    weight: Float[Tensor, "B C K"] | None = None
    bias: Float64[Tensor, "B C"] | None = None
    fixed: int = 0
    candidates: int = 0

    @property
    def num_banks(self) -> int:
        """Banks before candidates are chosen from."""
        return len(self.names) + max(self.candidates - 1, 0)

    def chosen(self, train: Float64[Tensor, "B C"]) -> Int64[Tensor, "D C"]:
        """Return the bank that each contender takes of each concept: candidates, the best on train.

        Args:
            train: Set IoU on train of every bank.
        """
        first = len(self.names) - 1 if self.candidates else len(self.names)
        banks = torch.arange(first)[:, None].expand(-1, train.shape[1])
        if not self.candidates:
            return banks.contiguous()
        best = first + train[first:].nan_to_num(-1.0).argmax(0)
        return torch.cat([banks, best[None]])

    def weight_of(self, bank: Int64[Tensor, "D C"]) -> Float[Tensor, "D C K"] | None:
        """Return the embeddings of some choice of banks."""
        return None if self.weight is None else self.weight[bank, torch.arange(bank.shape[1])]


@dataclass(frozen=True)
class Calibrated:
    """Contenders of a group at their thresholds.

    Args:
        group: The group.
        bank: The bank of the group that each takes of each concept.
        cut: Its threshold.
    """

    group: Group
    bank: Int64[Tensor, "D C"]
    cut: Float64[Tensor, "D C"]

    def maps(self, job: LayerJob) -> Maps:
        """Return what gives their logits on the grid, 0 at the threshold.

        Args:
            job: The layer.
        """
        group, maps = self.group, self.group.maps
        if group.candidates:
            weight = group.weight_of(self.bank)
            assert weight is not None
            assert group.bias is not None
            maps = bank_maps(job, weight, group.bias.gather(0, self.bank))
        cut = self.cut.float().to(job.setup.device)
        return lambda batch: maps(batch) - cut[:, batch.concept, None, None]


def bank_maps(
    job: LayerJob, weight: Float64[Tensor, "B C K"], bias: Float64[Tensor, "B C"]
) -> Maps:
    """Return what gives the logits of some banks on the grid, from batches of ``job.raw_stream``.

    Args:
        job: The layer.
        weight: Embeddings, of activations over ``job.beside_scale``.
        bias: Of each embedding.
    """
    bank = ConceptBank(weight.flatten(0, 1).float(), bias=True)
    assert bank.bias is not None
    with torch.no_grad():
        bank.bias.copy_(bias.flatten())
    return job.probe_beside(bank).to(job.setup.device).logits


def thresholds_of(
    job: LayerJob,
    maps: Maps,
    stream: ConceptDataModule,
    num_banks: int,
    counted: Bool[Tensor, "B rows"] | None = None,
) -> tuple[Float64[Tensor, "B C"], Float64[Tensor, "B C"]]:
    """Return thresholds from the layer's train images, and set IoU there at them.

    Args:
        job: The layer.
        maps: Returns logits on the grid.
        stream: What gives the batches.
        num_banks: B.
        counted: The images that count for each bank; all train images if None.
    """
    return thresholds_on(
        job.pixels,
        maps,
        stream,
        stream.scored_rows["train"],
        num_banks=num_banks,
        num_concepts=len(job.vocabulary),
        device=job.setup.device,
        counted=counted,
        track=job.setup.progress("thresholds of probes"),
    )


def val_counts(
    job: LayerJob, maps: Maps, stream: ConceptDataModule, num_banks: int, *, ap: bool
) -> tuple[BankCounts, Tensor]:
    """Score maps on the layer's val images; see :func:`~net2vec_pl.training.scoring.score_all`.

    Args:
        job: The layer.
        maps: Returns logits on the grid; what is above 0 after upsampling is the concept.
        stream: What gives the batches.
        num_banks: B.
        ap: Whether average precision is wanted.
    """
    return score_all(
        job.pixels,
        maps,
        stream,
        stream.scored_rows["val"],
        num_banks=num_banks,
        num_concepts=len(job.vocabulary),
        device=job.setup.device,
        ap=ap,
        track=job.setup.progress("scores of probes"),
    )


def calibrated_biases(
    job: LayerJob,
    weight: Float64[Tensor, "B C K"],
    bias: Float64[Tensor, "B C"],
    counted: Bool[Tensor, "B rows"] | None = None,
) -> tuple[Float64[Tensor, "B C"], Float64[Tensor, "B C"]]:
    """Return the biases of largest set IoU on train images, and that set IoU: one pass.

    Args:
        job: The layer.
        weight: Embeddings, of activations over ``job.beside_scale``.
        bias: Where to start: thresholds are searched in bins that are finest around 0.
        counted: The images that count for each bank; all train images if None.
    """
    maps = bank_maps(job, weight, bias)
    threshold, score = thresholds_of(job, maps, job.raw_stream, len(weight), counted)
    return bias - threshold, score


def val_set_iou(
    job: LayerJob, weight: Float64[Tensor, "B C K"], bias: Float64[Tensor, "B C"]
) -> Float64[Tensor, "B C"]:
    """Return set IoU of some banks on val: one pass."""
    maps = bank_maps(job, weight, bias)
    counts, _ = val_counts(job, maps, job.raw_stream, len(weight), ap=False)
    return counts.set_iou(len(job.vocabulary)).double()


def counted_folds(fold: Tensor, choices: list[tuple[int, ...]]) -> Bool[Tensor, "B rows"]:
    """Mark the images of each choice of folds.

    Args:
        fold: The fold of each row of the dataset, -1 for those that are not train images.
        choices: Folds, one choice for each bank.

    Example:
        >>> counted_folds(torch.tensor([0, 1, -1]), [(1,), (0, 1)]).tolist()
        [[False, True, False], [True, True, False]]
    """
    members = np.stack([np.isin(fold.numpy(), choice) for choice in choices])
    return torch.from_numpy(members)
