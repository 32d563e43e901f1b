"""Scores on masks of another size than the run's, such as their own: set IoU, and mIoU by argmax.

Published linear probes score the mean over classes of IoU where the class of highest score is
predicted at every labelled pixel of every val image, on masks of their own size. This counts that,
and set IoU of binary masks beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data.reader import Sample
from net2vec_pl.functional import overlap
from net2vec_pl.functional.resize import bilinear_matrix, upsample
from net2vec_pl.training.native_truth import Truth

# Logits at mask size at a time: large images go through in strips of rows.
_STRIP = {"cpu": 2**20, "cuda": 2**26}
_MOST_PIXELS = 2**24  # of a strip: sums in float32 are exact up to here


@dataclass(frozen=True)
class NativeTotals:
    """Whole numbers behind the scores of B banks of C concepts, over all processes.

    Args:
        intersection: Pixels in both mask and prediction, over the images counted for set IoU.
        union: Pixels in either.
        won: Pixels of the concept where it has the highest logit of its category, over images
            annotated for that.
        either: Pixels of the concept, and others where it has the highest logit.
        images: Images counted for set IoU.
        annotated: Images annotated for the category.
        pixels: Pixels of the concept in the images counted for set IoU.
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

    A pixel that is unknown for a concept counts for it in nothing. Where the concepts of a category
    compete, pixels without any of them are left out, as papers leave out what is unlabelled; a
    background competes if it is a concept.

    Args:
        num_banks: B.
        vocabulary: The probed concepts.
        align_corners: Whether binary masks are upsampled with aligned corners, as the run's own
            are. Logits that compete never are.
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
        self._align_corners, self._everywhere = align_corners, everywhere
        counts = (4, num_banks, len(vocabulary))
        self._counts = torch.zeros(counts, dtype=torch.int64, device=device)
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
        truth = Truth.of(sample, maps.device)
        contained = torch.tensor([truth.contains(c) for c in self._concepts])
        scored = contained | annotated if self._everywhere else contained
        self._facts[:2] += torch.stack([scored, annotated]).to(maps.device)
        if scored.any():
            self._alone(maps, truth, scored.nonzero().flatten().tolist())
        for category in dict.fromkeys(c.category for c in self._concepts):
            rivals = [row for row, c in enumerate(self._concepts) if c.category == category]
            if annotated[rivals[0]]:
                self._compete(maps, truth, rivals)

    def totals(self) -> NativeTotals:
        """Return the counts over all processes."""
        counts, facts = (processes.sum_over(of.clone()).cpu() for of in (self._counts, self._facts))
        return NativeTotals(*counts, *facts)

    def _alone(self, maps: Float[Tensor, "B C h w"], truth: Truth, rows: Sequence[int]) -> None:
        """Count binary masks of some concepts, each for itself."""
        concepts = [self._concepts[row] for row in rows]
        for part, logits in _strips(maps[:, rows], truth, align_corners=self._align_corners):
            masks, unknown = part.masks(concepts), part.unknown(concepts)
            self._facts[2, rows] += masks.flatten(1).sum(1)
            for bank, of_bank in enumerate(logits):
                called = of_bank > 0
                if unknown is not None:
                    called &= masks | ~unknown
                self._counts[:2, bank, rows] += overlap(called, masks).T

    def _compete(self, maps: Float[Tensor, "B C h w"], truth: Truth, rows: Sequence[int]) -> None:
        """Count where each concept of a category has the highest logit, on labelled pixels."""
        concepts = [self._concepts[row] for row in rows]
        there = [place for place, concept in enumerate(concepts) if truth.contains(concept)]
        if not there:
            return
        own = torch.zeros(len(rows), dtype=torch.int64, device=maps.device)
        for part, logits in _strips(maps[:, rows], truth, align_corners=False):
            own[there] += part.masks([concepts[place] for place in there]).flatten(1).sum(1)
            labelled = part.labelled(concepts)
            for bank, of_bank in enumerate(logits):
                winner = of_bank.max(0).indices  # the first of equals
                right, unknown = part.among(concepts, winner)
                wrong = labelled & ~right & ~unknown
                won, lost = (
                    torch.bincount(winner[of], minlength=len(rows)) for of in (right, wrong)
                )
                self._counts[2, bank, rows] += won
                self._counts[3, bank, rows] += lost
        self._counts[3][:, rows] += own


def _strips(
    maps: Float[Tensor, "B p h w"], truth: Truth, *, align_corners: bool
) -> Iterator[tuple[Truth, Iterator[Float[Tensor, "p r sw"]]]]:
    """Cut an image into strips of rows: what is known of them, and upsampled logits by bank."""
    height, width = truth.labels.shape[1:]
    rows, columns = (
        bilinear_matrix(size_in, size_out, align_corners=align_corners).to(maps.device)
        for size_in, size_out in zip(maps.shape[2:], (height, width), strict=True)
    )
    each = max(maps.shape[1], len(truth.labels), 1)
    logits = _STRIP.get(maps.device.type, _STRIP["cpu"])
    step = max(min(logits // each, _MOST_PIXELS) // width, 1)
    for top in range(0, height, step):
        strip = slice(top, top + step)
        used = rows[strip].any(0).nonzero().flatten()  # rows of the grid, one after another
        grid = slice(int(used[0]), int(used[-1]) + 1)
        part = rows[strip, grid]
        yield truth.rows(strip), (upsample(of[:, grid], part, columns) for of in maps)
