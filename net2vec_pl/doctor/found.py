"""What the checks so far have opened, for those that follow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_lightning as pl

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptReader, Scan
from net2vec_pl.data.some_rows import SomeRows
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
    sample: SomeRows | None = None
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
