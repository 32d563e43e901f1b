"""The images on which a layer is changed, and where each concept lies in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from net2vec_pl.analysis.filter_space import centred_quarter
from net2vec_pl.data import ImageBatch
from net2vec_pl.pipeline.layer import LayerJob

_AT_ONCE = 8
_LOOKED_AT = 16  # times as many as wanted, in search of images whose middle is free of a concept


@dataclass(frozen=True)
class Seen:
    """A few images.

    Args:
        images: RGB, 0 to 255.
        masks: That of each concept.
        middle: The middle of a mask, where directions are put in.
    """

    images: UInt8[Tensor, "N 3 H W"]
    masks: Bool[Tensor, "N J sh sw"]
    middle: Bool[Tensor, "sh sw"]

    @property
    def present(self) -> Bool[Tensor, "N J"]:
        """Which concepts an image has."""
        return self.masks.any(-1).any(-1)

    @property
    def free(self) -> Bool[Tensor, "N J"]:
        """Of which concepts the middle of an image has nothing."""
        return ~(self.masks & self.middle).any(-1).any(-1)


@dataclass(frozen=True)
class Samples:
    """Which val images are looked at; chosen by seed, so that concepts share as many as they can.

    Args:
        job: The layer.
        concepts: Rows of the vocabulary.
        having: Images that have the concepts: each is in as many as wanted, or in all there are.
        free: Images whose middle is free of them; likewise.
    """

    job: LayerJob
    concepts: tuple[int, ...]
    having: Int64[np.ndarray, "n"]
    free: Int64[np.ndarray, "m"]

    @classmethod
    def drawn(cls, job: LayerJob, concepts: Sequence[int], wanted: int) -> "Samples":
        """Choose the images.

        Args:
            job: The layer.
            concepts: Rows of the vocabulary.
            wanted: How many a concept needs.
        """
        val = job.setup.stream.val_rows
        order = np.random.default_rng([job.setup.options.seed, 6]).permutation(val)
        nothing = order[:0]
        blank = cls(job, tuple(concepts), nothing, nothing)
        present = job.setup.stream.index.present(order)[:, list(concepts)]
        having = _enough(present, wanted)
        # Those that have few of the concepts first: more of them are free.
        near = order[np.argsort(present.sum(1), kind="stable")][: _LOOKED_AT * wanted]
        seen = [batch.free.cpu().numpy() for batch in blank.batches(near)]
        free = _enough(np.concatenate(seen), wanted) if seen else nothing
        return cls(job, tuple(concepts), np.sort(order[having]), np.sort(near[free]))

    def batches(self, rows: Int64[np.ndarray, "n"]) -> Iterator[Seen]:
        """Read some images, a few at a time."""
        stream, device = self.job.setup.stream, self.job.setup.device
        middle = centred_quarter(self.job.setup.reader.mask_size).to(device)
        place = {c: j for j, c in enumerate(self.concepts)}
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE].tolist()
            batch = stream.source.collate([stream.source[row] for row in some])
            assert isinstance(batch, ImageBatch)
            found = batch.masks(slice(None))
            masks = torch.zeros(len(some), len(place), *found.shape[1:], dtype=torch.bool)
            for pair, (n, c) in enumerate(zip(batch.image, batch.concept, strict=True)):
                if int(c) in place:
                    masks[n, place[int(c)]] = found[pair]
            yield Seen(batch.images.to(device), masks.to(device), middle)


def _enough(useful: Bool[np.ndarray, "N J"], wanted: int) -> Int64[np.ndarray, "n"]:
    """Take images in their order, as long as a concept still wants one.

    Example:
        >>> _enough(np.array([[True, False], [True, False], [False, True]]), 1).tolist()
        [0, 2]
    """
    count, taken = np.zeros(useful.shape[1], dtype=np.int64), []
    for i, row in enumerate(useful):
        if (row & (count < wanted)).any():
            count += row
            taken.append(i)
    return np.array(taken, dtype=np.int64)
