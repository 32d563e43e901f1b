"""Scores on masks of another size than the run's, such as their own: set IoU, and mIoU by argmax.

Published linear probes score the mean over classes of IoU where the class of highest score is
predicted at every labelled pixel of every val image, on masks of their own size. This counts that,
and set IoU of binary masks beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data.reader import UNKNOWN, Sample, unknown_label
from net2vec_pl.functional import overlap
from net2vec_pl.functional.resize import bilinear_matrix

# Logits at mask size at a time, over all concepts of an image: large images go through in strips.
_STRIP = {"cpu": 2**20, "cuda": 2**26}


@dataclass(frozen=True)
class NativeTotals:
    """Whole numbers behind the scores of B banks of C concepts, over all processes.

    Args:
        intersection: Pixels in both mask and prediction, over the images counted for set IoU.
        union: Pixels in either.
        won: Pixels of the concept where it has the highest logit of its category, over the images
            annotated for that.
        either: Pixels of the concept, or where it has the highest logit.
        images: Images counted for set IoU.
        annotated: Images annotated for the category.
        pixels: Pixels of the concept, over all images.
    """

    intersection: Int64[Tensor, "B C"]
    union: Int64[Tensor, "B C"]
    won: Int64[Tensor, "B C"]
    either: Int64[Tensor, "B C"]
    images: Int64[Tensor, "C"]
    annotated: Int64[Tensor, "C"]
    pixels: Int64[Tensor, "C"]


class NativeCounts:
    """Counts pixels image by image; images may differ in the size of their masks.

    A pixel that is unknown for a concept counts for it in nothing. Where concepts compete, pixels
    without a probed concept of the category are left out, as the papers leave out what is
    unlabelled; a background competes if it is a concept.

    Args:
        num_banks: B.
        vocabulary: The probed concepts.
        align_corners: Whether binary masks are upsampled with aligned corners, as the run's own
            are. Competing logits never are.
        everywhere: Whether set IoU counts every image annotated for a concept's category, or only
            those that contain the concept.
        device: Where the counts live.
    """

    def __init__(
        self,
        num_banks: int,
        vocabulary: Vocabulary,
        *,
        align_corners: bool,
        everywhere: bool,
        device: torch.device,
    ) -> None:
        self._concepts: tuple[Concept, ...] = tuple(vocabulary)
        self._numbers = torch.from_numpy(vocabulary.numbers).int().to(device)
        self._members: dict[str, list[int]] = {}
        for row, concept in enumerate(vocabulary):
            self._members.setdefault(concept.category, []).append(row)
        self._align_corners, self._everywhere = align_corners, everywhere
        shape = (num_banks, len(vocabulary))
        self._alone, self._among = (
            torch.zeros(2, *shape, dtype=torch.int64, device=device) for _ in range(2)
        )
        self._facts = torch.zeros(3, len(vocabulary), dtype=torch.int64, device=device)

    def add(
        self, maps: Float[Tensor, "B C h w"], sample: Sample, annotated: Bool[Tensor, "C"]
    ) -> None:
        """Count one image.

        Args:
            maps: Logits on the grid; what is above 0 after upsampling is the concept.
            sample: What is known of the image.
            annotated: Whether it was annotated for the category of each concept.
        """
        truth = _Truth.of(sample, self._concepts, self._numbers)
        contained = truth.contained()
        scored = contained | annotated.to(maps.device) if self._everywhere else contained
        alone = scored.nonzero().flatten()
        rivals = [
            torch.tensor(rows, device=maps.device)
            for rows in self._members.values()
            if annotated[rows[0]]
        ]
        size = truth.labels.shape[1:]
        self._facts[0] += scored
        self._facts[1] += annotated.to(maps.device)
        strips = _Strips(maps.shape[2:], size, self._align_corners, maps.device)
        for part, logits in strips.of(maps[:, alone]):
            masks, unknown = truth.masks(part, alone), truth.unknown(part, alone)
            self._facts[2, alone] += masks.flatten(1).sum(1)
            for bank, of_bank in enumerate(logits):
                called = of_bank > 0 if unknown is None else (of_bank > 0) & ~unknown
                self._alone[:, bank, alone] += overlap(called, masks).T
