"""What every step of one layer's job needs, and how its banks are trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from omegaconf import DictConfig
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import Logger
from torch import Tensor

import net2vec_pl
from net2vec_pl import processes
from net2vec_pl.activations import BankCounts
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptDataModule
from net2vec_pl.probes import ConceptBank, initial_rows
from net2vec_pl.tasks import build
from net2vec_pl.tasks.answers import Answers
from net2vec_pl.tasks.launch import StopOnSigterm
from net2vec_pl.tasks.loggers import JobLog
from net2vec_pl.tasks.setup import Setup
from net2vec_pl.tasks.stages import Stages, Tensors
from net2vec_pl.training import SegmentationProbe, score_bank


@dataclass(frozen=True)
class LayerJob:
    """One layer of a run.

    Args:
        setup: What the layers of a run share.
        config: The composed tree of conf/.
        backbone: The network, frozen at the layer.
        stages: What of the layer's job is done.
        answers: What the network answers.
        log: What the fit of the main bank logs to.
    """

    setup: Setup
    config: DictConfig
    backbone: FrozenBackbone
    stages: Stages
    answers: Answers
    log: JobLog = field(default_factory=JobLog)

    @property
    def folder(self) -> Path:
        """Where the layer's results go."""
        return self.stages.folder

    @property
    def vocabulary(self) -> Vocabulary:
        """The probed concepts."""
        return self.setup.selection.vocabulary

    @property
    def alpha(self) -> Float[Tensor, "C"]:
        """Weight of the positive pixels of each concept, by size."""
        return torch.tensor([entry.alpha for entry in self.setup.selection.probed])

    @property
    def header(self) -> dict[str, Any]:
        """What a bank of this layer belongs to."""
        return header_of(self.setup, self.backbone, self.config)

    def initial_rows(self, seed: int) -> Float[Tensor, "C K"]:
        """Return the embeddings from which the training of a seed's bank starts."""
        numbers, filters = self.vocabulary.numbers.tolist(), self.backbone.shape[0]
        return initial_rows(numbers, filters, seed, self.backbone.module_path)

    def probe(self, bank: ConceptBank) -> SegmentationProbe:
        """Return a bank, or several, ready to be trained on the layer."""
        options = self.setup.options
        compiled = options.compiled
        return SegmentationProbe(
            self.backbone,
            self.answers.thresholds,
            bank,
            self.alpha,
            self.setup.reader.mask_size,
            options.protocol,
            scale=self.answers.scale,
            pairs_per_chunk=options.pairs_per_chunk,
            compiled=self.setup.device.type == "cuda" if compiled is None else compiled,
            stage_key=self.stages.key,
        )

    def train(
        self,
        probe: pl.LightningModule,
        stream: pl.LightningDataModule | None,
        *,
        logger: Logger | bool = False,
        callbacks: Sequence[pl.Callback] | None = None,
        checkpoint: Path | None = None,
        epochs: int | None = None,
    ) -> None:
        """Fit a probe with the trainer of the configuration.

        Args:
            probe: Learns, in place.
            stream: The images; None if the probe brings its own examples.
            logger: Where logs go.
            callbacks: Of the trainer; validation needs the one that logs scores. None is a bar, if
                the configuration shows any.
            checkpoint: To go on from.
            epochs: Passes over the train images; the protocol's if None.
        """
        if callbacks is None and self.setup.progress.enabled:
            callbacks = [RichProgressBar(console_kwargs={"stderr": True})]
        callbacks = list(callbacks or ())
        if processes.count() > 1:
            callbacks.append(StopOnSigterm())
        trainer = build.trainer_from(
            self.config.trainer,
            epochs or self.setup.options.protocol.epochs,
            self.folder,
            logger,
            callbacks,
        )
        try:
            trainer.fit(probe, datamodule=stream, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from stop
        probe.to(trainer.strategy.root_device)  # Lightning may leave it on the CPU

    def trained(
        self, name: str, bank: ConceptBank, stream: ConceptDataModule | None = None
    ) -> SegmentationProbe:
        """Train banks beside the main one, once: no log, no validation, no checkpoint.

        Args:
            name: Name of the stage.
            bank: The banks.
            stream: The images; those of the main bank if None.
        """
        probe = self.probe(bank)
        probe.tells_loss = False

        def learn() -> Tensors:
            self.train(probe, stream or self.answers.stream)
            return {key: value for key, value in probe.state_dict().items() if _is_own(key)}

        probe.load_state_dict(self.stages.once(name, learn), strict=False)
        return probe.to(self.setup.device)

    def scored(self, name: str, probe: SegmentationProbe) -> BankCounts:
        """Score banks on val, once.

        Args:
            name: Name of the stage.
            probe: The banks.
        """
        stream = self.answers.stream
        track = self.setup.progress(name)
        probe = probe.to(self.setup.device)
        found = self.stages.once(
            name,
            lambda: vars(
                score_bank(probe, stream, stream.scored_rows["val"], ap=False, track=track)[0]
            ),
        )
        return BankCounts(**found)


def key_of(setup: Setup, backbone: FrozenBackbone, config: DictConfig) -> dict[str, Any]:
    """Return everything that a layer's results depend on."""
    header = header_of(setup, backbone, config)
    del header["versions"]["torch"]  # a newer one may finish what an older one began
    concepts = [(e.concept.name, e.n_train, e.n_val) for e in setup.selection.probed]
    return header | {"concepts": concepts, "batch_size": setup.options.batch_size}


def header_of(setup: Setup, backbone: FrozenBackbone, config: DictConfig) -> dict[str, Any]:
    """Say what a bank belongs to: enough to rebuild its backbone and to compare runs."""
    protocol, reader = setup.options.protocol, setup.reader
    return {
        "model": build.plain(config.model),
        "weights_digest": backbone.digest,
        "layer": backbone.layer,
        "module_path": backbone.module_path,
        "activation_shape": list(backbone.shape),
        "input_transform": vars(backbone.scaling) | {"image_size": list(reader.image_size)},
        "tau": protocol.tau,
        "protocol": protocol.plain(),
        "deviations": protocol.deviations(),
        "data": {
            "name": reader.name,
            "digest": setup.census.digest,
            "mask_size": list(reader.mask_size),
            "readable": len(setup.census.readable),
            "unreadable": len(setup.census.unreadable),
        },
        "seed": setup.options.seed,
        "seeds": setup.options.seeds,
        "versions": {"net2vec_pl": net2vec_pl.__version__, "torch": version("torch")},
    }


def _is_own(key: str) -> bool:
    return key.startswith("bank.") or key == "alpha"
