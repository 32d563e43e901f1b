"""Sums over train images from which probes follow without an epoch: counts, means, covariances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from jaxtyping import Float64, Int64
from torch import Tensor

_ROUNDING = 1e-10


@dataclass(frozen=True)
class Sums:
    """Sums over some train images: x is what a filter gives at a position, f a concept's share.

    Args:
        count: Positions.
        total: Sum of x.
        square: Sum of x x'.
        inside: Sum of f, over the images that contain the concept.
        inside_total: Sum of f x, over the same.
        own_count: Positions of the images that contain the concept, each by the share of its
            pixels that is known.
        own_total: Sum of x over these, weighted likewise.
    """

    count: Float64[Tensor, ""]
    total: Float64[Tensor, "K"]
    square: Float64[Tensor, "K K"]
    inside: Float64[Tensor, "C"]
    inside_total: Float64[Tensor, "C K"]
    own_count: Float64[Tensor, "C"]
    own_total: Float64[Tensor, "C K"]

    def only(self, concept: int, filters: Int64[Tensor, "F"]) -> "Sums":
        """Return the sums of one concept over some filters."""
        one = slice(concept, concept + 1)
        return Sums(
            self.count,
            self.total[filters],
            self.square[filters][:, filters],
            self.inside[one],
            self.inside_total[one][:, filters],
            self.own_count[one],
            self.own_total[one][:, filters],
        )

    @cached_property
    def covariance(self) -> Float64[Tensor, "K K"]:
        """Covariance of x over all positions, the biased one."""
        mean = self.total / self.count
        return self.square / self.count - mean[:, None] * mean

    @property
    def spread(self) -> Float64[Tensor, "K"]:
        """Standard deviation of each filter; 0 where all of it is rounding."""
        variance = self.covariance.diagonal()
        mean_square = self.square.diagonal() / self.count
        return variance.masked_fill(variance <= _ROUNDING * mean_square, 0.0).sqrt()

    @property
    def means(self) -> tuple[Float64[Tensor, "C K"], Float64[Tensor, "C K"]]:
        """Mean of x inside a concept and outside of it, both over the images that contain it.

        NaN where a concept covers nothing, or all, of its images.
        """
        inside = self.inside_total / self.inside[:, None]
        outside = (self.own_total - self.inside_total) / (self.own_count - self.inside)[:, None]
        return inside, outside


@dataclass(frozen=True)
class Moments:
    """The sums of one layer by fold of train images, and those that are not kept by fold.

    Args:
        count: As in :class:`Sums`, by fold; the others likewise.
        total: By fold.
        square: By fold.
        inside: By fold.
        inside_total: By fold.
        own_count: By fold.
        own_total: By fold.
        place: Sum of f at each position of the grid, over all folds.
        own_place: Sum of the shares that are known, likewise.
        own_square: Sum of x x' over the images that contain each concept, weighted as
            ``own_total``, of each half of the folds; empty where no probe wants it.
    """

    count: Float64[Tensor, "F"]
    total: Float64[Tensor, "F K"]
    square: Float64[Tensor, "F K K"]
    inside: Float64[Tensor, "F C"]
    inside_total: Float64[Tensor, "F C K"]
    own_count: Float64[Tensor, "F C"]
    own_total: Float64[Tensor, "F C K"]
    place: Float64[Tensor, "C h w"]
    own_place: Float64[Tensor, "C h w"]
    own_square: Float64[Tensor, "halves some K K"]

    @property
    def num_folds(self) -> int:
        """F."""
        return len(self.count)

    def of(self, folds: Sequence[int] | None = None) -> Sums:
        """Sum over some folds, which may come several times; over all of them if None."""
        chosen = list(range(self.num_folds)) if folds is None else list(folds)
        return Sums(
            **{field.name: getattr(self, field.name)[chosen].sum(0) for field in fields(Sums)}
        )

    def half(self, number: int) -> "Moments":
        """Return the sums of the first half of the folds (0) or of the others (1)."""
        middle = self.num_folds // 2
        folds = slice(middle) if number == 0 else slice(middle, None)
        by_fold = {field.name: getattr(self, field.name)[folds] for field in fields(Sums)}
        return Moments(
            **by_fold,
            place=self.place,
            own_place=self.own_place,
            own_square=self.own_square[number : number + 1],
        )

    @cached_property
    def sums(self) -> Sums:
        """The sums over all folds."""
        return self.of()

    def own_covariance(self, concept: int) -> Float64[Tensor, "K K"]:
        """Return the covariance of x over the images that contain a concept."""
        count = self.sums.own_count[concept]
        mean = self.sums.own_total[concept] / count
        return self.own_square[:, concept].sum(0) / count - mean[:, None] * mean

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it by name, to be kept in a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> "Moments":
        """Undo :meth:`tensors`."""
        return cls(**{field.name: tensors[field.name] for field in fields(cls)})
