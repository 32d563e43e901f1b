"""Decode photographs, turned as their EXIF tag says where that is how their masks lie.

Cameras store a picture as the sensor sees it, with a tag that says how to turn it. Annotation tools
show the picture turned; scripts that ignore the tag write masks as the pixels lie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from jaxtyping import UInt8
from torch import Tensor

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.any_image import any_image_pixels, orientation_of
from net2vec_pl.datasets.images.decoding import decode, read_bytes

Size: TypeAlias = tuple[int, int]

DOCS = "docs/datasets.md#photographs-that-were-turned"
TURNED = (
    "%s: image %s has an EXIF orientation, and its masks fit it turned as well as not; it is "
    "turned, as are all others of this kind. If masks were drawn on the pixels as they are stored, "
    f"remove the tag: {DOCS}"
)
"""A warning for readers to give once: the dataset's name and the path."""


@dataclass(frozen=True)
class Photograph:
    """A photograph as it is used.

    Args:
        pixels: RGB, 0 to 255.
        unsure: Whether its EXIF tag turned it though its masks fit the stored pixels as well.
    """

    pixels: UInt8[Tensor, "3 H W"]
    unsure: bool


def read_photograph(
    path: Path, fits: Callable[[Size], bool] | None, wanted: str = ""
) -> Photograph:
    """Read an image file of any size and mode, turned if its masks fit it so.

    Args:
        path: The file.
        fits: Whether the masks fit an image of size (H, W); None if there are no masks, and then it
            is turned as its EXIF tag says.
        wanted: What it would have to be, for the message if it does not fit.

    Raises:
        UnreadableRowError: If it is absent or damaged, or the masks fit neither way.
    """
    what = f"image {path}"
    try:
        image = decode(read_bytes(path, "image"), path, "image")
        orientation = orientation_of(image)
        stored = image.height, image.width
        turned = stored[::-1] if orientation >= 5 else stored
        as_stored, as_turned = (fits is None or fits(size) for size in (stored, turned))
        if not (as_stored or as_turned):
            also = f", {turned[0]}x{turned[1]} turned as its EXIF tag says" * (turned != stored)
            raise UnreadableRowError(
                f"{what} is {stored[0]}x{stored[1]} (height x width){also}, but {wanted}"
            )
        pixels = any_image_pixels(image, what, upright=as_turned)
    except UnreadableRowError:
        raise
    except Exception as error:  # whatever a damaged file leads a plug-in of PIL to
        raise UnreadableRowError(f"{what} cannot be decoded: {error}") from error
    return Photograph(pixels, fits is not None and orientation > 1 and as_stored and as_turned)


def note_of(path: Path, rule: str) -> str:
    """Say how large a photograph is and how it becomes one of the run's.

    Args:
        path: The file, which can be read.
        rule: Of :class:`~net2vec_pl.datasets.images.resizing.Resizing`.
    """
    image = decode(read_bytes(path, "image"), path, "image")
    orientation = orientation_of(image)
    turned = f", EXIF orientation {orientation}" if orientation > 1 else ""
    return f"{image.height} x {image.width}{turned}, resized by {rule}"


def alike(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether two sizes (height, width) have the same proportions, up to a pixel."""
    (height, width), (high, wide) = one, other
    return min(abs(high - height * wide / width), abs(wide - width * high / height)) <= 1
