"""Stream images, label maps and pairs, to every process its share."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from net2vec_pl import processes
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.batch import ConceptBatch, ImageBatch, PairIndex, collate
from net2vec_pl.data.reader import ConceptReader, Sample
from net2vec_pl.data.scan import Scan

_Item = tuple[int, Sample]


class BatchSource(Dataset[Any], ABC):
    """Where batches come from: items by row of the dataset, and how to make a batch of some."""

    in_memory = False  # then worker processes and pinned memory gain nothing

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> ConceptBatch:
        """Make a batch of items, of which there may be none."""


class _Images(BatchSource):
    def __init__(self, reader: ConceptReader, index: PairIndex) -> None:
        self.reader = reader
        self.index = index

    def __getitem__(self, row: int) -> _Item:
        return row, self.reader[row]

    def collate(self, items: Sequence[_Item]) -> ImageBatch:
        rows, samples = [row for row, _ in items], [sample for _, sample in items]
        size = self.reader.image_size, self.reader.mask_size
        return collate(rows, samples, self.index, *size)


class _Annotated(BatchSource):
    """The same batches, with the concepts that images could contain and do not."""

    def __init__(self, source: BatchSource, index: PairIndex, wider: PairIndex) -> None:
        self._source, self._index, self._wider = source, index, wider
        self.in_memory = source.in_memory

    def __getitem__(self, row: int) -> Any:
        return self._source[row]

    def collate(self, items: Sequence[Any]) -> ConceptBatch:
        batch = self._source.collate(items)
        rows = batch.row.cpu().numpy()
        image, concept = self._wider.all_of(rows)
        length = int(concept.max(initial=0)) + 1
        place = {key: i for i, key in enumerate((image * length + concept).tolist())}
        images, concepts = self._index.all_of(rows)
        known = [place[key] for key in (images * length + concepts).tolist()]
        return batch.extended(
            torch.from_numpy(image),
            torch.from_numpy(concept),
            torch.tensor(known, dtype=torch.int64),
        )


def epoch_order(
    rows: npt.NDArray[np.int64], seed: int, epoch: int, *, shuffle: bool = True
) -> npt.NDArray[np.int64]:
    """Return the order in which an epoch visits rows: a function of seed and epoch alone.

    Example:
        >>> epoch_order(np.arange(4), seed=0, epoch=1).tolist()
        [3, 0, 2, 1]
    """
    return np.random.default_rng([seed, epoch]).permutation(rows) if shuffle else rows


class EpochSampler(Sampler[int]):
    """Visit rows in :func:`epoch_order`; Lightning tells it the epoch.

    All rows are put in order and those not kept are passed over, so that two images come in the
    same order whichever concepts are probed.

    Args:
        rows: The rows to put in order.
        seed: Seed of the order.
        shuffle: Whether to visit them in a new order each epoch.
        keep: Those of them to visit; all if None.
    """

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        seed: int,
        *,
        shuffle: bool,
        keep: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.rows, self.seed, self.shuffle, self.epoch = rows, seed, shuffle, 0
        self._kept = set((rows if keep is None else keep).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.rows, self.seed, self.epoch, shuffle=self.shuffle)
        return iter([row for row in order.tolist() if row in self._kept])


class SharedBatches(Sampler[list[int]]):
    """Cut an order of rows into batches and each batch into one stretch per process.

    All processes see equally many batches, for they exchange gradients after each, so a stretch of
    the last one may be empty. Nothing is padded, and nothing comes twice.

    Args:
        sampler: The order of rows.
        batch_size: Rows a batch, over all processes.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(self.sampler)
        for start in range(0, len(rows), self.batch_size):
            batch = np.array(rows[start : start + self.batch_size])
            yield np.array_split(batch, processes.count())[processes.rank()].tolist()


