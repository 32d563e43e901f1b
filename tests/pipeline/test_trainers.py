"""Trainers and callbacks do what plain options say."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import ModelCheckpoint

from net2vec_pl.callbacks import LogEmbeddingNorms, LogScores
from net2vec_pl.datasets.shapes.vocabulary import VOCABULARY
from net2vec_pl.pipeline.options import FitCallbacks
from net2vec_pl.pipeline.trainers import callbacks_from, trainer_from


def chosen(folder: Path, **switches: bool) -> list[pl.Callback]:
    off = dict.fromkeys(("scores", "norms", "checkpoint"), False)
    options = FitCallbacks(**(off | switches))
    return callbacks_from(options, VOCABULARY, folder, progress=False)


def test_each_switch_brings_its_own_callback(tmp_path: Path) -> None:
    assert chosen(tmp_path) == []
    assert [type(c) for c in chosen(tmp_path, scores=True)] == [LogScores]
    assert [type(c) for c in chosen(tmp_path, norms=True)] == [LogEmbeddingNorms]
    (checkpoint,) = chosen(tmp_path, checkpoint=True)
    assert isinstance(checkpoint, ModelCheckpoint)
    assert Path(str(checkpoint.dirpath)) == tmp_path / "checkpoints"
    assert checkpoint.filename == "last"
    assert checkpoint._save_on_train_epoch_end


def trainer(folder: Path, callbacks: list[pl.Callback], **options: object) -> pl.Trainer:
    arguments = {"accelerator": "cpu", "devices": 1} | options
    return trainer_from(arguments, 3, folder, False, callbacks)


def test_a_trainer_runs_the_epochs_asked_for_and_validates_where_scores_are_read(
    tmp_path: Path,
) -> None:
    scored = trainer(tmp_path, chosen(tmp_path, scores=True))
    assert (scored.max_epochs, scored.limit_val_batches, scored.num_sanity_val_steps) == (3, 1.0, 0)
    assert isinstance(scored.limit_val_batches, float)  # a share: all of them
    assert scored.default_root_dir == str(tmp_path)
    assert trainer(tmp_path, []).limit_val_batches == 0
    assert trainer(tmp_path, [], limit_val_batches=2).limit_val_batches == 2
    assert not trainer(tmp_path, []).checkpoint_callbacks
    assert trainer(tmp_path, chosen(tmp_path, checkpoint=True)).checkpoint_callbacks


def test_apples_gpus_are_not_used_for_they_lack_doubles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert isinstance(trainer(tmp_path, [], accelerator="auto").accelerator, CPUAccelerator)
