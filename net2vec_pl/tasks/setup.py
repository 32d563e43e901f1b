"""Open and check everything the user gave, the cheap things first."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from net2vec_pl import processes
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import (
    Census,
    ConceptDataModule,
    ConceptReader,
    Selection,
    select_concepts,
    take_census,
)
from net2vec_pl.tasks import build
from net2vec_pl.tasks.folder import tell_backbone, tell_data
from net2vec_pl.tasks.progress import Progress


@dataclass(frozen=True)
class Setup:
    """What every step of the job needs.

    Args:
        options: The plain options.
        folder: The run folder.
        reader: The dataset.
        backbones: One network, frozen at each layer.
        census: What is where in the dataset.
        selection: The concepts asked for; those with masks, where they are segmented.
        classified: The concepts that are classified; None where nothing is.
        stream: Images of the dataset with pairs of the probed concepts.
        progress: Bars.
        shared: What the job of one layer has made for those of the others, by name.
    """

    options: build.Options
    folder: Path
    reader: ConceptReader
    backbones: list[FrozenBackbone]
    census: Census
    selection: Selection
    classified: Selection | None
    stream: ConceptDataModule
    progress: Progress
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.backbones[0].buffers()).device

    def everything(self) -> ConceptDataModule:
        """Return the same images with pairs of every label of the dataset."""
        return _stream(self.reader, self.reader.vocabulary, self.census, self.options)

    @property
    def seeds(self) -> list[int]:
        """The seed of each bank."""
        return [self.options.seed + s for s in range(self.options.seeds)]


def set_up(config: DictConfig, options: build.Options, folder: Path, device: torch.device) -> Setup:
    """Open the dataset, freeze the network, read every file once, and choose the concepts.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    pl.seed_everything(options.seed, verbose=False)
    progress = Progress(enabled=config.callbacks.progress and processes.is_first())
    data = config.data
    reader = build.reader_from(data)
    backbones = build.backbones_from(
        config.model,
        config.layer,
        options.protocol,
        reader.image_size,
        vectors="segmentation" not in options.targets,
    )
    tell_backbone(backbones, options.protocol)
    census = processes.from_first(
        lambda: take_census(
            reader,
            workers=options.workers,
            on_error=str(data.on_error),
            track=progress("reading images and masks"),
        )
    )
    chosen = {
        target: select_concepts(
            reader,
            census,
            categories=build.name_list("data.categories", data.categories),
            names=build.name_list("data.names", data.names),
            min_train=options.min_train,
            min_val=options.min_val,
            segmented=target == "segmentation",
        )
        for target in options.targets
    }
    selection = chosen[options.targets[0]]
    if processes.is_first():
        tell_data(reader, census, chosen, folder)
    for backbone in backbones:
        backbone.to(device)
    stream = _stream(reader, selection.vocabulary, census, options)
    return Setup(
        options,
        folder,
        reader,
        backbones,
        census,
        selection,
        chosen.get("classification"),
        stream,
        progress,
    )


def _stream(
    reader: ConceptReader, vocabulary: Vocabulary, census: Census, options: build.Options
) -> ConceptDataModule:
    return ConceptDataModule(
        reader,
        vocabulary,
        census,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        shuffle=options.protocol.shuffle,
        score_annotated=options.protocol.denominator == "annotated",
    )
