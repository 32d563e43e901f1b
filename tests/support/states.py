"""What a sample says of a concept at every pixel, whatever maps it is written in."""

import torch
from torch import Tensor

from net2vec_pl.concepts import Concept
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample, unknown_label

NO, YES, DOUBT = 0, 1, 2


def state(sample: Sample, concept: Concept) -> Tensor:
    """Return for every pixel whether the concept is there, not there, or that is unknown."""
    found = torch.full(sample.label_maps.shape[1:], NO)
    for category, labels in zip(sample.map_categories, sample.label_maps, strict=True):
        doubt = labels == unknown_label(concept.number)
        if category in concept.categories:
            doubt |= labels == UNKNOWN
        found[doubt & (found != YES)] = DOUBT
        found[labels == concept.number] = YES
    return found


def same_content(one: ConceptReader, other: ConceptReader) -> bool:
    """Return whether two readers say the same of every image, pixel by pixel."""
    if one.vocabulary != other.vocabulary or one.categories != other.categories:
        return False
    if (one.annotated != other.annotated).any() or (one.is_train != other.is_train).any():
        return False
    for row in range(len(one)):
        a, b = one[row], other[row]
        if not torch.equal(a.image, b.image) or {*a.image_labels} != {*b.image_labels}:
            return False
        if not all(torch.equal(state(a, c), state(b, c)) for c in one.vocabulary):
            return False
    return len(one) == len(other)
