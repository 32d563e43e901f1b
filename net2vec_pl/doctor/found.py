"""What the checks so far have opened, for those that follow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptReader, Scan
from net2vec_pl.data.reader import Sample
from net2vec_pl.pipeline.options import RunOptions
from net2vec_pl.protocol import Protocol
from net2vec_pl.studies import Question


@dataclass
class Found:
    """What could be opened; None where something must be fixed first.

    Args:
        wanted: Rows of the dataset to read.
        page: The page of samples to write; None for none.
        options: The plain options.
        questions: What is asked besides scores.
        trainer: Lightning's.
        reader: The dataset.
        asked: The concepts asked for that can be probed, by target.
        sample: Some rows of the dataset.
        scan: What is where in them.
        backbones: The network at each layer, with random weights.
    """

    wanted: int
    page: Path | None = None
    options: RunOptions | None = None
    questions: Sequence[Question] | None = None
    trainer: pl.Trainer | None = None
    reader: ConceptReader | None = None
    asked: dict[str, Vocabulary] = field(default_factory=dict)
    sample: "Rows | None" = None
    scan: Scan | None = None
    backbones: list[FrozenBackbone] = field(default_factory=list)

    @property
    def targets(self) -> tuple[str, ...]:
        """What is done: segmentation, classification."""
        return self.options.targets if self.options else ("segmentation",)

    @property
    def progress(self) -> bool:
        """Whether bars are shown."""
        return self.options.callbacks.progress if self.options else False

    @property
    def protocol(self) -> Protocol:
        """How it is done."""
        return self.options.protocol if self.options else Protocol()


class Rows(ConceptReader):
    """Some rows of a dataset, as a dataset.

    Args:
        reader: The dataset.
        rows: Rising.
    """

    def __init__(self, reader: ConceptReader, rows: npt.NDArray[np.int64]) -> None:
        self.reader, self.rows = reader, rows
        self.name = f"a sample of {reader.name}"
        self.vocabulary, self.categories = reader.vocabulary, reader.categories
        self.image_names = [reader.image_names[row] for row in rows.tolist()]
        self.is_train, self.annotated = reader.is_train[rows], reader.annotated[rows]
        self.groups = None if reader.groups is None else reader.groups[rows]
        self.image_size, self.mask_size = reader.image_size, reader.mask_size

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the dataset."""
        return len(self.rows) == len(self.reader)

    def __getitem__(self, row: int) -> Sample:
        """Read one row; see :class:`ConceptReader`."""
        return self.reader[int(self.rows[row])]

    def notes(self, row: int) -> tuple[str, ...]:
        """Return what the dataset says of a row; see :class:`ConceptReader`."""
        return self.reader.notes(int(self.rows[row]))

    def fingerprint(self, row: int) -> bytes:
        """Digest one row; see :class:`ConceptReader`."""
        return self.reader.fingerprint(int(self.rows[row]))
