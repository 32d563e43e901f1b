"""A batch of images with the pairs (image, concept) to learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int32, Int64, UInt8
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.census import Census
from net2vec_pl.data.reader import Sample

Batch = TypeVar("Batch", bound="ConceptBatch")


@dataclass(frozen=True)
class ConceptBatch:
    """Label maps and pairs of N images; masks are made from them where they are needed.

    M layers of labels (padded with 0), P pairs.

    Args:
        row: Which row of the dataset each image is.
        label_maps: Label numbers at mask resolution, 0 where unlabelled.
        image: The image of each pair, in [0, N), rising.
        concept: The concept of each pair, a row of the vocabulary.
        number: The label number of each pair's concept.
        whole: Whether the concept of the pair holds for the whole image.
    """

    row: Int64[Tensor, "N"]
    label_maps: Int32[Tensor, "N M sh sw"]
    image: Int64[Tensor, "P"]
    concept: Int64[Tensor, "P"]
    number: Int32[Tensor, "P"]
    whole: Bool[Tensor, "P"]

    def masks(self, pairs: slice) -> Bool[Tensor, "p sh sw"]:
        """Return the ground truth of some pairs: the union over layers and categories."""
        maps = self.label_maps[self.image[pairs]]
        masks = (maps == self.number[pairs, None, None, None]).any(1)
        return masks | self.whole[pairs, None, None]

    def pairs_by_image(self) -> list[slice]:
        """Return the pairs of each image, length N; pairs are sorted by image."""
        ends = torch.bincount(self.image, minlength=len(self.row)).cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def to(self: Batch, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Move every tensor to a device."""
        moved = {k: v.to(device, non_blocking=non_blocking) for k, v in vars(self).items()}
        return replace(self, **moved)

    def pin_memory(self: Batch) -> Batch:
        """Put every tensor in pinned memory, as a DataLoader asks for CUDA."""
        return replace(self, **{k: v.pin_memory() for k, v in vars(self).items()})


@dataclass(frozen=True)
class ImageBatch(ConceptBatch):
    """A batch with its images.

    Args:
        images: RGB, 0 to 255.
    """

    images: UInt8[Tensor, "N 3 H W"]


@dataclass(frozen=True)
class BitBatch(ConceptBatch):
    """A batch with what a layer answered to its images.

    Args:
        bits: Whether each filter fired at each position of its grid, packed.
    """

    bits: UInt8[Tensor, "N K bytes"]


class PairIndex:
    """Which concepts of a vocabulary each image contains, from a census.

    Args:
        vocabulary: The probed concepts, C of them.
        census: The census of the dataset.
        num_rows: Rows of the dataset, readable or not.
    """

    def __init__(self, vocabulary: Vocabulary, census: Census, num_rows: int) -> None:
        numbers = vocabulary.numbers
        length = int(max(numbers.max(initial=0), census.number.max(initial=0))) + 1
        row_of = np.full(length, -1, dtype=np.int64)
        row_of[numbers] = np.arange(len(numbers))
        concept = row_of[census.number]
        keep = concept >= 0
        self.numbers = numbers
        self._concept = concept[keep]
        self._start = np.searchsorted(census.row[keep], np.arange(num_rows + 1))

    def __getitem__(self, row: int) -> npt.NDArray[np.int64]:
        """Return the vocabulary rows of the concepts in one image."""
        return self._concept[self._start[row] : self._start[row + 1]]

    @property
    def pairs_per_image(self) -> npt.NDArray[np.int64]:
        """Number of probed concepts in each row of the dataset."""
        return np.diff(self._start)


def collate(
    rows: Sequence[int],
    samples: Sequence[Sample],
    concepts: Sequence[npt.NDArray[np.int64]],
    numbers: npt.NDArray[np.int64],
) -> ImageBatch:
    """Stack samples and flatten their pairs.

    Args:
        rows: N rows of the dataset.
        samples: Their samples, of one size.
        concepts: The vocabulary rows of the concepts in each.
        numbers: The label number of each vocabulary row, shape (C,).
    """
    layers = max(sample.label_maps.shape[0] for sample in samples)
    sh, sw = samples[0].label_maps.shape[1:]
    label_maps = torch.zeros(len(samples), layers, sh, sw, dtype=torch.int32)
    for i, sample in enumerate(samples):
        label_maps[i, : sample.label_maps.shape[0]] = sample.label_maps
    flat = np.concatenate(concepts)
    whole = [
        np.isin(numbers[rows], [number for _, number in sample.image_labels])
        for sample, rows in zip(samples, concepts, strict=True)
    ]
    return ImageBatch(
        row=torch.tensor(rows),
        images=torch.stack([sample.image for sample in samples]),
        label_maps=label_maps,
        image=torch.from_numpy(
            np.repeat(np.arange(len(samples)), [len(rows) for rows in concepts])
        ),
        concept=torch.from_numpy(flat),
        number=torch.from_numpy(numbers[flat]).int(),
        whole=torch.from_numpy(np.concatenate(whole)),
    )
