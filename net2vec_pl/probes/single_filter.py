"""The best single filter of every concept: all filters and all concepts in one pass.

A filter's mask is its bit map, upsampled bilinearly and cut at one half: M_k(x) = [up([A_k(x) >
T_k]) > 0.5]. Source: Net2Vec, section 3.1; NetDissect (CVPR 2017) upsamples first and thresholds
afterwards.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from net2vec_pl.functional.cells import BilinearCells, cell_patterns, count_overlaps
from net2vec_pl.functional.iou import set_iou

NO_FILTER = -1


class SingleFilterCounts:
    """Intersections and unions of every concept with every filter, summed over images.

    Args:
        num_concepts: C.
        num_filters: K.
        device: Where the counts live.
    """

    def __init__(self, num_concepts: int, num_filters: int, device: torch.device) -> None:
        shape = (num_concepts, num_filters)
        self.intersection = torch.zeros(shape, dtype=torch.int64, device=device)
        self.union = torch.zeros(shape, dtype=torch.int64, device=device)

    def add(
        self,
        fired: Bool[Tensor, "N K h w"],
        masks: Bool[Tensor, "P sh sw"],
        image: Int64[Tensor, "P"],
        concept: Int64[Tensor, "P"],
        cells: BilinearCells,
        known: Bool[Tensor, "P sh sw"] | None = None,
    ) -> None:
        """Count some images: their bits against the masks of the concepts they contain.

        Args:
            fired: The bits of N images.
            masks: The mask of each pair.
            image: The image of each pair, in [0, N), rising.
            concept: The concept of each pair.
            cells: Cells of the grid on the masks.
            known: The pixels of each pair that count, all of its mask among them; all if None.
        """
        sizes = torch.bincount(image, minlength=len(fired))
        place = torch.arange(len(image), device=image.device) - (sizes.cumsum(0) - sizes)[image]
        # A filter's area is its overlap with all that counts: mostly the whole picture, once.
        most = int(sizes.max())
        width = most + (1 if known is None else most)
        table = masks.new_zeros(len(fired), width, *masks.shape[1:])
        table[image, place] = masks
        if known is None:
            table[:, -1] = True
            of_area = torch.full_like(place, most)
        else:
            of_area = most + place
            table[image, of_area] = known
        overlaps = count_overlaps(cell_patterns(fired), cells.count_patterns(table))
        inside, area = overlaps[image, :, place], overlaps[image, :, of_area]
        true = masks.flatten(1).view(torch.uint8).sum(1, dtype=torch.int64)
        self.intersection.index_add_(0, concept, inside)
        self.union.index_add_(0, concept, true[:, None] + area - inside)

    def set_iou(self) -> Float[Tensor, "C K"]:
        """Set IoU of every concept with every filter; NaN where nothing was counted."""
        return set_iou(self.intersection, self.union)


@dataclass(frozen=True)
class SingleFilterBaseline:
    """Set IoU of every filter on every concept, for both splits.

    Args:
        train: Set IoU on train images that contain the concept.
        val: The same on val images.
    """

    train: Float[Tensor, "C K"]
    val: Float[Tensor, "C K"]

    def best_filter(self) -> Int64[Tensor, "C"]:
        """Choose each concept's filter on train images; the lowest index on ties.

        Returns:
            A filter per concept, or -1 if no filter overlaps the concept at all.
        """
        scores = self.train.nan_to_num(0.0)
        best = scores.argmax(1)  # not defined to be the first on ties, so ask for it
        first = (scores == scores.gather(1, best[:, None])).int().argmax(1)
        return torch.where(scores.amax(1) > 0, first, NO_FILTER)

    def best_concept(self) -> Int64[Tensor, "K"]:
        """Choose each filter's concept on train images; -1 if it overlaps none."""
        return SingleFilterBaseline(self.train.T, self.val.T).best_filter()
