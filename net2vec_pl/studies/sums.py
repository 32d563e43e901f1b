"""What closed forms of a layer are made of, for the questions that ask only its sums."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from net2vec_pl.data.groups import FEW
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes.closed_form import Scaled, Solution, halfway, shrunk, solution
from net2vec_pl.probes.moments import Moments, Sums
from net2vec_pl.studies.levels import Levels, reference_levels
from net2vec_pl.studies.study import Study

_LEAST_SHRINKAGE = 1e-8  # so that a covariance has a factor


@dataclass(frozen=True)
class LayerSums:
    """The sums of one layer, and LDA from them.

    Args:
        study: The layer.
    """

    study: Study

    @property
    def job(self) -> LayerJob:
        """The layer's job."""
        return self.study.job

    @cached_property
    def moments(self) -> Moments:
        """The sums by fold, of what closed forms beside the run's probe read."""
        return self.job.moments(self.job.beside_reads)

    @cached_property
    def scaled(self) -> Scaled:
        """The sums of all folds, over the scale of the filters."""
        return Scaled(self.moments.sums, self.job.beside_scale)

    @cached_property
    def difference(self) -> Float64[Tensor, "C K"]:
        """Mean inside of each concept less the mean outside."""
        return self.scaled.difference

    @property
    def shrinkage(self) -> float:
        """That of the run's protocol."""
        return self.job.setup.options.protocol.shrinkage

    @cached_property
    def covariance(self) -> Float64[Tensor, "K K"]:
        """The pooled covariance, shrunk, with a factor of Cholesky."""
        return shrunk(self.scaled.covariance, max(self.shrinkage, _LEAST_SHRINKAGE))

    @cached_property
    def spread(self) -> Float64[Tensor, "K"]:
        """Standard deviation of each filter over its scale: 1 unless the scale is another one."""
        return self.scaled.sums.spread * self.scaled.inverse

    @cached_property
    def full(self) -> Solution:
        """LDA from all folds over all filters."""
        return self.lda()

    def lda(self, sums: Sums | None = None) -> Solution:
        """Return LDA over all filters, from the sums of some folds or of all."""
        return solution("lda", self.moments, self.scaled.scale, self.shrinkage, sums=sums)

    def biases(self, weight: Float64[Tensor, "B C K"]) -> Float64[Tensor, "B C"]:
        """Return where to start the search for thresholds: half way between the two means."""
        return torch.stack([halfway(self.scaled, rows) for rows in weight])

    @cached_property
    def levels(self) -> Levels:
        """The reference level of each concept."""
        return reference_levels(self.study)

    @cached_property
    def folds(self) -> list[int]:
        """The folds that have images: whole groups of images may leave some empty."""
        return self.moments.count.nonzero().flatten().tolist()

    @property
    def in_folds(self) -> str:
        """How many folds there are, and of what, in words."""
        rows, groups = self.job.setup.stream.train_rows, self.job.setup.reader.groups
        told = f"{len(self.folds)} folds"
        if groups is not None:
            told += f" of whole groups ({len(np.unique(groups[rows]))} groups of train images)"
        return told

    @property
    def if_few(self) -> str:
        """What to add where folds are few; else empty."""
        return "" if len(self.folds) >= FEW else " So few folds say little."

    @property
    def level(self) -> Float64[np.ndarray, "C"]:
        """That on val; NaN where there is none."""
        return self.levels.val
