"""The options of a run, checked: plain values, whoever gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from net2vec_pl.protocol import CLOSED_FORM, SUM, Protocol


@dataclass(frozen=True)
class ConceptChoice:
    """Which concepts of a dataset are probed.

    Args:
        categories: Names of categories; None takes all.
        names: Names or shell patterns of concepts; None takes all.
        min_train: Fewest train images a concept needs.
        min_val: Fewest val images.
    """

    categories: list[str] | None = None
    names: list[str] | None = None
    min_train: int = 1
    min_val: int = 1


@dataclass(frozen=True)
class FitCallbacks:
    """What a fit logs and keeps.

    Args:
        scores: Log val set IoU and average precision every epoch; without it nothing is validated.
        norms: Log the length of the embeddings every epoch.
        checkpoint: Keep ``checkpoints/last.ckpt``.
        progress: Show progress bars.
    """

    scores: bool = True
    norms: bool = True
    checkpoint: bool = True
    progress: bool = True


@dataclass(frozen=True)
class RunOptions:
    """How a run does its work.

    Args:
        protocol: How banks are trained and scored.
        seed: Seed of the order of images, and of the first bank.
        seeds: How many banks to train side by side, from seeds ``seed``, ``seed + 1`` and on.
        batch_size: Images a batch, over all processes.
        workers: Worker processes of each process.
        cache: Where activations are kept.
        cache_bytes: The most they may take in memory.
        cache_dir: The folder for them on disk.
        compiled: Whether to compile the pass over the pixels; None leaves it to the device.
        pairs_per_chunk: Pairs at mask resolution at a time; None leaves it to the device.
        targets: What the banks do: ``segmentation``, ``classification``, or both.
        report: Whether to leave a page.
        callbacks: What the fit logs and keeps.
        trainer: Arguments of ``pytorch_lightning.Trainer``.
        beside: Probes in closed form that are scored beside the run's own, with reference levels;
            none leaves out both.
        score_size: (sh, sw) of masks that scores are taken on once more; ``native`` for each
            image's own size, None for none.
        draw: Whether figures become files.
        forks: Whether several layers may each be done in a fork of this process.
    """

    protocol: Protocol
    seed: int
    seeds: int
    batch_size: int
    workers: int
    cache: Literal["memory", "device", "disk", "none"]
    cache_bytes: int
    cache_dir: Path
    compiled: bool | None
    pairs_per_chunk: int | None
    targets: tuple[str, ...]
    report: bool
    callbacks: FitCallbacks = field(default_factory=FitCallbacks)
    trainer: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    score_size: tuple[int, int] | Literal["native"] | None = None
    draw: bool = True
    forks: bool = True

    @property
    def sums_of(self) -> str:
        """What closed forms read: ``raw``, ``root`` or ``bits``; empty where there are none.

        Those beside a probe that reads bits read roots.
        """
        if "segmentation" not in self.targets:
            return ""
        if self.protocol.probe in (*CLOSED_FORM, SUM) or self.protocol.calibrate == "halves":
            return self.protocol.input
        if not self.beside:
            return ""
        return "root" if self.protocol.input == "bits" else self.protocol.input

    @property
    def reads_raw(self) -> bool:
        """Whether anything that segments reads activations besides bits."""
        protocol = self.protocol
        reads = protocol.input != "bits" or protocol.threshold_order == "after"
        return "segmentation" in self.targets and reads
