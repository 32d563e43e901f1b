"""The sums that closed forms need: from the pass over the images, or from a pass of their own."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations import fire, respond
from net2vec_pl.activations.extract import device_of, on_device
from net2vec_pl.activations.moments import (
    NUM_FOLDS,
    MomentSums,
    folds_of,
    num_folds_for,
    steps_of,
)
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import ConceptDataModule, ImageBatch
from net2vec_pl.errors import ConfigError
from net2vec_pl.functional.inputs import INPUTS
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.probes.moments import Moments
from net2vec_pl.protocol import SUM
from net2vec_pl.runs.stages import Stages

_MOST_BYTES_OWN = 8 * 2**30  # of the covariances of all concepts and layers
_log = logging.getLogger(__name__)


def stage_of(reads: str) -> str:
    """Return the name of the stage that keeps the sums of what probes read."""
    return f"moments-{reads}"


class MomentWatch:
    """Sums what the layers of a run give, from whatever pass goes by.

    Args:
        setup: Setup of the run.
        stages: Stages of each layer, which may have the sums already.
        folders: The folder of each layer's cache on disk, where other runs may have left them;
            none if activations are kept elsewhere.
    """

    def __init__(
        self, setup: Setup, stages: Sequence[Stages], folders: Sequence[Path] = ()
    ) -> None:
        self._setup, self._stages, self._folders = setup, stages, folders
        self._reads = setup.options.sums_of
        self._sums: list[MomentSums] = []
        self._seen = torch.zeros(len(setup.reader), dtype=torch.bool)
        self._key = _key_of(setup)
        for stage, folder in zip(stages, folders, strict=False):
            kept = Stages(folder, self._key).recall(stage_of(self._reads))
            if kept is not None:
                stage.once(stage_of(self._reads), lambda kept=kept: kept)  # type: ignore[misc]
        self.wanted = self._reads in INPUTS and not all(
            [stage.recall(stage_of(self._reads)) for stage in stages]
        )
        if self.wanted:
            steps = steps_of(setup.backbones, setup.stream, INPUTS[self._reads])
            rows, count = setup.stream.train_rows, len(setup.reader)
            fold = folds_of(rows, count, _num_folds(setup), setup.reader.groups)
            self._sums = [
                MomentSums(b.shape, len(setup.selection.probed), fold, step, own=_own(setup))
                for b, step in zip(setup.backbones, steps, strict=True)
            ]

    def see(self, layer: int, batch: ImageBatch, activation: Tensor) -> None:
        """Take in a batch; an image may come twice."""
        if self.wanted:
            self._sums[layer].add(INPUTS[self._reads](activation), batch)
            self._seen[batch.row.cpu()] = True

    def unseen(self) -> npt.NDArray[np.int64]:
        """Return the train images that no process has seen; none if no sums are wanted."""
        rows = self._setup.stream.train_rows
        if not self.wanted:
            return rows[:0]
        seen = processes.sum_over(self._seen.long().to(self._setup.device)).cpu().numpy()
        missing: npt.NDArray[np.int64] = rows[seen[rows] == 0]
        return missing

    def keep(self) -> None:
        """Keep the sums of every layer as a stage, and beside its cache on disk."""
        for stage, sums in zip(self._stages, self._sums, strict=False):
            stage.once(
                stage_of(self._reads),
                lambda sums=sums: sums.moments(self._setup.device).tensors(),  # type: ignore[misc]
            )
        for stage, folder in zip(self._stages, self._folders, strict=False):
            found = stage.recall(stage_of(self._reads)) if self._sums else None
            if found is not None:
                Stages(folder, self._key).once(stage_of(self._reads), lambda found=found: found)  # type: ignore[misc]


def _key_of(setup: Setup) -> dict[str, Any]:
    """Return what sums depend on besides what a cache on disk is named by."""
    rows, groups = setup.stream.train_rows, setup.reader.groups
    return {
        "concepts": setup.selection.vocabulary.numbers.tolist(),
        "train": rows.tolist(),
        "folds": _num_folds(setup),
        "own": _own(setup),
        "sums": [field.name for field in fields(Moments)],
        **({} if groups is None else {"groups": groups[rows].tolist()}),
    }


def moments_of(
    setup: Setup,
    backbone: FrozenBackbone,
    thresholds: Tensor,
    stream: ConceptDataModule,
    rows: npt.NDArray[np.int64],
    reads: str,
) -> Moments:
    """Sum what one layer gives in a pass over some train images.

    Args:
        setup: Setup of the run.
        backbone: The network at the layer.
        thresholds: T_k of each filter.
        stream: Where the images come from, and the masks of their pairs.
        rows: The images.
        reads: What probes read, as ``protocol.input`` names it.
    """
    device = device_of(backbone)
    if reads == "bits":
        step = torch.ones(backbone.shape[0], dtype=torch.float64, device=device)
    else:
        step = steps_of([backbone], setup.stream, INPUTS[reads])[0]
    fold = folds_of(rows, len(setup.reader), _num_folds(setup), setup.reader.groups)
    sums = MomentSums(backbone.shape, len(setup.selection.probed), fold, step, own=_own(setup))
    for batch in on_device(stream.rows_dataloader(rows), backbone):
        if reads == "bits":
            sums.add(fire(backbone, thresholds, batch).dense().float(), batch)
        else:
            sums.add(INPUTS[reads](respond(backbone, batch)), batch)
    return sums.moments(setup.device)


def _num_folds(setup: Setup) -> int:
    few = num_folds_for([b.shape[0] for b in setup.backbones])
    rows, groups = setup.stream.train_rows, setup.reader.groups
    return max(1, min(few, NUM_FOLDS, len(rows if groups is None else np.unique(groups[rows]))))


def _own(setup: Setup) -> bool:
    """Return whether to keep a covariance of every concept: if probes want it and it fits.

    Raises:
        ConfigError: If it does not fit, and the probe cannot do without.
    """
    protocol = setup.options.protocol
    mixed = protocol.probe in ("lda", "pattern", SUM) and protocol.own_covariance > 0
    if protocol.probe != "ridge" and not mixed:
        return False
    squares = sum(b.shape[0] ** 2 for b in setup.backbones)
    needed = 2 * 8 * len(setup.selection.probed) * squares
    if needed <= _MOST_BYTES_OWN:
        return True
    text = (
        f"a covariance of each of {len(setup.selection.probed)} concepts would take "
        f"{needed / 2**30:.0f} GiB, more than {_MOST_BYTES_OWN / 2**30:.0f}"
    )
    if not mixed:
        raise ConfigError(f"protocol.probe=ridge: {text}; protocol=lda needs none.")
    _log.warning("%s: all concepts share one (protocol.own_covariance=0)", text)
    return False
