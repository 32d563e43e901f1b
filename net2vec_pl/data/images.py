"""Decode image files and BRODEN's label maps."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file

from net2vec_pl.data.reader import UnreadableRowError


def _read_bytes(path: Path, what: str) -> UInt8[Tensor, "bytes"]:
    if not path.is_file():
        raise UnreadableRowError(f"{what} {path} is absent")
    if path.stat().st_size == 0:
        raise UnreadableRowError(f"{what} {path} is empty")
    data: Tensor = read_file(str(path))
    return data


def _check_size(found: tuple[int, int], wanted: tuple[int, int], path: Path, what: str) -> None:
    if found != wanted:
        raise UnreadableRowError(
            f"{what} {path} is {found[0]}x{found[1]} (height x width), "
            f"but the dataset is {wanted[0]}x{wanted[1]}"
        )


def read_image(path: Path, size: tuple[int, int]) -> UInt8[Tensor, "3 H W"]:
    """Read a JPEG, PNG or whatever else PIL reads as RGB; grey becomes three equal channels.

    Args:
        path: The file.
        size: (H, W) it must have.

    Raises:
        UnreadableRowError: If the file is absent, damaged or of another size.
    """
    data = _read_bytes(path, "image")
    try:
        image: Tensor = decode_image(data, ImageReadMode.RGB)
    except RuntimeError:
        image = _read_with_pil(path)  # CMYK, unusual formats; or a better word on what is wrong
    if image.dtype != torch.uint8:
        raise UnreadableRowError(f"image {path} is of {image.dtype}; 8 bits a channel are read")
    _check_size((image.shape[1], image.shape[2]), size, path, "image")
    return image


def _read_with_pil(path: Path) -> UInt8[Tensor, "3 H W"]:
    try:
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableRowError(f"image {path} cannot be decoded: {error}") from error


def read_label_map(path: Path, size: tuple[int, int]) -> Int32[Tensor, "sh sw"]:
    """Read a map of label numbers from an 8-bit RGB PNG: number = R + 256 * G, B unused.

    Args:
        path: The file.
        size: (sh, sw) it must have.

    Returns:
        Global label numbers, 0 where unlabelled.

    Raises:
        UnreadableRowError: If the file is absent, damaged, of another size or not 8-bit RGB.
    """
    data = _read_bytes(path, "mask")
    try:
        pixels: Tensor = decode_image(data, ImageReadMode.UNCHANGED)
    except RuntimeError as error:
        raise UnreadableRowError(f"mask {path} cannot be decoded: {error}") from error
    if pixels.dtype != torch.uint8 or pixels.shape[0] != 3:
        raise UnreadableRowError(
            f"mask {path} has {pixels.shape[0]} channels of {pixels.dtype}; "
            "a BRODEN mask is 8-bit RGB, number = R + 256 * G"
        )
    _check_size((pixels.shape[1], pixels.shape[2]), size, path, "mask")
    wide = pixels.int()  # before the product: 8 bits hold no number above 255
    return wide[0] + 256 * wide[1]
