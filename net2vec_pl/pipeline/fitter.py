"""What sets the embeddings of a probe from the images of a stream."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from net2vec_pl import processes
from net2vec_pl.pipeline.launch import StopOnSigterm
from net2vec_pl.pipeline.trainers import trainer_from


class Fitter(ABC):
    """Fits probes: by gradient descent, or in closed form.

    One of your own is a subclass that takes no arguments, named by its import path:
    ``protocol.probe=``. Its :meth:`fit` reads
    ``stream.rows_dataloader(stream.pair_rows["train"])`` and sets ``probe.bank.weight``; see
    docs/howto/extend.md.
    """

    @abstractmethod
    def fit(self, probe: pl.LightningModule, stream: pl.LightningDataModule | None) -> None:
        """Set the embeddings of a probe, in place.

        Args:
            probe: One bank or several; ends on the device on which it was fitted.
            stream: The images; None if the probe brings its own examples.
        """


@dataclass(frozen=True)
class GradientFitter(Fitter):
    """Fits a probe with a Lightning trainer.

    Args:
        trainer: Arguments of ``pytorch_lightning.Trainer``.
        epochs: Passes over the train images.
        folder: Folder of the layer's results.
        logger: Where logs go.
        callbacks: Callbacks of the trainer; validation needs the one that logs scores.
        checkpoint: Where to go on from.
    """

    trainer: Mapping[str, Any]
    epochs: int
    folder: Path
    logger: Logger | bool = False
    callbacks: Sequence[pl.Callback] = ()
    checkpoint: Path | None = None

    def fit(self, probe: pl.LightningModule, stream: pl.LightningDataModule | None) -> None:
        """Train the probe by gradient descent; see :meth:`Fitter.fit`."""
        callbacks = list(self.callbacks)
        if processes.count() > 1:
            callbacks.append(StopOnSigterm())
        trainer = trainer_from(self.trainer, self.epochs, self.folder, self.logger, callbacks)
        try:
            trainer.fit(probe, datamodule=stream, ckpt_path=self.checkpoint, weights_only=True)
        except SystemExit as stop:  # how Lightning ends on Ctrl-C
            raise KeyboardInterrupt from stop
        probe.to(trainer.strategy.root_device)  # Lightning may leave it on the CPU
