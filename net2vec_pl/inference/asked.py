"""What users of a bank ask for: a device, a file to write, a size."""

from os import PathLike
from pathlib import Path

import torch

from net2vec_pl.errors import ConfigError, RunFolderError, unknown

_KNOWN = ("auto", "cpu", "cuda", "cuda:1")


def device_of(asked: str | torch.device) -> torch.device:
    """Return a device by its name; ``"auto"`` is a GPU if there is one.

    Args:
        asked: Its name, or the device itself.

    Raises:
        ConfigError: If there is no such device, here or at all.
    """
    if isinstance(asked, torch.device):
        return asked
    name = str(asked).replace("gpu", "cuda")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(unknown("device", str(asked), _KNOWN)) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device={asked}: this machine has {torch.cuda.device_count()} GPUs.")
    return device


def new_file(path: str | PathLike[str]) -> Path:
    """Check that a file can be written, before the work that fills it.

    Args:
        path: Path of the file.

    Raises:
        RunFolderError: If its folder does not exist, or the path is a folder.
    """
    at = Path(path)
    if at.is_dir():
        raise RunFolderError(f"{path} is a folder; name a file in it.")
    if not at.parent.is_dir():
        raise RunFolderError(f"{path} cannot be written: there is no folder {at.parent}.")
    return at


def sides_of(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, given as one number or two.

    Args:
        size: In pixels.

    Raises:
        ConfigError: If it is neither, or a side is below 1.

    Example:
        >>> sides_of(480), sides_of((480, 640))
        ((480, 480), (480, 640))
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ConfigError(f"size={size} must be a number of pixels above 0, or two: (H, W).")
    return sides[0], sides[1]
