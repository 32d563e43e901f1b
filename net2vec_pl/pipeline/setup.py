"""Open and check everything the user gave, the cheap things first."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from net2vec_pl import processes
from net2vec_pl.backbones import FrozenBackbone, NetworkSpec
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import (
    ConceptDataModule,
    ConceptReader,
    Scan,
    Selection,
    current_scan,
    select_concepts,
)
from net2vec_pl.data.groups import doubts_of, num_val_groups, told_groups
from net2vec_pl.errors import shorten
from net2vec_pl.pipeline.options import ConceptChoice, RunOptions
from net2vec_pl.pipeline.progress import Progress
from net2vec_pl.protocol import Protocol
from net2vec_pl.records import write_csv
from net2vec_pl.records.run import SkippedRow
from net2vec_pl.units import UnitChoice, told

_TOLD = 3  # unreadable images in a warning
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What a run looks into: a network at some layers, and a dataset.

    Args:
        network: How the network is built.
        layers: Names or module paths, or ``["all"]``; ``[None]`` is the last layer that gives a
            map.
        reader: The dataset.
        concepts: Which of its concepts are probed.
        on_error: ``raise`` at an unreadable image, or ``skip`` it.
        units: What is probed at a layer.
        scan: ``kept`` uses the scan kept on disk if no file has changed, ``anew`` reads all files.
    """

    network: NetworkSpec
    layers: Sequence[str | None]
    reader: ConceptReader
    concepts: ConceptChoice = field(default_factory=ConceptChoice)
    on_error: str = "raise"
    units: UnitChoice = field(default_factory=UnitChoice)
    scan: str = "kept"

    def frozen(
        self, options: RunOptions, network: NetworkSpec | None = None
    ) -> list[FrozenBackbone]:
        """Build the network, or another one of its architecture, frozen at each layer.

        Units that are fitted to train images are blank as yet; see
        :func:`~net2vec_pl.pipeline.units.with_fitted_units`.

        Raises:
            ConfigError: If a layer is named twice, or has no such units.
            BackboneError: If network, weights or layer cannot be had.
        """
        protocol = options.protocol
        backbones = (network or self.network).freeze(
            self.layers,
            self.reader.image_size,
            scaling="paper" if protocol.scaling == "paper" else None,
            precision=protocol.precision,
            vectors="segmentation" not in options.targets,
        )
        return [b.with_units(self.units.units(b.shape[0])) for b in backbones]

    def select(self, scan: Scan, *, segmented: bool) -> Selection:
        """Choose the concepts that are probed, for which there are enough images.

        Args:
            scan: What is where in the dataset.
            segmented: Whether concepts need masks.

        Raises:
            Net2VecError: If a category or a name is unknown, or no concept is left.
        """
        choice = self.concepts
        return select_concepts(
            self.reader,
            scan,
            categories=choice.categories,
            names=choice.names,
            min_train=choice.min_train,
            min_val=choice.min_val,
            segmented=segmented,
        )


@dataclass(frozen=True)
class Setup:
    """What every step of the job needs.

    Args:
        options: How the run does its work.
        subject: Network and dataset.
        folder: The run folder.
        command: The command that started the run.
        backbones: The network, frozen at each layer.
        scan: What is where in the dataset.
        selection: The concepts asked for; those with masks, where they are segmented.
        classified: The concepts that are classified; None where nothing is.
        stream: Images of the dataset with pairs of the probed concepts.
        progress: Bars.
        shared: What the job of one layer has made for those of the others, by name.
    """

    options: RunOptions
    subject: Subject
    folder: Path
    command: str
    backbones: list[FrozenBackbone]
    scan: Scan
    selection: Selection
    classified: Selection | None
    stream: ConceptDataModule
    progress: Progress
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def reader(self) -> ConceptReader:
        """The dataset."""
        return self.subject.reader

    @property
    def num_val_groups(self) -> int | None:
        """Groups of the val images that are scored, as intervals take them; None without any."""
        return num_val_groups(self.reader, self.stream.scored_rows["val"])

    @property
    def native_reader(self) -> ConceptReader | None:
        """The dataset with masks that scores are taken on once more; None for none."""
        return native_reader(self.reader, self.options)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.backbones[0].buffers()).device

    def everything(self) -> ConceptDataModule:
        """Return the same images with pairs of every label of the dataset."""
        return _stream(self.reader, self.reader.vocabulary, self.scan, self.options)

    @property
    def seeds(self) -> list[int]:
        """The seed of each bank."""
        return [self.options.seed + s for s in range(self.options.seeds)]


