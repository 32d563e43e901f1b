"""The rows of a dataset in COCO's layout: which image, in which folder, on which side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from net2vec_pl.datasets.coco.json_file import PAGE
from net2vec_pl.datasets.coco.parsed import CocoImage
from net2vec_pl.errors import ConfigError, DataError

Paths = str | Path | Sequence[str | Path]

_TRIED = 20  # images that are looked for when a dataset is opened


@dataclass(frozen=True)
class CocoRow:
    """One image: what the JSON says of it, and where its files are.

    Args:
        image: What the JSON says.
        folder: The folder that its file name begins at.
        masks: The folder of panoptic PNGs.
        train: Whether it is of the first file.
    """

    image: CocoImage
    folder: Path
    masks: Path
    train: bool

    @property
    def file(self) -> Path:
        """The image file."""
        return self.folder / self.image.file

    @property
    def panoptic(self) -> Path:
        """The PNG of its segments, if it has any."""
        return self.masks / self.image.panoptic


def paths_of(name: str, given: Paths) -> list[Path]:
    """Read an option that names one path, or those of train and val.

    Raises:
        ConfigError: If it names more.
    """
    entries = [given] if isinstance(given, str | Path) else [*given]
    if not 1 <= len(entries) <= 2:
        raise ConfigError(
            f"data.{name} must be one path, or two: those of train and val, as in "
            f"data.{name}=[TRAIN,VAL]."
        )
    return [Path(entry).expanduser() for entry in entries]


def folders_of(name: str, given: Paths | None, default: list[Path]) -> list[Path]:
    """Return a folder for each JSON file; one folder serves both.

    Args:
        name: The option.
        given: Its value.
        default: The folders where it is not given.

    Raises:
        ConfigError: If it names more folders than there are files.
        DataError: If a folder is absent.
    """
    if given is None:
        return default
    folders = paths_of(name, given)
    if len(folders) > len(default):
        raise ConfigError(f"data.{name} names two folders, but data.annotations one file.")
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"data.{name}={folder}: no such folder. See {PAGE}.")
    return folders * len(default) if len(folders) == 1 else folders


def in_order(parts: list[list[CocoRow]]) -> list[CocoRow]:
    """Sort the rows of one or two files by the ids of their images, if these are unique numbers."""
    rows = [row for part in parts for row in part]
    keys = [row.image.key for row in rows]
    if len({*keys}) < len(keys) or not all(isinstance(key, int) for key in keys):
        return rows
    return sorted(rows, key=lambda row: row.image.key)


def unique_names(rows: list[CocoRow]) -> list[str]:
    """Name the rows by their files; where train and val share names, by their side too.

    Raises:
        DataError: If an image is on both sides.
    """
    names = [row.image.file for row in rows]
    if len({*names}) == len(names):
        return names
    if len({row.file for row in rows}) < len(rows):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"data.annotations: image {twice} is in train and in val. Give each its own file, or "
            f"data.images=[TRAIN,VAL] if these are two folders. See {PAGE}."
        )
    return [f"{'train' if row.train else 'val'}/{row.image.file}" for row in rows]


def check_found(rows: list[CocoRow]) -> None:
    """Refuse a folder that holds none of the images; single ones are named by the scan.

    Raises:
        DataError: If none of the first images of a side is there.
    """
    for train in (True, False):
        tried = [row for row in rows if row.train == train][:_TRIED]
        if tried and not any(row.file.exists() for row in tried):
            raise DataError(
                f"data.images={tried[0].folder} holds no {tried[0].image.file}, nor any other of "
                f"the first {len(tried)} images: name the folder that the file names of the JSON "
                f"begin at. See {PAGE}."
            )
