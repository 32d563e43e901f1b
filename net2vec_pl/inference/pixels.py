"""Whatever an image comes as, its pixels: paths, PIL images, arrays and tensors."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from net2vec_pl.datasets.from_torch.items import image_pixels
from net2vec_pl.datasets.images.any_image import any_image_pixels, read_any_image
from net2vec_pl.errors import DataError

OneImage: TypeAlias = str | PathLike[str] | Image.Image | np.ndarray | Tensor
Images: TypeAlias = OneImage | Sequence[OneImage]


def each_image(images: Images) -> Iterator[UInt8[Tensor, "3 H W"]]:
    """Yield images one by one, RGB, 0 to 255, each at its own size.

    Args:
        images: A path, a PIL image, an array or tensor (3, H, W), (H, W, 3) or (H, W), of uint8 or
            of 0 to 1, several as (N, 3, H, W), or a list of these.

    Raises:
        DataError: If a file cannot be read, or an array has another shape or type.
    """
    stacked = isinstance(images, np.ndarray | Tensor) and images.ndim == 4
    alone = isinstance(images, str | PathLike | Image.Image | np.ndarray | Tensor)
    several: Any = images if stacked or not alone else [images]
    for image in several:
        yield _pixels(image)


def _pixels(image: Any) -> Tensor:
    if isinstance(image, str | PathLike):
        return read_any_image(Path(image))
    if isinstance(image, Image.Image):
        return any_image_pixels(image, "image")
    if not isinstance(image, np.ndarray | Tensor):
        raise DataError(f"an image must be a path, a PIL image, an array or a tensor, not {image}.")
    return image_pixels(image)
