"""What is known of the pixels of one image: which concepts are there, and which may be."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

from net2vec_pl.concepts import Concept
from net2vec_pl.data.reader import UNKNOWN, Sample, unknown_label


@dataclass(frozen=True)
class Truth:
    """The label maps of an image, or some of their rows, read by concept.

    Args:
        labels: Label numbers of each of M layers, negative where unknown.
        categories: The category of each layer.
        whole: Numbers of the labels that hold for the whole image.
        numbers: Numbers that occur, and those of :func:`~net2vec_pl.data.reader.unknown_label` and
            :data:`~net2vec_pl.data.reader.UNKNOWN`, in the whole image.
    """

    labels: Int32[Tensor, "M sh sw"]
    categories: tuple[str, ...]
    whole: frozenset[int]
    numbers: frozenset[int]

    @classmethod
    def of(cls, sample: Sample, device: torch.device) -> "Truth":
        """Read a sample; its masks may have any size."""
        labels = sample.label_maps.to(device)
        lowest = int(labels.min()) if labels.numel() else 0
        counts = torch.bincount((labels - lowest).flatten())
        numbers = frozenset((counts.nonzero().flatten() + lowest).tolist())
        whole = frozenset(number for _, number in sample.image_labels)
        return cls(labels, sample.map_categories, whole, numbers)

    def rows(self, rows: slice) -> "Truth":
        """Return some rows of pixels."""
        return Truth(self.labels[:, rows], self.categories, self.whole, self.numbers)

    def contains(self, concept: Concept) -> bool:
        """Return whether any pixel of the image is of a concept."""
        return concept.number in self.numbers or concept.number in self.whole

    def masks(self, concepts: Sequence[Concept]) -> Bool[Tensor, "p sh sw"]:
        """Return where concepts are: the union over layers."""
        masks = self.labels.new_zeros(len(concepts), *self.labels.shape[1:], dtype=torch.bool)
        for mask, concept in zip(masks, concepts, strict=True):
            if concept.number in self.whole:
                mask.fill_(True)
            elif concept.number in self.numbers:
                mask.copy_((self.labels == concept.number).any(0))
        return masks

    def unknown(self, concepts: Sequence[Concept]) -> Bool[Tensor, "p sh sw"] | None:
        """Return where layers leave open whether concepts are there; None if nowhere.

        A concept may be there all the same, by another layer.
        """
        if not any(number < 0 for number in self.numbers):
            return None
        planes = {c.categories: self._unknown_of(c.categories) for c in concepts}
        found = [planes[c.categories] for c in concepts]
        for place, concept in enumerate(concepts):
            label = unknown_label(concept.number)
            if label in self.numbers:
                found[place] = found[place] | (self.labels == label).any(0)
        return torch.stack(found) if found else None

    def labelled(self, concepts: Sequence[Concept]) -> Bool[Tensor, "sh sw"]:
        """Return where any of some concepts is."""
        there = [c.number for c in concepts if c.number in self.numbers]
        if any(c.number in self.whole for c in concepts):
            return self.labels.new_ones(self.labels.shape[1:], dtype=torch.bool)
        known = torch.zeros(max(self.numbers, default=0) + 1, dtype=torch.bool)
        known[there] = True
        return known.to(self.labels.device)[self.labels.clamp(min=0).long()].any(0)

    def among(
        self, concepts: Sequence[Concept], winner: Int64[Tensor, "sh sw"]
    ) -> tuple[Bool[Tensor, "sh sw"], Bool[Tensor, "sh sw"]]:
        """Return where the concept that is named at each pixel is there, and where it may be.

        Args:
            concepts: Those that may be named.
            winner: Which of them is named.
        """
        device = self.labels.device
        numbers = torch.tensor([c.number for c in concepts], device=device, dtype=torch.int32)
        right = (self.labels == numbers[winner]).any(0)
        whole = torch.tensor([c.number in self.whole for c in concepts], device=device)
        if whole.any():
            right |= whole[winner]
        unknown = torch.zeros_like(right)
        if any(number < 0 for number in self.numbers):
            unknown |= (self.labels == unknown_label(0) - numbers[winner]).any(0)
            for categories in {c.categories for c in concepts}:
                mine = torch.tensor([c.categories == categories for c in concepts], device=device)
                unknown |= self._unknown_of(categories) & mine[winner]
        return right, unknown

    def _unknown_of(self, categories: Sequence[str]) -> Bool[Tensor, "sh sw"]:
        """Return where a layer of any of some categories is unknown."""
        layers = [layer for layer, name in enumerate(self.categories) if name in categories]
        return (self.labels[layers] == UNKNOWN).any(0)
