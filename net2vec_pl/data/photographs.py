"""Read photographs of any size and mode, as people have them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from net2vec_pl.data.images import as_rgb, decode, read_bytes
from net2vec_pl.data.reader import UnreadableRowError

_DEEP = {"I;16": 257.0, "I;16L": 257.0, "I;16B": 257.0, "I;16N": 257.0, "I": 257.0}


def read_photograph(path: Path) -> UInt8[Tensor, "3 H W"]:
    """Read whatever PIL reads as RGB, upright as its EXIF tag says.

    Grey becomes three equal channels, 16 bits become 8, and what is transparent shows white.

    Args:
        path: The file; of several frames the first is read.

    Raises:
        UnreadableRowError: If the file is absent or damaged, or a side of it is empty.
    """
    what = f"image {path}"
    return photograph_pixels(decode(read_bytes(path, "image"), path, "image"), what)


def photograph_pixels(image: Image.Image, what: str) -> UInt8[Tensor, "3 H W"]:
    """Return the pixels of a PIL image as :func:`read_photograph` does.

    Args:
        image: The image.
        what: How to call it in a message.
    """
    upright = ImageOps.exif_transpose(image)
    if min(upright.size) < 1:
        raise UnreadableRowError(f"{what} has no pixels")
    rgb = as_rgb(_eight_bits(upright))
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring deep greys to 0 to 255: 16 bits by their range, floats by that of their values."""
    if image.mode not in (*_DEEP, "F"):
        return image
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        low, high = np.nanmin(values), np.nanmax(values)
        values = (values - low) * (255 / (high - low) if high > low else 0)
    else:
        values = values / _DEEP[image.mode]
    return Image.fromarray(np.nan_to_num(values).clip(0, 255).round().astype(np.uint8))
