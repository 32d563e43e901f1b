"""What every writer of a dataset does: a folder that appears whole, and images as PNG."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from net2vec_pl.errors import DataError, shorten


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which gets its name when all is written.

    Args:
        folder: Where to; it must not exist, or be empty.

    Raises:
        DataError: If the folder holds anything.
    """
    check_free(folder)
    folder = folder.expanduser().absolute()
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        DataError: If the folder is a file, or not empty.
    """
    folder = folder.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is not empty; it would be overwritten.")


def png_paths(names: Sequence[str], layout: str) -> list[PurePosixPath]:
    """Return the path of each image below ``images/``: its name, but for the suffix.

    Args:
        names: Names of the images.
        layout: What cannot hold them, for a message.

    Raises:
        DataError: If a name leads out of the folder, or holds a semicolon, which divides cells.
    """
    paths = [PurePosixPath(name).with_suffix(".png") for name in names]
    wrong = [
        name
        for name, path in zip(names, paths, strict=True)
        if path.is_absolute() or ".." in path.parts or ";" in name
    ]
    if wrong:
        raise DataError(f"{layout} layout cannot hold images of these names: {shorten(wrong)}.")
    return paths


def save_png(pixels: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    """Write an image.

    Args:
        pixels: RGB.
        path: The file; folders above it are made.

    Raises:
        DataError: If it has been written before.
    """
    if path.exists():
        raise DataError(f"two images or maps of the dataset would both become {path.name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
