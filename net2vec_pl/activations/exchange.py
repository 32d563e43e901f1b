"""Masks of other images: each image gets what another image of the concept has.

What is left to learn of a concept then is where it mostly lies and what its images have in common:
a control task in the sense of Hewitt & Liang, *Designing and Interpreting Probes with Control
Tasks*, EMNLP 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int64, UInt8
from numpy.random import Generator
from torch import Tensor

from net2vec_pl.activations.ragged import Ragged
from net2vec_pl.data import ImageBatch
from net2vec_pl.data.datamodule import BatchSource
from net2vec_pl.data.unknown import AreaExchange, Areas
from net2vec_pl.functional.bits import pack_bits, unpack_bits


def partners(group: Int64[np.ndarray, "n"], rng: Generator) -> Int64[np.ndarray, "n"]:
    """Draw another image for each of some images, of another group where that is possible.

    The images stand in a ring in random order, groups together, and each gets the one that stands
    as many places on as the largest group has images. So none gets itself if there are two. None
    gets one of its own group unless a group has more than half of them; then as few do as can be.

    Args:
        group: The group of each image; numbers that all differ where there are none.
        rng: Draws the order.

    Returns:
        For each image the place of the other one; each comes once.

    Example:
        >>> partners(np.array([0, 0, 1, 1]), np.random.default_rng(0)).tolist()
        [2, 3, 0, 1]
    """
    order = rng.permutation(len(group))
    _, first, number = np.unique(group[order], return_index=True, return_inverse=True)
    order = order[np.argsort(first[number], kind="stable")]
    largest = int(np.bincount(number, minlength=1).max())
    other = np.empty_like(order)
    other[order] = np.roll(order, -largest if largest < len(order) else -1)
    return other


def exchanged(
    pairs: Ragged,
    areas: Mapping[int, Areas],
    rows: Int64[np.ndarray, "n"],
    seed: int,
    groups: Int64[np.ndarray, "rows"] | None = None,
) -> tuple[Ragged, dict[int, Areas]]:
    """Give the masks of each concept to other images that contain it.

    What is unknown for the concept goes with its mask. An image without another one keeps its own.

    Args:
        pairs: By row, the concept and the packed mask of each pair.
        areas: By row, its unknown areas, of those that have some.
        rows: The images that exchange masks; the others keep theirs.
        seed: Seed of the draws.
        groups: The group of each row of the dataset, if rows are grouped.

    Returns:
        Pairs and areas after the exchange.
    """
    pairs = pairs.copy()
    concept, masks = pairs.values
    generator, after = np.random.default_rng(seed), AreaExchange(areas)
    places, owner = pairs.places(rows), pairs.owners(rows)
    of_place = concept.cpu().numpy()[places]
    for c in np.unique(of_place):
        mine, row = places[of_place == c], owner[of_place == c]
        other = partners(row if groups is None else groups[row], generator)
        masks[mine] = masks[mine[other]]
        for target, source in zip(row.tolist(), row[other].tolist(), strict=True):
            after.give(int(c), source, target)
    return pairs, after.exchanged()


@dataclass(frozen=True)
class MaskedBatch(ImageBatch):
    """A batch of images whose masks do not come from their label maps.

    Args:
        packed_masks: The mask of each pair, eight pixels to a byte.
    """

    packed_masks: UInt8[Tensor, "P bytes"]

    def masks(self, pairs: slice) -> Bool[Tensor, "p sh sw"]:
        """Unpack the masks of the pairs."""
        sh, sw = self.label_maps.shape[2:]
        return unpack_bits(self.packed_masks[pairs], sh * sw).view(-1, sh, sw)

    def extended(
        self, image: Int64[Tensor, "Q"], concept: Int64[Tensor, "Q"], known: Int64[Tensor, "P"]
    ) -> "MaskedBatch":
        """Pair more concepts with the images; their masks have no bit set."""
        packed = self.packed_masks.new_zeros(len(image), self.packed_masks.shape[1])
        packed[known] = self.packed_masks
        nothing = torch.zeros(len(image), dtype=torch.int32)  # no map is asked
        return replace(
            self,
            image=image,
            concept=concept,
            number=nothing,
            whole=nothing.bool(),
            packed_masks=packed,
        )


class MaskedImages(BatchSource):
    """Images with masks that come from elsewhere.

    Args:
        images: Gives batches of images, and the pairs of each.
        pairs: By row, the concept and the packed mask of each of these pairs.
        areas: By row, its unknown areas, of those that have some.
    """

    def __init__(self, images: BatchSource, pairs: Ragged, areas: Mapping[int, Areas]) -> None:
        self._images, self._pairs, self._areas = images, pairs, areas

    def __getitem__(self, row: int) -> Any:
        return self._images[row]

    def collate(self, items: Sequence[Any]) -> MaskedBatch:
        """Make a batch of items of the images."""
        batch = self._images.collate(items)
        assert isinstance(batch, ImageBatch)
        rows = batch.row.numpy()
        _, (_, masks) = self._pairs[rows]
        areas = Areas.join([self._areas.get(row) for row in rows.tolist()])
        return MaskedBatch(**(vars(batch) | {"packed_masks": masks, "areas": areas}))


def pairs_of(source: BatchSource, rows: npt.NDArray[np.int64]) -> tuple[Ragged, dict[int, Areas]]:
    """Read the pairs of some images, and their unknown areas, into memory.

    Args:
        source: Where they come from.
        rows: The images, at least one.
    """
    sizes, concept, masks, areas = [], [], [], {}
    for row in rows.tolist():
        batch = source.collate([source[row]]).to("cpu")
        sizes.append(len(batch.concept))
        concept.append(batch.concept)
        masks.append(pack_bits(batch.masks(slice(None)).flatten(1)))
        if batch.areas is not None:
            areas[row] = batch.areas
    values = [torch.cat(concept), torch.cat(masks)]
    return Ragged(rows, np.array(sizes, dtype=np.int64), values), areas
