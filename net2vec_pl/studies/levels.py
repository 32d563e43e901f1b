"""What each concept's score has to be above: the level that needs no filter."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from net2vec_pl.data import ConceptBatch
from net2vec_pl.pipeline.calibrated import thresholds_of, val_counts
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.study import Study

NOT_ABOVE = "not above its reference level"


@dataclass(frozen=True)
class Levels:
    """Set IoU of each concept's reference level.

    Args:
        name: What the level is, for a sentence.
        train: On train; NaN where there is none.
        val: On val, likewise.
    """

    name: str
    train: Float64[np.ndarray, "C"]
    val: Float64[np.ndarray, "C"]


def reference_levels(study: Study) -> Levels:
    """Return the best reference level of each concept; a mask of every pixel where none is scored.

    Args:
        study: A layer that was segmented.
    """
    segmented = study.segmented
    if not segmented.knowledge:
        found = study.job.stages.once("everything", lambda: _every_pixel(study))
        train, val = (found[split].numpy() for split in ("train", "val"))
        return Levels("a mask of every pixel", train, val)
    train = np.stack([c.train.numpy() for c in segmented.contenders if c.role == "reference"])
    best = np.where(np.isnan(train), -np.inf, train).max(0)
    train = np.where(np.isfinite(best), best, np.nan)
    return Levels("the best reference level", train, segmented.level)


def _every_pixel(study: Study) -> Tensors:
    job = study.job
    stream, grid = job.activations.stream, job.backbone.shape[1:]

    def maps(batch: ConceptBatch) -> Float[Tensor, "1 P h w"]:
        return torch.ones(1, len(batch.concept), *grid, device=job.setup.device)

    _, train = thresholds_of(job, maps, stream, 1)
    counts, _ = val_counts(job, maps, stream, 1, ap=False)
    return {"train": train[0], "val": counts.set_iou(len(job.vocabulary))[0].double()}
