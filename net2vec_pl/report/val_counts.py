"""``val_counts.safetensors``: the val pixels that scores of a run are sums of.

With them two runs on the same images can be compared image by image, long after both are done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from jaxtyping import Int64
from safetensors import SafetensorError
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import RunFolderError
from net2vec_pl.runs.files import whole

_SIZES = (torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class ValCounts:
    """Pixels of every val pair of an image and a concept, for a run's probe and single filters.

    Args:
        image: Row of the dataset of each pair.
        concept: Number of its concept in the dataset.
        multi: Intersection and union of mask and prediction, of the embedding of each of S seeds.
        single: The same of the best single filter; 0 where the concept has none.
        group: The group of the image, if rows of the dataset are grouped.
    """

    image: Int64[Tensor, "P"]
    concept: Int64[Tensor, "P"]
    multi: Int64[Tensor, "S 2 P"]
    single: Int64[Tensor, "2 P"]
    group: Int64[Tensor, "P"] | None = None

    @classmethod
    def of(
        cls,
        vocabulary: Vocabulary,
        multi: BankCounts,
        single: BankCounts,
        groups: npt.NDArray[np.int64] | None,
    ) -> "ValCounts":
        """Put the counts of a run together.

        Args:
            vocabulary: The concepts by row.
            multi: Of the banks of all seeds.
            single: Of the best single filters, for the same pairs.
            groups: The group of each row of the dataset, if rows are grouped.
        """
        return cls(
            multi.image,
            torch.tensor(vocabulary.numbers)[multi.concept],
            torch.stack([multi.intersection, multi.union], dim=1),
            torch.stack([single.intersection[0], single.union[0]]),
            None if groups is None else torch.from_numpy(groups[multi.image.numpy()]),
        )

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, in the smallest integers that hold its numbers."""
        tensors = {name: _small(value) for name, value in vars(self).items() if value is not None}
        with whole(path) as part:
            part.write_bytes(safetensors.torch.save(tensors))

    @classmethod
    def load(cls, path: Path) -> "ValCounts":
        """Read a file that :meth:`save` wrote.

        Raises:
            RunFolderError: If it is absent or damaged.
        """
        try:
            tensors = safetensors.torch.load(path.read_bytes())
            return cls(**{name: value.long() for name, value in tensors.items()})
        except (OSError, SafetensorError, TypeError) as error:
            raise RunFolderError(f"{path} cannot be read: {error}") from error

    def pairs(self, numbers: Sequence[int], seed: int = 0) -> PairCounts:
        """Return the pairs of some concepts, by image, then in the order of the concepts.

        Args:
            numbers: Numbers of the concepts; their places are the concepts of what is returned.
            seed: Which of the S seeds.
        """
        asked, known = np.asarray(numbers, dtype=np.int64), self.concept.numpy()
        order = np.argsort(asked)
        place = np.searchsorted(asked, known, sorter=order).clip(max=max(len(asked) - 1, 0))
        concept = order[place] if len(asked) else np.zeros(len(known), np.int64)
        kept = np.flatnonzero(np.isin(known, asked))
        kept = kept[np.lexsort((concept[kept], self.image.numpy()[kept]))]
        return PairCounts(
            self.image.numpy()[kept],
            concept[kept],
            self.multi[seed].numpy()[:, kept],
            self.single.numpy()[:, kept],
            len(asked),
            None if self.group is None else self.group.numpy()[kept],
        )

    def bank_counts(self, vocabulary: Vocabulary) -> BankCounts:
        """Return what the embeddings count, by row of their bank."""
        row = {number: row for row, number in enumerate(vocabulary.numbers)}
        concept = torch.tensor([row[n] for n in self.concept.tolist()], dtype=torch.int64)
        return BankCounts(self.image, concept, *self.multi.unbind(1))

    def groups(self) -> npt.NDArray[np.int64] | None:
        """Return the group of every row of the dataset, -1 where no pair tells it, if any does."""
        if self.group is None:
            return None
        found = np.full(int(self.image.max()) + 1 if len(self.image) else 0, -1)
        found[self.image.numpy()] = self.group.numpy()
        return found


def _small(value: Int64[Tensor, "*S"]) -> Tensor:
    """Hold numbers of at least 0 in the smallest type that can."""
    most = int(value.max()) if value.numel() else 0
    return value.to(next(size for size in _SIZES if most <= torch.iinfo(size).max)).contiguous()
