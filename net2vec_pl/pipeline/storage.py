"""Where a run keeps activations: decided here, for the run itself and for the doctor."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from net2vec_pl.pipeline.setup import Setup

_OF_DEVICE = 0.8  # the share of a device's free memory that activations may take


@dataclass(frozen=True)
class Storage:
    """Where activations are kept between the epochs of a fit.

    Args:
        where: ``none`` means that the network runs anew in every epoch.
        num_bytes: What they need there; 0 on disk and where none are kept.
        reason: Why they are not kept where ``cache=`` asks for it; empty if they are.
        shared: Whether several processes exchange them through the disk first.
        raw: Whether activations themselves are kept, besides bits.
    """

    where: Literal["memory", "device", "disk", "none"]
    num_bytes: int = 0
    reason: str = ""
    shared: bool = False
    raw: bool = False


def storage_of(setup: Setup, num_processes: int, *, scale: float = 1.0) -> Storage:
    """Decide where activations are kept.

    Args:
        setup: Setup of the run.
        num_processes: That work on it.
        scale: By how much the dataset is larger than the one of the setup, a sample say.
    """
    options, several = setup.options, num_processes > 1
    if options.cache == "none":
        return Storage("none")
    if options.reads_raw and (options.cache == "disk" or several):
        return Storage("none", reason="only bits can be kept on disk or shared between processes")
    if options.cache == "disk":
        return Storage("disk")
    raw = options.reads_raw or (bool(options.sums_of) and not several)
    needed = round(kept_bytes(setup, raw=raw) * scale)
    if needed > options.cache_bytes and not options.reads_raw:  # closed forms do without
        raw, needed = False, round(kept_bytes(setup) * scale)
    if needed > options.cache_bytes:
        return Storage("none", needed, "more than cache.max_gib allows")
    place = storage_device(setup)
    if place.type == "cuda" and needed > _OF_DEVICE * torch.cuda.mem_get_info()[0]:
        return Storage("none", needed, "more than the device has left")
    return Storage(options.cache, needed, shared=several, raw=raw)


def kept_bytes(setup: Setup, *, raw: bool = False) -> int:
    """Forecast what bits and masks take in memory.

    Four bytes a bit that is set, and masks of packed bits; two bytes an activation where they are
    kept.

    Args:
        setup: Setup of the run.
        raw: Whether activations are kept besides bits.
    """
    rows, (sh, sw) = pair_rows(setup), setup.reader.mask_size
    pairs = int(setup.stream.index.pairs_per_image[rows].sum())
    values = len(rows) * sum(math.prod(b.shape) for b in setup.backbones)
    unknown = setup.scan.unknown
    areas = 0 if unknown is None else int(np.isin(unknown.row, rows).sum())
    bits = 4 * values * setup.options.protocol.tau
    mask = -(-sh * sw // 8)
    of_area = mask + 8 + len(setup.selection.probed)
    return round(bits + pairs * (mask + 8) + areas * of_area + 2 * values * raw)


def storage_device(setup: Setup) -> torch.device:
    """Return the device whose memory holds them, if memory does."""
    return setup.device if setup.options.cache == "device" else torch.device("cpu")


def pair_rows(setup: Setup) -> npt.NDArray[np.int64]:
    """Return the rows of the dataset that a fit and its scores read."""
    return np.concatenate(list(setup.stream.scored_rows.values()))
