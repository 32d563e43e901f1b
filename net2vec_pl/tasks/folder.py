"""Prepare a run folder, and write into it what was left out of the data."""

import logging
import shutil
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from net2vec_pl.data import ConceptReader, Selection
from net2vec_pl.data.census import Census
from net2vec_pl.errors import RunFolderError, shorten
from net2vec_pl.report import write_csv

_log = logging.getLogger(__name__)
_NEEDED_BYTES = 64 << 20


def prepare_folder(folder: Path, config: DictConfig) -> None:
    """Check that a run may write here, and save its resolved configuration.

    Raises:
        RunFolderError: If the folder holds a finished run already, or the disk is all but full.
    """
    if (folder / "bank.safetensors").exists():
        raise RunFolderError(f"{folder} already holds a finished run; choose another run.dir.")
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise RunFolderError(
            f"{folder} has {free >> 20} MiB of disk left; a run needs {_NEEDED_BYTES >> 20} MiB."
        )
    hydra_folder = folder / ".hydra"
    hydra_folder.mkdir(exist_ok=True)
    OmegaConf.save(config, hydra_folder / "resolved.yaml", resolve=True)


def tell_data(reader: ConceptReader, census: Census, selection: Selection, folder: Path) -> None:
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
    _log.info("%d concepts are probed", len(selection.probed))
    reasons: dict[str, list[str]] = {}
    for entry in selection.dropped:
        reasons.setdefault(entry.status.split(":")[0], []).append(entry.concept.name)
    for reason, names in reasons.items():
        _log.info("%d concepts are not probed, %s: %s", len(names), reason, shorten(names))