class ConceptDataModule(pl.LightningDataModule):
    """Images and concept masks of a dataset, for every step of a run.

    Args:
        reader: The dataset.
        vocabulary: The probed concepts.
        scan: The scan of the dataset; unreadable rows are never visited.
        batch_size: Images a batch, over all processes.
        workers: Worker processes that read images, for each process of the run; 0 reads in the
            process itself.
        seed: Seed of the order of train images.
        shuffle: Whether train images come in a new order each epoch.
        score_annotated: Whether concepts are scored on all images annotated for their category, or
            only on those that contain them.

    Attributes:
        all_rows: Every readable row.
        train_rows: Those of the train split.
        val_rows: Those of the val split.
        pair_rows: Rows with a probed concept, by split: ``train`` and ``val``.
        scored_rows: Rows that scores are taken on, likewise.
        index: The probed concepts of every row.
        score_index: The concepts that every row is scored for.
        source: Where batches come from.
    """

    def __init__(
        self,
        reader: ConceptReader,
        vocabulary: Vocabulary,
        scan: Scan,
        *,
        batch_size: int = 64,
        workers: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        score_annotated: bool = False,
    ) -> None:
        super().__init__()
        self.index = self.score_index = PairIndex(vocabulary, scan, len(reader))
        if score_annotated:
            self.score_index = PairIndex.annotated(self.index, vocabulary, reader)
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.shuffle = shuffle
        self.source: BatchSource = _Images(reader, self.index)
        is_train = reader.is_train[scan.readable]
        has_pairs, is_scored = (
            index.pairs_per_image[scan.readable] > 0 for index in (self.index, self.score_index)
        )
        self.all_rows = scan.readable
        self.train_rows, self.val_rows = scan.readable[is_train], scan.readable[~is_train]
        self.pair_rows = {
            "train": scan.readable[is_train & has_pairs],
            "val": scan.readable[~is_train & has_pairs],
        }
        self.scored_rows = {
            "train": scan.readable[is_train & is_scored],
            "val": scan.readable[~is_train & is_scored],
        }

    def from_source(self, source: BatchSource) -> "ConceptDataModule":
        """Return the same stream of rows, read from elsewhere and in this process."""
        other = copy.copy(self)
        other.source, other.workers = source, 0
        return other

    def only_train(self, rows: npt.NDArray[np.int64]) -> "ConceptDataModule":
        """Return the same stream with fewer train images.

        Args:
            rows: Those that stay.
        """
        other = copy.copy(self)
        other.train_rows = np.intersect1d(self.train_rows, rows)
        for name in ("pair_rows", "scored_rows"):
            kept = dict(getattr(self, name))
            kept["train"] = np.intersect1d(kept["train"], rows)
            setattr(other, name, kept)
        return other

    def annotated(self, vocabulary: Vocabulary, reader: ConceptReader) -> "ConceptDataModule":
        """Return the same stream, whose images are scored for all they were annotated for.

        Args:
            vocabulary: The probed concepts.
            reader: The dataset.
        """
        other = copy.copy(self)
        other.score_index = PairIndex.annotated(self.index, vocabulary, reader)
        return other

    def train_dataloader(self) -> DataLoader[ConceptBatch]:
        """Every train image with a probed concept, in seeded order; a share of every batch."""
        keep = self.pair_rows["train"]
        order = EpochSampler(self.train_rows, self.seed, shuffle=self.shuffle, keep=keep)
        return self._loader(SharedBatches(order, self.batch_size), persistent=True)

    def val_dataloader(self) -> DataLoader[ConceptBatch]:
        """This process's share of the val images that scores are taken on, in row order."""
        return self.scoring_dataloader(self.scored_rows["val"], persistent=True)

    def scoring_dataloader(
        self, rows: npt.NDArray[np.int64], *, persistent: bool = False
    ) -> DataLoader[ConceptBatch]:
        """As :meth:`rows_dataloader`, with the pairs that are scored."""
        if self.score_index is self.index:
            return self.rows_dataloader(rows, persistent=persistent)
        wider = copy.copy(self)
        wider.source = _Annotated(self.source, self.index, self.score_index)
        return wider.rows_dataloader(rows, persistent=persistent)

    def rows_dataloader(
        self, rows: npt.NDArray[np.int64], *, persistent: bool = False
    ) -> DataLoader[ConceptBatch]:
        """This process's share of any rows, in the order given.

        All processes get equally many batches, so the last ones may be empty.
        """
        size = max(1, self.batch_size // processes.count())
        mine = processes.share(rows).tolist()
        largest = -(-len(rows) // processes.count())
        batches = [mine[i : i + size] for i in range(0, largest, size)]
        return self._loader(batches, persistent=persistent)

    def transfer_batch_to_device(
        self, batch: ConceptBatch, device: torch.device, dataloader_idx: int
    ) -> ConceptBatch:
        """Move a batch; Lightning does not know our class."""
        return batch.to(device, non_blocking=True)

    def _loader(
        self, batches: SharedBatches | list[list[int]], *, persistent: bool
    ) -> DataLoader[ConceptBatch]:
        return DataLoader(
            self.source,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=self.source.collate,
            persistent_workers=persistent and self.workers > 0,
            pin_memory=torch.cuda.is_available() and not self.source.in_memory,
        )
