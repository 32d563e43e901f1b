"""A batch of images with the pairs (image, concept) to learn from."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float16, Int32, Int64, UInt8
from torch import Tensor

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.reader import ConceptReader, Sample
from net2vec_pl.data.scan import Scan
from net2vec_pl.data.unknown import AreaFinder, Areas
from net2vec_pl.functional.bits import unpack_bits
from net2vec_pl.functional.fired import Fired
from net2vec_pl.functional.ragged import owners, places, starts

Batch = TypeVar("Batch", bound="ConceptBatch")

_NOTHING = torch.iinfo(torch.int32).min  # a label number that no map holds


@dataclass(frozen=True)
class ConceptBatch(ABC):
    """P pairs of N images; their masks are made where they are needed. N and P may be 0.

    Args:
        row: Which row of the dataset each image is.
        image: The image of each pair, in [0, N), rising.
        concept: The concept of each pair, a row of the vocabulary.
        areas: Where concepts are unknown; None if no image has unknown pixels.
    """

    row: Int64[Tensor, "N"]
    image: Int64[Tensor, "P"]
    concept: Int64[Tensor, "P"]
    areas: Areas | None = field(default=None, kw_only=True)

    @abstractmethod
    def masks(self, pairs: slice) -> Bool[Tensor, "p sh sw"]:
        """Return the ground truth of some pairs: the union over layers and categories."""

    def known(self, pairs: slice) -> Bool[Tensor, "p sh sw"] | None:
        """Return which pixels count for some pairs: all of a mask do; None if all do."""
        if self.areas is None:
            return None
        masks = self.masks(pairs)
        size = masks.shape[1] * masks.shape[2]
        unknown = self.areas.of_pairs(self.image[pairs], self.concept[pairs], size)
        return None if unknown is None else masks | ~unknown.view(masks.shape)

    @abstractmethod
    def extended(self: Batch, image: Tensor, concept: Tensor, known: Tensor) -> Batch:
        """Return the same images with more pairs; the new ones have empty masks.

        Args:
            image: The image of each pair, (P',), rising.
            concept: The concept of each pair.
            known: Which of these pairs are those there were, (P,).
        """

    def pairs_by_image(self) -> list[slice]:
        """Return the pairs of each image, length N; pairs are sorted by image."""
        ends = torch.bincount(self.image, minlength=len(self.row)).cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def to(self: Batch, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Move every tensor to a device."""
        return replace(
            self, **{k: v.to(device, non_blocking=non_blocking) for k, v in self._tensors().items()}
        )

    def pin_memory(self: Batch) -> Batch:
        """Put every tensor in pinned memory, as a DataLoader asks for CUDA."""
        return replace(self, **{k: v.pin_memory() for k, v in self._tensors().items()})

    def _tensors(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if isinstance(v, Tensor | Areas)}


@dataclass(frozen=True)
class ImageBatch(ConceptBatch):
    """A batch with its images and their M layers of labels (padded with 0).

    Args:
        images: RGB, 0 to 255.
        label_maps: Label numbers at mask resolution, 0 where unlabelled, negative where unknown.
        number: The label number of each pair's concept.
        whole: Whether the concept of the pair holds for the whole image.
    """

    images: UInt8[Tensor, "N 3 H W"]
    label_maps: Int32[Tensor, "N M sh sw"]
    number: Int32[Tensor, "P"]
    whole: Bool[Tensor, "P"]

    def extended(
        self, image: Int64[Tensor, "Q"], concept: Int64[Tensor, "Q"], known: Int64[Tensor, "P"]
    ) -> "ImageBatch":
        """Pair more concepts with the images; label numbers of nothing make empty masks."""
        number = torch.full((len(image),), _NOTHING, dtype=torch.int32)
        whole = torch.zeros(len(image), dtype=torch.bool)
        number[known], whole[known] = self.number, self.whole
        return replace(self, image=image, concept=concept, number=number, whole=whole)

    def about(self, concept: int) -> "ImageBatch":
        """Return the same images, each paired with one concept, whether it contains that or not.

        What is paired so has no masks: its label numbers are those of nothing.
        """
        n, device = len(self.row), self.row.device
        return replace(
            self,
            image=torch.arange(n, device=device),
            concept=torch.full((n,), concept, device=device),
            number=torch.full((n,), _NOTHING, dtype=torch.int32, device=device),
            whole=torch.zeros(n, dtype=torch.bool, device=device),
        )

    def masks(self, pairs: slice) -> Bool[Tensor, "p sh sw"]:
        """Compare the label maps with the labels of the pairs."""
        maps = self.label_maps[self.image[pairs]]
        masks = (maps == self.number[pairs, None, None, None]).any(1)
        return masks | self.whole[pairs, None, None]


@dataclass(frozen=True)
class BitBatch(ConceptBatch):
    """A batch with what a layer answered to its images.

    Args:
        places: Where filters fired, as in :class:`~net2vec_pl.functional.fired.Fired`.
        shape: (K, h, w) of the layer.
        packed_masks: The mask of each pair, eight pixels to a byte.
        mask_size: (sh, sw) of the masks.
        activation: The activations themselves, where they are kept.
    """

    places: Int64[Tensor, "n"]
    shape: tuple[int, int, int]
    packed_masks: UInt8[Tensor, "P bytes"]
    mask_size: tuple[int, int]
    activation: Float16[Tensor, "N K h w"] | None = None

    def extended(
        self, image: Int64[Tensor, "Q"], concept: Int64[Tensor, "Q"], known: Int64[Tensor, "P"]
    ) -> "BitBatch":
        """Pair more concepts with the images; their masks have no bit set."""
        device, packed = self.packed_masks.device, self.packed_masks
        masks = packed.new_zeros(len(image), packed.shape[1])
        masks[known.to(device)] = packed
        return replace(self, image=image.to(device), concept=concept.to(device), packed_masks=masks)

    @property
    def fired(self) -> Fired:
        """What the layer answered."""
        return Fired(self.places, (len(self.row), *self.shape))

    def masks(self, pairs: slice) -> Bool[Tensor, "p sh sw"]:
        """Unpack the masks of the pairs."""
        sh, sw = self.mask_size
        return unpack_bits(self.packed_masks[pairs], sh * sw).view(-1, sh, sw)


class PairIndex:
    """Which concepts of a vocabulary each image contains, from a scan.

    Args:
        vocabulary: The probed concepts, C of them.
        scan: The scan of the dataset.
        num_rows: Rows of the dataset, readable or not.
    """

    def __init__(self, vocabulary: Vocabulary, scan: Scan, num_rows: int) -> None:
        numbers = vocabulary.numbers
        length = int(max(numbers.max(initial=0), scan.number.max(initial=0))) + 1
        row_of = np.full(length, -1, dtype=np.int64)
        row_of[numbers] = np.arange(len(numbers))
        concept = row_of[scan.number]
        keep = concept >= 0
        self.numbers = numbers
        self.finder = AreaFinder(vocabulary)
        self._unknown = scan.unknown
        self._concept = concept[keep]
        self._start = np.searchsorted(scan.row[keep], np.arange(num_rows + 1))

    @classmethod
    def annotated(
        cls, index: "PairIndex", vocabulary: Vocabulary, reader: ConceptReader
    ) -> "PairIndex":
        """Pair every image with all concepts of the categories it was annotated for.

        An image that is unknown for a concept from edge to edge counts as not annotated for it.

        Args:
            index: The concepts in each image; they stay.
            vocabulary: The same concepts.
            reader: The dataset.
        """
        rows = np.arange(len(reader))
        annotated = annotated_for(vocabulary, reader, rows) & ~index.unknown(rows, whole=True)
        there = annotated | index.present(rows)
        other = copy.copy(index)
        image, other._concept = there.nonzero()
        other._start = np.searchsorted(image, np.arange(len(reader) + 1))
        return other

    def __getitem__(self, row: int) -> npt.NDArray[np.int64]:
        """Return the vocabulary rows of the concepts in one image."""
        return self._concept[self._start[row] : self._start[row + 1]]

    def all_of(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the pairs of many rows: which of the rows, and which concept."""
        sizes = self.pairs_per_image[rows]
        return owners(sizes), self._concept[places(self._start[rows], sizes)]

    def present(self, rows: npt.NDArray[np.int64]) -> Bool[np.ndarray, "N C"]:
        """Return whether each of some images contains each concept."""
        present = np.zeros((len(rows), len(self.numbers)), dtype=np.bool_)
        present[self.all_of(rows)] = True
        return present

    def unknown(
        self, rows: npt.NDArray[np.int64], *, whole: bool = False
    ) -> Bool[np.ndarray, "N C"]:
        """Return whether each of some images has pixels that are unknown for each concept.

        Args:
            rows: The images.
            whole: Whether only images count that are unknown from edge to edge.
        """
        if self._unknown is None:
            return np.zeros((len(rows), len(self.numbers)), dtype=np.bool_)
        return self._unknown.of(self.numbers, rows, whole=whole)

    def absent(self, rows: npt.NDArray[np.int64]) -> Bool[np.ndarray, "N C"]:
        """Return whether each of some images is known to lack each concept."""
        absent: npt.NDArray[np.bool_] = ~(self.present(rows) | self.unknown(rows))
        return absent

    @property
    def pairs_per_image(self) -> npt.NDArray[np.int64]:
        """Number of probed concepts in each row of the dataset."""
        return np.diff(self._start)


def annotated_for(
    vocabulary: Vocabulary, reader: ConceptReader, rows: npt.NDArray[np.int64]
) -> Bool[np.ndarray, "N C"]:
    """Return whether each of some images was annotated for the category of each concept."""
    column = {category.name: i for i, category in enumerate(reader.categories)}
    return reader.annotated[rows][:, [column[concept.category] for concept in vocabulary]]


class PairPlaces:
    """One list of all pairs of some images, and where in it the pairs of a batch stand.

    Args:
        index: The concepts in each image.
        rows: The images, in the order of the list.

    Attributes:
        image: Row of the dataset of each pair.
        concept: Row of the vocabulary of each pair.
    """

    def __init__(self, index: PairIndex, rows: npt.NDArray[np.int64]) -> None:
        self._sizes = index.pairs_per_image
        which, self.concept = index.all_of(rows)
        self.image = rows[which]
        self._first = np.zeros(len(self._sizes), dtype=np.int64)
        self._first[rows] = starts(self._sizes[rows])[:-1]

    def of(self, row: Int64[Tensor, "N"]) -> Int64[Tensor, "P"]:
        """Return the places of the pairs of a batch's images, on their device."""
        rows = row.cpu().numpy()
        return torch.from_numpy(places(self._first[rows], self._sizes[rows])).to(row.device)


def collate(
    rows: Sequence[int],
    samples: Sequence[Sample],
    index: PairIndex,
    image_size: tuple[int, int],
    mask_size: tuple[int, int],
) -> ImageBatch:
    """Stack samples and flatten their pairs.

    Args:
        rows: N rows of the dataset; may be none.
        samples: Their samples.
        index: The concepts in each.
        image_size: (H, W) of every image.
        mask_size: (sh, sw) of every label map.
    """
    layers = max((sample.label_maps.shape[0] for sample in samples), default=0)
    images = torch.empty(len(samples), 3, *image_size, dtype=torch.uint8)
    label_maps = torch.zeros(len(samples), layers, *mask_size, dtype=torch.int32)
    for i, sample in enumerate(samples):
        images[i] = sample.image
        label_maps[i, : sample.label_maps.shape[0]] = sample.label_maps
    image, concept = index.all_of(np.array(rows, dtype=np.int64))
    number = index.numbers[concept]
    labels = [{number for _, number in sample.image_labels} for sample in samples]
    whole = [n in labels[i] for i, n in zip(image.tolist(), number.tolist(), strict=True)]
    return ImageBatch(
        row=torch.tensor(rows, dtype=torch.int64),
        images=images,
        label_maps=label_maps,
        image=torch.from_numpy(image),
        concept=torch.from_numpy(concept),
        number=torch.from_numpy(number).int(),
        whole=torch.tensor(whole, dtype=torch.bool),
        areas=Areas.stack([index.finder.find(sample) for sample in samples], len(index.numbers)),
    )
