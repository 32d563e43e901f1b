"""The directions of a layer that the causal question takes out and puts in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import one_hot

from net2vec_pl.analysis.erasure import Erasure, leace, projection
from net2vec_pl.analysis.filter_space import FilterSpace
from net2vec_pl.probes.closed_form import Scaled, lda, pattern
from net2vec_pl.probes.moments import Sums
from net2vec_pl.studies.study import Study

LDA, PATTERN, DIFFERENCE, FILTER = "lda", "pattern", "mean difference", "best filter"
EMBEDDING = "embedding"
_SAME = 0.9999  # cosine from which an embedding is LDA itself


@dataclass(frozen=True)
class Directions:
    """Unit directions of z, the filters over their spread.

    Args:
        space: Makes z of activations.
        kinds: What the vectors of a concept are called.
        own: A vector of each kind for each concept; 0 where there is none.
        random: Random ones.
        outside: Mean of z outside of each concept, in train images that have it.
        cross: Covariance of z with the share of a position that each concept covers.
        covariance: That of z.
    """

    space: FilterSpace
    kinds: tuple[str, ...]
    own: Float64[Tensor, "V J K"]
    random: Float64[Tensor, "R K"]
    outside: Float64[Tensor, "J K"]
    cross: Float64[Tensor, "J K"]
    covariance: Float64[Tensor, "K K"]

    @property
    def all(self) -> Float64[Tensor, "D K"]:
        """Those of concepts, kind by kind, then the random ones."""
        return torch.cat([self.own.flatten(0, 1), self.random])

    def erasures(self) -> list[Erasure]:
        """Return what takes out each of :attr:`own`, kind by kind, then LEACE of each concept.

        They bring z to what it is outside of the concept. (A constant along the direction does not
        matter to LEACE: what is left still tells nothing of the concept.)
        """
        by_kind = [
            projection(one, centre)
            for rows in self.own
            for one, centre in zip(rows, self.outside, strict=True)
        ]
        return by_kind + [
            leace(row, self.covariance, centre)
            for row, centre in zip(self.cross, self.outside, strict=True)
        ]

    def random_erasures(self, concept: int) -> list[Erasure]:
        """Return what changes z by as much, and where, as its pattern's erasure does, at random.

        Args:
            concept: Whose pattern it is.
        """
        own = projection(self.own[self.kinds.index(PATTERN), concept], self.outside[concept])
        length = own.write.norm()
        return [Erasure(own.read, length * row, own.centre) for row in self.random]


def directions_of(study: Study, concepts: Sequence[int], num_random: int) -> Directions:
    """Return the directions of some concepts, from the sums of raw activations.

    Args:
        study: The layer.
        concepts: Rows of the vocabulary.
        num_random: How many random directions.
    """
    sums = study.job.moments("raw").sums
    space, some = FilterSpace(sums.spread), list(concepts)
    scaled = Scaled(sums, sums.spread)
    weight = lda(scaled, study.job.setup.options.protocol.shrinkage)
    best = study.segmented.baseline.best_filter()[some].cpu()
    single = one_hot(best.clamp(min=0), weight.shape[1]).double()
    vectors = {
        LDA: weight[some],
        PATTERN: pattern(scaled, weight)[some],
        DIFFERENCE: scaled.difference[some],
        FILTER: single * (best >= 0)[:, None],
    }
    name, embedding = _embedding(study, sums)
    one, other = space.unit(embedding[some]), space.unit(weight[some])
    if ((one * other).sum(1) < _SAME).any():
        vectors[name] = embedding[some]
    return Directions(
        space,
        tuple(vectors),
        space.unit(torch.stack([*vectors.values()])),
        space.random(num_random, study.seed),
        scaled.means[1][some],
        _cross(scaled)[some],
        scaled.covariance,
    )


def _cross(scaled: Scaled) -> Float64[Tensor, "C K"]:
    """Return the covariance of z with each concept's share of a position, over all positions."""
    sums = scaled.sums
    together = sums.inside_total / sums.count * scaled.inverse
    return together - (sums.inside / sums.count)[:, None] * scaled.mean


def _embedding(study: Study, sums: Sums) -> tuple[str, Float64[Tensor, "C K"]]:
    """Return the embeddings of the run's own probe, and what they are called as directions of z.

    Bits and roots have no direction among activations. Their weights are lent to z all the same,
    and the name says so.
    """
    weight, reads = study.segmented.weight.double().cpu(), study.job.setup.options.protocol.input
    if reads != "raw":
        return f"{EMBEDDING} of {reads.removesuffix('s')}s", weight
    scale = study.job.activations.scale
    if scale is None:
        return EMBEDDING, weight * sums.spread
    scale = scale.double().cpu()
    return EMBEDDING, torch.where(scale > 0, weight / scale, 0.0) * sums.spread
