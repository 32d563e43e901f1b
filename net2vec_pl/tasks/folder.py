"""Prepare a run folder, and say what the run works on and what it leaves out."""

import logging
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from net2vec_pl import processes
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.data import Census, ConceptReader, Selection
from net2vec_pl.errors import RunFolderError, shorten
from net2vec_pl.protocol import Protocol
from net2vec_pl.report import write_csv
from net2vec_pl.runs import finished
from net2vec_pl.sweeps import flags_of

_log = logging.getLogger(__name__)
_NEEDED_BYTES = 64 << 20
_LAST_MOMENTS = 10.0  # seconds that a job needs to end whose sweep has been killed


@contextmanager
def run_folder(config: DictConfig) -> Iterator[Path]:
    """Take the run folder for this run alone, check it, and save the resolved configuration there.

    A folder in which a run was stopped is taken too: the stages know what is done.

    Raises:
        RunFolderError: If another run works there, or has finished there, or the disk is all but
            full.
    """
    # Processes started from outside each composed a folder of their own; the first one's counts.
    folder = processes.from_first(lambda: Path(HydraConfig.get().runtime.output_dir))
    lock = FileLock(folder / ".lock")
    try:
        processes.from_first(lambda: _prepare(folder, lock, config))
        yield folder
    finally:
        if lock.is_locked:
            lock.release()
            (folder / ".lock").unlink(missing_ok=True)


def _prepare(folder: Path, lock: FileLock, config: DictConfig) -> None:
    if not config.run.dir:
        raise RunFolderError("run.dir is empty; name a folder.")
    _check_unfinished(folder)
    try:
        lock.acquire(timeout=_LAST_MOMENTS)
    except TimeoutError:
        message = f"another run is at work in {folder}; choose another run.dir."
        raise RunFolderError(message) from None
    _check_unfinished(folder)  # the other one may have ended as it should
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise RunFolderError(
            f"{folder} has {free >> 20} MiB of disk left; a run needs {_NEEDED_BYTES >> 20} MiB."
        )
    (folder / "skipped.csv").unlink(missing_ok=True)  # of a run that did not finish
    hydra_folder = folder / ".hydra"
    hydra_folder.mkdir(exist_ok=True)
    hydra = HydraConfig.get()
    OmegaConf.save(config, hydra_folder / "config.yaml")
    OmegaConf.save(config, hydra_folder / "resolved.yaml", resolve=True)
    OmegaConf.save(hydra.overrides.task, hydra_folder / "overrides.yaml")
    if flags := flags_of(cast(DictConfig, hydra)):
        OmegaConf.save(flags, hydra_folder / "flags.yaml")


def _check_unfinished(folder: Path) -> None:
    if finished(folder):
        raise RunFolderError(f"{folder} already holds a finished run; choose another run.dir.")


def tidy(folder: Path) -> None:
    """Remove what a run leaves that is killed when it has all but ended.

    Args:
        folder: Of a run that has finished.
    """
    for state in (folder / "state", *folder.glob("*/state")):
        shutil.rmtree(state, ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)


def command() -> str:
    """Return the command that started the task."""
    return shlex.join(["python", "train.py", *HydraConfig.get().overrides.task])


def layer_folder(folder: Path, backbone: FrozenBackbone, num_layers: int) -> Path:
    """Return where a layer's results go: the run folder, or one below it if there are several."""
    if num_layers == 1:
        return folder
    at = folder / re.sub(r"[^A-Za-z0-9._+-]", "_", backbone.layer)
    if processes.is_first():
        at.mkdir(exist_ok=True)
    return at


def tell_backbone(backbones: Sequence[FrozenBackbone], protocol: Protocol) -> None:
    """Say which layers are read, and where the protocol departs from the paper's code."""
    for backbone in backbones:
        filters, h, w = backbone.shape
        _log.info("%s at %s: %d filters, %dx%d", backbone.model, backbone.layer, filters, h, w)
    _log.info("protocol %s, tau %g", protocol.name, protocol.tau)
    for deviation in protocol.deviations():
        _log.info("  departs from the paper's code: %s", deviation)


def tell_data(
    reader: ConceptReader, census: Census, selections: Mapping[str, Selection], folder: Path
) -> None:
    """Say what the run works on and what it leaves out; unreadable rows go to ``skipped.csv``."""
    train = int(reader.is_train[census.readable].sum())
    _log.info(
        "%s: %d images (%d train, %d val), masks %dx%d",
        reader.name,
        len(census.readable),
        train,
        len(census.readable) - train,
        *reader.mask_size,
    )
    annotated = reader.annotated[census.readable].sum(0)
    _log.info(
        "annotated images: %s",
        ", ".join(f"{c.name} {n}" for c, n in zip(reader.categories, annotated, strict=True)),
    )
    if census.unreadable:
        rows = [
            {"row": row, "image": reader.image_names[row], "fault": fault}
            for row, fault in census.unreadable
        ]
        write_csv(rows, folder / "skipped.csv")
        _log.warning("%d unreadable images are left out; skipped.csv lists them", len(rows))
    for target, selection in selections.items():
        _log.info("%s: %d concepts are probed", target, len(selection.probed))
        reasons: dict[str, list[str]] = {}
        for entry in selection.dropped:
            reasons.setdefault(entry.status.split(":")[0], []).append(entry.concept.name)
        for reason, names in reasons.items():
            _log.info("  %d are not, %s: %s", len(names), reason, shorten(names))
