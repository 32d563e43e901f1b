"""Lightning trainers and their callbacks, from plain options."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from net2vec_pl.callbacks import LogEmbeddingNorms, LogScores
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.errors import ConfigError
from net2vec_pl.pipeline.options import FitCallbacks
from net2vec_pl.runs.stages import WholeCheckpoints

# A process may wait this long for another one, which builds a cache, say. If one dies, all end.
_PATIENCE = timedelta(days=7)
# Warnings of Lightning about what is so on purpose here.
_EXPECTED = (
    ".*exists and is not empty.*",  # metrics.csv lies in the run folder itself
    ".*smaller than the logging interval.*",
    ".*module\\(s\\) in eval mode.*",  # the frozen backbone
    ".*does not have many workers.*",
    ".*treespec, LeafSpec.*",
    ".*`max_epochs=.*` reached.*",
    ".*sync_dist=True.*",  # values are those of all processes already
    ".*broadcast_buffers.*",  # the new name is not in every version
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's warnings about what is so on purpose; its usual voice comes back."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    with warnings.catch_warnings():
        logger.setLevel(logging.WARNING)
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            logger.setLevel(level)


def callbacks_from(
    options: FitCallbacks, vocabulary: Vocabulary, folder: Path, *, progress: bool
) -> list[pl.Callback]:
    """Build the callbacks of a fit, with a progress bar if ``progress`` is to be shown."""
    chosen: list[pl.Callback] = []
    if options.scores:
        chosen.append(LogScores(vocabulary))
    if options.norms:
        chosen.append(LogEmbeddingNorms(vocabulary))
    if options.checkpoint:
        chosen.append(
            ModelCheckpoint(
                folder / "checkpoints",
                "last",
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    if progress:
        chosen.append(RichProgressBar(leave=True, console_kwargs={"stderr": True}))
    return chosen


def trainer_from(
    arguments: Mapping[str, Any],
    epochs: int = 1,
    folder: Path = Path(),
    logger: Logger | bool = False,
    callbacks: list[pl.Callback] | None = None,
) -> pl.Trainer:
    """Build a Lightning trainer.

    Args:
        arguments: Of ``pytorch_lightning.Trainer``, given by the user.
        epochs: Passes over the train images.
        folder: Where Lightning may write.
        logger: Where logs go.
        callbacks: Callbacks of the trainer; it validates only if :class:`LogScores` is among them.

    Raises:
        ConfigError: If Lightning refuses the arguments.
    """
    given = dict(arguments)
    callbacks = callbacks or []
    if not _has(callbacks, LogScores):  # nobody would read the scores
        given.setdefault("limit_val_batches", 0)
    if given.get("accelerator") == "auto" and torch.backends.mps.is_available():
        given["accelerator"] = "cpu"  # scores are float64, which Apple's GPUs lack
    ours = {
        "max_epochs": epochs,
        "default_root_dir": folder,
        "logger": logger,
        "callbacks": callbacks,
        "enable_progress_bar": _has(callbacks, RichProgressBar),
        "enable_checkpointing": _has(callbacks, ModelCheckpoint),
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }
    try:
        return _made(given, ours)
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer={dict(arguments)}: {error}") from error


def _made(given: Mapping[str, Any], ours: Mapping[str, Any]) -> pl.Trainer:
    """Make a trainer; several processes get the strategy that a run needs."""
    trainer = pl.Trainer(**given, **ours, plugins=[WholeCheckpoints()])
    if trainer.world_size == 1:
        return trainer
    if given.get("strategy", "auto") not in ("auto", "ddp"):
        raise ValueError("several processes work together by strategy=ddp (trainer=ddp)")
    # The probe exchanges gradients itself, and shares of val images differ in length.
    strategy = DDPStrategy(broadcast_buffers=False, timeout=_PATIENCE)
    return pl.Trainer(**{**given, "strategy": strategy}, **ours, plugins=[WholeCheckpoints()])


def _has(callbacks: Sequence[pl.Callback], kind: type[pl.Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