def set_up(
    subject: Subject, options: RunOptions, folder: Path, command: str, device: torch.device
) -> Setup:
    """Freeze the network, scan the files unless their scan is kept, and choose the concepts.

    Args:
        subject: Network and dataset.
        options: How the run does its work.
        folder: The run folder.
        command: The command that started the run.
        device: Where the network runs.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    pl.seed_everything(options.seed, verbose=False)
    progress = Progress(enabled=options.callbacks.progress and processes.is_first())
    reader = subject.reader
    native_reader(reader, options)  # refused here, before there is any work
    backbones = subject.frozen(options)
    _tell_backbones(backbones, options.protocol)
    scan = processes.from_first(
        lambda: current_scan(
            reader,
            anew=subject.scan == "anew",
            workers=options.workers,
            on_error=subject.on_error,
            track=progress.of_images("reading images and masks", len(reader)),
        )
    )
    chosen = {
        target: subject.select(scan, segmented=target == "segmentation")
        for target in options.targets
    }
    selection = chosen[options.targets[0]]
    if processes.is_first():
        _tell_data(reader, scan, chosen, folder)
    for backbone in backbones:
        backbone.to(device)
    return Setup(
        options,
        subject,
        folder,
        command,
        backbones,
        scan,
        selection,
        chosen.get("classification"),
        _stream(reader, selection.vocabulary, scan, options),
        progress,
    )


def native_reader(reader: ConceptReader, options: RunOptions) -> ConceptReader | None:
    """Return a dataset with masks that scores are taken on once more; None for none.

    Raises:
        ConfigError: If it has no masks of that size.
    """
    size = options.score_size
    return None if size is None else reader.at_mask_size(None if size == "native" else size)


def skipped_rows(reader: ConceptReader, scan: Scan) -> list[SkippedRow]:
    """Return the rows of ``skipped.csv``."""
    return [SkippedRow(row, reader.image_names[row], fault) for row, fault in scan.unreadable]


def _stream(
    reader: ConceptReader, vocabulary: Vocabulary, scan: Scan, options: RunOptions
) -> ConceptDataModule:
    return ConceptDataModule(
        reader,
        vocabulary,
        scan,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        shuffle=options.protocol.shuffle,
        score_annotated=options.protocol.denominator == "annotated",
    )


def _tell_backbones(backbones: Sequence[FrozenBackbone], protocol: Protocol) -> None:
    """Say which layers are read, and where the protocol deviates from the paper."""
    for backbone in backbones:
        number, h, w = backbone.shape
        words = told(backbone.units.plain, number) or f"{number} filters"
        _log.info("%s at %s: %s, %dx%d", backbone.model, backbone.layer, words, h, w)
    _log.info("protocol %s, tau %g", protocol.name, protocol.tau)
    for deviation in protocol.deviations():
        _log.info("  deviates from the paper: %s", deviation)


def _tell_data(
    reader: ConceptReader, scan: Scan, selections: Mapping[str, Selection], folder: Path
) -> None:
    """Say what the run works on and what it leaves out; unreadable rows go to ``skipped.csv``."""
    train = int(reader.is_train[scan.readable].sum())
    _log.info(
        "%s: %d images (%d train, %d val), masks %dx%d",
        reader.name,
        len(scan.readable),
        train,
        len(scan.readable) - train,
        *reader.mask_size,
    )
    if reader.groups is not None:
        _log.info("%s", told_groups(reader, scan.readable))
    for doubt in doubts_of(reader, scan.readable):
        _log.warning("%s: %s", reader.name, doubt)
    annotated = reader.annotated[scan.readable].sum(0)
    _log.info(
        "annotated images: %s",
        ", ".join(f"{c.name} {n}" for c, n in zip(reader.categories, annotated, strict=True)),
    )
    if scan.unreadable:
        rows = skipped_rows(reader, scan)
        write_csv(rows, folder / "skipped.csv")
        told = shorten((f"{row.image} ({row.fault})" for row in rows), _TOLD)
        _log.warning("%d unreadable images are skipped, see the table skipped: %s", len(rows), told)
    for target, selection in selections.items():
        _log.info("%s: %d concepts are probed", target, len(selection.probed))
        reasons: dict[str, list[str]] = {}
        for entry in selection.dropped:
            reasons.setdefault(entry.status.split(":")[0], []).append(entry.concept.name)
        for reason, names in reasons.items():
            _log.info("  %d concepts skipped, %s: %s", len(names), reason, shorten(names))
