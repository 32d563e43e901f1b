"""The options of a prediction, checked."""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Options:
    """What is asked of which bank.

    Args:
        bank: A bank, or the folder of a run.
        images: Files, folders and patterns.
        concepts: Names and patterns; None for all.
        own_size: Whether masks have the size of their images, else that of the run's masks.
        probabilities: Whether these are written too.
        weights: A weights file of the network, where the one that the bank names has moved.
        batch_size: Images at once.
        workers: Threads that read and write them.
        device: Where the network runs.
        progress: Whether a bar is shown.
    """

    bank: Path
    images: list[str]
    concepts: list[str] | None
    own_size: bool
    probabilities: bool
    weights: str | None
    batch_size: int
    workers: int
    device: torch.device
    progress: bool
