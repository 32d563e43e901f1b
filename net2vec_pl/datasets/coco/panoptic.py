"""Read panoptic segments: a PNG an image, and what each colour of it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.decoding import decode, read_bytes
from net2vec_pl.errors import shorten

Segment = tuple[int, bool, npt.NDArray[np.bool_]]


def read_segments(
    path: Path, infos: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> tuple[list[Segment], npt.NDArray[np.bool_]]:
    """Read the segments of an image.

    Args:
        path: A PNG of 8-bit RGB: id = R + 256 * G + 65536 * B, 0 where nothing is known.
        infos: Of each segment its id, category_id and iscrowd.
        size: (height, width) of the image.

    Returns:
        Category id, whether it is a crowd, and the pixels of each segment; the unknown pixels.

    Raises:
        UnreadableRowError: If the file is absent, damaged, of another size, or holds a segment that
            the JSON does not know.
    """
    image = decode(read_bytes(path, "panoptic mask"), path, "panoptic mask")
    if image.mode != "RGB" or image.format != "PNG":
        raise UnreadableRowError(
            f"panoptic mask {path} is a {image.format} of mode {image.mode}; it must be a PNG of "
            "8-bit RGB, id = R + 256 * G + 65536 * B"
        )
    if (image.height, image.width) != size:
        raise UnreadableRowError(
            f"panoptic mask {path} is {image.height}x{image.width} (height x width), its image "
            f"{size[0]}x{size[1]}"
        )
    colours = np.array(image).astype(np.int64)
    ids = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    unknown = {*np.unique(ids).tolist()} - {0} - {info.get("id") for info in infos}
    if unknown:
        raise UnreadableRowError(
            f"panoptic mask {path} holds segments that the JSON does not list: "
            f"{shorten(map(str, sorted(unknown)))}"
        )
    segments = [
        (int(info["category_id"]), bool(info.get("iscrowd", 0)), ids == info["id"])
        for info in infos
    ]
    return segments, ids == 0
