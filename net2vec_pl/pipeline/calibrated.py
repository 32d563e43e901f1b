"""Banks that read what closed forms read: their thresholds from train images, their val scores."""

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import ConceptBank
from net2vec_pl.training.scoring import Maps, score_all, thresholds_on


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
