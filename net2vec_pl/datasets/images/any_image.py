"""Read images of any size and mode, as people have them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image, ImageChops
from torch import Tensor
from torchvision.transforms.functional import resize

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.decoding import as_rgb, decode, read_bytes

_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# PIL has read these into 32 bits; the mode I of other formats holds numbers of any size.
_SIXTEEN_BIT_FORMATS = ("PNG", "PPM")
# How an image lies by its EXIF tag -> what brings it upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_any_image(path: Path) -> UInt8[Tensor, "3 H W"]:
    """Read whatever PIL reads as RGB, upright as its EXIF tag says.

    Grey becomes three equal channels, 16 bits become 8, and what is transparent shows white.
    Colour profiles are not applied, as the networks' own training images were read.

    Args:
        path: The file; of several frames the first is read.

    Raises:
        UnreadableRowError: If the file is absent or damaged, or a side of it is empty.
    """
    what = f"image {path}"
    try:
        return any_image_pixels(decode(read_bytes(path, "image"), path, "image"), what)
    except UnreadableRowError:
        raise
    except Exception as error:  # whatever a damaged file leads a plug-in of PIL to
        raise UnreadableRowError(f"{what} cannot be decoded: {error}") from error


def any_image_pixels(
    image: Image.Image, what: str, *, upright: bool = True
) -> UInt8[Tensor, "3 H W"]:
    """Return the pixels of a PIL image as :func:`read_any_image` does.

    Values of more than 8 bits are brought to 0 to 255: those of 16 bits by their range, floats from
    [0, 1] or as they are from [0, 255], and all others by the least and the greatest that occur.

    Args:
        image: The image.
        what: How to call it in a message.
        upright: Whether to turn it as its EXIF tag says, or to leave it as its masks lie.

    Raises:
        UnreadableRowError: If a side of it is empty.
    """
    if min(image.size) < 1:
        raise UnreadableRowError(f"{what} has no pixels")
    rgb = as_rgb(_upright(_eight_bits(image), orientation_of(image) if upright else 1))
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def fit(image: UInt8[Tensor, "3 H W"], size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    """Resize an image, bilinear with antialiasing; its sides change independently.

    Args:
        image: RGB.
        size: (h, w) wanted; an image that has it already stays as it is.
    """
    if tuple(image.shape[1:]) == size:
        return image
    resized: Tensor = resize(image, list(size), antialias=True)
    return resized


def turned_upright(image: Image.Image) -> Image.Image:
    """Return an image as its EXIF tag says that it is to be seen; its values stay."""
    turned = _upright(image, orientation_of(image))
    turned.format = image.format
    return turned


def orientation_of(image: Image.Image) -> int:
    """Return how an image lies, 1 to 8 by its EXIF tag; 1, upright, without one or a sound one.

    ``ImageOps.exif_transpose`` fails with any damaged tag, for it writes all of them anew.
    """
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel."""
    if image.mode in (*_SIXTEEN_BITS, "I", "F"):
        sixteen = image.mode in _SIXTEEN_BITS or image.format in _SIXTEEN_BIT_FORMATS
        values = np.asarray(image, dtype=np.float32)
        scaled = values / 257 if sixteen else _by_range(values, floats=image.mode == "F")
        return Image.fromarray(np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8))
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image)  # PIL takes all for Adobe's, which are stored inverted
    return image


def _by_range(values: Float32[np.ndarray, "H W"], *, floats: bool) -> Float32[np.ndarray, "H W"]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if floats and low >= 0 and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    return (values - low) * (255 / (high - low) if high > low else 0)
