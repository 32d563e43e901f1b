"""Where the effect of a change is read: at the classes of a network's answer, or later layers."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.continued import Answer
from net2vec_pl.functional.inputs import inverse_scale
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.moments import moments_of
from net2vec_pl.probes.closed_form import Scaled, lda, unit_spread
from net2vec_pl.probes.moments import Sums
from net2vec_pl.runs.stages import Tensors

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readout(ABC):
    """Something that a network says, and what of it has to do with each concept.

    Args:
        name: ``classes``, or the name of a later layer.
        targets: Names of what is read.
        related: Which of them have to do with each concept.
    """

    name: str
    targets: Sequence[str]
    related: Bool[Tensor, "J T"]

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """(h, w) of the places that are read."""

    @abstractmethod
    def values(
        self, answer: Answer, places: Float64[Tensor, "N J h w"]
    ) -> Float[Tensor, "N J T"] | Float[Tensor, "N one T"]:
        """Read an answer at the place of each concept, in standard deviations.

        Args:
            answer: What the network said.
            places: How much of each cell counts.
        """

    def own(self, values: Float[Tensor, "N _ T"]) -> Float[Tensor, "N J"]:
        """Average what has to do with each concept; NaN where nothing has."""
        return self._mean(values, self.related)

    def effects(self, change: Float[Tensor, "N _ T"]) -> Float[Tensor, "N J 3"]:
        """Return the mean change of what is related, of all else, and the size of the latter."""
        others = ~self.related
        parts = [self.own(change), self._mean(change, others), self._mean(change.abs(), others)]
        return torch.stack(parts, -1)

    @staticmethod
    def _mean(values: Tensor, chosen: Tensor) -> Tensor:
        weight = chosen.to(values) / chosen.sum(1, keepdim=True).to(values)
        return (values * weight.nan_to_num(0.0)).sum(2) + 0 * weight.sum(1)


@dataclass(frozen=True)
class Head(Readout):
    """The logits of a network's classes, each over its standard deviation over images.

    Args:
        spread: Of each class.
    """

    spread: Float[Tensor, "T"]

    @property
    def grid(self) -> tuple[int, int]:
        """One cell: an image has one answer."""
        return 1, 1

    def values(
        self, answer: Answer, places: Float64[Tensor, "N J h w"]
    ) -> Float[Tensor, "N one T"]:
        """Return the logits, which have no place."""
        assert answer.output is not None
        return (answer.output * inverse_scale(self.spread))[:, None]


@dataclass(frozen=True)
class LaterLayer(Readout):
    """The scores of all concepts by LDA at a later layer, in the mask of each concept.

    Args:
        backbone: The network at that layer.
        number: Which of the later layers it is.
        weight: LDA of raw activations; scores have a spread of 1 over train positions.
    """

    backbone: FrozenBackbone
    number: int
    weight: Float[Tensor, "T K"]

    @property
    def grid(self) -> tuple[int, int]:
        """That of the layer."""
        return self.backbone.shape[1:]

    def maps(self, answer: Answer) -> Float[Tensor, "N T h w"]:
        """Return the scores at every position."""
        return torch.einsum("nkhw,tk->nthw", answer.later[self.number], self.weight)

    def values(self, answer: Answer, places: Float64[Tensor, "N J h w"]) -> Float[Tensor, "N J T"]:
        """Average the scores over the place of each concept."""
        share = places.float()
        sums = torch.einsum("nthw,njhw->njt", self.maps(answer), share)
        total = share.sum((2, 3))[:, :, None]
        # Never divided by 0, for that would leave NaN in the gradients of other concepts too.
        return torch.where(total > 0, sums / total.clamp(min=1e-6), torch.nan)


def later_layer(job: LayerJob, backbone: FrozenBackbone, concepts: Sequence[int]) -> LaterLayer:
    """Fit LDA of all concepts at a later layer, in a pass over the train images.

    Args:
        job: The layer that is changed.
        backbone: The network at the later layer.
        concepts: Rows of the vocabulary whose masks are read.
    """
    setup = job.setup

    def summed() -> Tensors:
        rows, none = setup.stream.train_rows, torch.zeros(backbone.shape[0])
        sums = moments_of(setup, backbone, none, setup.stream, rows, "raw").sums
        return {field.name: getattr(sums, field.name) for field in fields(Sums)}

    _log.info("causal: sums of %s, where effects are read", backbone.layer)
    found = job.stages.once(f"sums-raw-{backbone.module_path}", summed)
    sums = Sums(**found)
    scaled = Scaled(sums, sums.spread)
    weight = unit_spread(scaled, lda(scaled, setup.options.protocol.shrinkage)) * scaled.inverse
    names = job.vocabulary.names
    related = torch.zeros(len(concepts), len(names), dtype=torch.bool, device=setup.device)
    related[range(len(concepts)), list(concepts)] = True
    weight = weight.float().to(setup.device)
    return LaterLayer(backbone.layer, names, related, backbone, 0, weight)
