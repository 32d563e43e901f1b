"""Read a photograph so that it lies as its masks do."""

from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from net2vec_pl.data.any_image import any_image_pixels
from net2vec_pl.data.images import decode, read_bytes
from net2vec_pl.data.reader import UnreadableRowError


def read_photograph(path: Path, size: tuple[int, int]) -> UInt8[Tensor, "3 H W"]:
    """Read an image, turned as its EXIF tag says if its masks fit it so, else as it is stored.

    Args:
        path: The file.
        size: (height, width) that its masks are made for.

    Raises:
        UnreadableRowError: If the file is absent or damaged, or its masks do not fit either way.
    """
    image, what = decode(read_bytes(path, "image"), path, "image"), f"image {path}"
    try:
        for upright in (True, False):
            pixels = any_image_pixels(image, what, upright=upright)
            if tuple(pixels.shape[1:]) == size:
                return pixels
    except UnreadableRowError:
        raise
    except Exception as error:  # whatever a damaged file leads a plug-in of PIL to
        raise UnreadableRowError(f"{what} cannot be decoded: {error}") from error
    raise UnreadableRowError(
        f"{what} is {image.height}x{image.width} (height x width), its annotations are made for "
        f"{size[0]}x{size[1]}: was it resized afterwards?"
    )
