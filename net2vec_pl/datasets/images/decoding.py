"""Decode image files and BRODEN's label maps."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32
from PIL import Image
from torch import Tensor

from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH, _COLOUR_TYPE, _RGB = 24, 25, 2  # bytes of a PNG's header, and the type of plain RGB


def read_label_map(path: Path, size: tuple[int, int]) -> Int32[Tensor, "sh sw"]:
    """Read a map of label numbers from an 8-bit RGB PNG: number = R + 256 * G.

    Blue is 0 where the label is known, and 255 where it is unknown whether the concept of the
    number is there, or any of the map's category with number 0.

    Args:
        path: The file.
        size: (sh, sw) it must have.

    Returns:
        Global label numbers, 0 where unlabelled, negative where unknown.

    Raises:
        UnreadableRowError: If the file is absent, damaged, of another size or not 8-bit RGB, or
            blue is neither 0 nor 255.
    """
    data = read_bytes(path, "mask")
    # PIL opens 16-bit RGB too and drops the lower halves, so ask the header.
    is_png = data.startswith(_PNG_SIGNATURE) and len(data) > _COLOUR_TYPE
    if is_png and (data[_BIT_DEPTH], data[_COLOUR_TYPE]) != (8, _RGB):
        raise UnreadableRowError(
            f"mask {path} has {data[_BIT_DEPTH]} bits a channel and PNG colour type "
            f"{data[_COLOUR_TYPE]}; a BRODEN mask is 8-bit RGB, number = R + 256 * G"
        )
    mask = decode(data, path, "mask")
    if mask.format != "PNG":
        raise UnreadableRowError(f"mask {path} is a {mask.format}; a BRODEN mask is a PNG")
    _check_size(mask, size, path, "mask")
    wide = torch.from_numpy(
        np.array(mask)
    ).int()  # before the product: 8 bits hold nothing above 255
    numbers, blue = wide[..., 0] + 256 * wide[..., 1], wide[..., 2]
    other = blue[(blue != 0) & (blue != 255)]
    if len(other):
        raise UnreadableRowError(
            f"mask {path} has {int(other[0])} in its blue channel; a BRODEN mask is R + 256 * G, "
            "and blue is 0, or 255 where the label is unknown. Is it a picture of colours? "
            "See docs/datasets.md#unknown-pixels"
        )
    return torch.where(blue == 255, UNKNOWN - numbers, numbers)


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of 8 bits a channel to RGB; what is transparent shows white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def read_bytes(path: Path, what: str) -> bytes:
    """Read a file that holds an image.

    Args:
        path: The file.
        what: How to call it in a message.

    Raises:
        UnreadableRowError: If it is absent, unreadable or empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableRowError(f"{what} {path} is absent") from error
    except OSError as error:
        raise UnreadableRowError(f"{what} {path} cannot be read: {error.strerror}") from error
    if not data:
        raise UnreadableRowError(f"{what} {path} is empty")
    return data


def decode(data: bytes, path: Path, what: str) -> Image.Image:
    """Decode the bytes of an image file.

    Args:
        data: The bytes.
        path: Where they come from.
        what: How to call it in a message.

    Raises:
        UnreadableRowError: If they are no image, or a damaged one.
    """
    try:
        image = Image.open(BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        reason = str(error).partition(" <")[0]  # without the address of a buffer
        raise UnreadableRowError(f"{what} {path} cannot be decoded: {reason}") from error
    return image


def _check_size(image: Image.Image, wanted: tuple[int, int], path: Path, what: str) -> None:
    if (image.height, image.width) != wanted:
        raise UnreadableRowError(
            f"{what} {path} is {image.height}x{image.width} (height x width), "
            f"but the dataset is {wanted[0]}x{wanted[1]}"
        )
