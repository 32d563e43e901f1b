"""Decode COCO's masks with pycocotools: polygons, and runs of pixels in both forms (RLE)."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.coco.json_file import shown
from net2vec_pl.errors import ConfigError

_BEYOND = 1.0  # pixels that a polygon may lie outside its image, as rounding leaves it


def coco_tools() -> Any:
    """Return pycocotools' functions of masks.

    Raises:
        ConfigError: If pycocotools is not installed.
    """
    try:
        return import_module("pycocotools.mask")
    except ImportError as error:
        raise ConfigError(
            "COCO's masks need pycocotools: pip install 'net2vec_pl[coco]' brings it."
        ) from error


def runs_of(segmentation: object, size: tuple[int, int], what: str) -> list[dict[str, Any]]:
    """Return a segmentation as compressed runs of pixels, whose union it is.

    Args:
        segmentation: Polygons ([[x, y, x, y, …], …]) or runs ({"size": [h, w], "counts": …}).
        size: (height, width) of the image.
        what: How to call the annotation in a message.

    Raises:
        UnreadableRowError: If it is empty, damaged or made for another size.
    """
    if isinstance(segmentation, dict):
        return [_checked_runs(segmentation, size, what)]
    if not isinstance(segmentation, list) or not segmentation:
        raise UnreadableRowError(f"{what} has no mask (segmentation: {shown(segmentation)})")
    for polygon in segmentation:
        _check_polygon(polygon, size, what)
    found: list[dict[str, Any]] = coco_tools().frPyObjects(segmentation, *size)
    return found


def union(
    runs: Sequence[dict[str, Any]], size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Decode the union of several masks.

    Args:
        runs: Compressed runs; none is nowhere.
        size: (height, width).
    """
    if not runs:
        return np.zeros(size, dtype=np.bool_)
    tools = coco_tools()
    pixels: npt.NDArray[np.uint8] = tools.decode(tools.merge(list(runs)))
    return pixels.astype(np.bool_)


def _check_polygon(polygon: object, size: tuple[int, int], what: str) -> None:
    if not isinstance(polygon, list) or len(polygon) % 2 or len(polygon) < 6:
        raise UnreadableRowError(
            f"{what} has a polygon of {shown(polygon)}; it takes three points or more, "
            "as [x, y, x, y, x, y]"
        )
    try:
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise UnreadableRowError(f"{what} has a polygon that is no list of numbers") from error
    height, width = size
    low, high = points.min(axis=0), points.max(axis=0)
    if not np.isfinite(points).all():
        raise UnreadableRowError(f"{what} has a polygon with a number that is not finite")
    if (high <= 1).all() and (low >= 0).all() and min(size) > 2:
        raise UnreadableRowError(
            f"{what} has a polygon within 0 to 1: COCO counts pixels, not shares of the image"
        )
    if (low < -_BEYOND).any() or high[0] > width + _BEYOND or high[1] > height + _BEYOND:
        raise UnreadableRowError(
            f"{what} has a polygon from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}), "
            f"outside its image of {width} x {height} pixels (width x height): "
            "was it drawn at another size?"
        )


def _checked_runs(segmentation: dict[str, Any], size: tuple[int, int], what: str) -> dict[str, Any]:
    """Check runs before pycocotools reads them, for it would write beyond the mask."""
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if given != [*size]:
        raise UnreadableRowError(
            f"{what} has an RLE mask of size {shown(given)}, its image is {[*size]} "
            "([height, width])"
        )
    if isinstance(counts, str):
        lengths = _lengths(counts.encode("ascii", "replace"))
    elif isinstance(counts, list) and all(type(count) is int for count in counts):
        lengths = np.array(counts, dtype=np.int64)
    else:
        lengths = None
    if lengths is None or (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise UnreadableRowError(
            f"{what} has a damaged RLE mask: its runs do not add up to {size[0]} x {size[1]} pixels"
        )
    if isinstance(counts, str):
        return {"size": given, "counts": counts.encode()}
    found: dict[str, Any] = coco_tools().frPyObjects(segmentation, *size)
    return found


def _lengths(text: bytes) -> npt.NDArray[np.int64] | None:
    """Read the lengths of runs from COCO's characters; None if they are none of them.

    A character holds 5 bits above 48 and whether more follow, lowest first; from the fourth on, a
    length is the difference to the one before the last.
    """
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if places.max() > 6:  # 35 bits: no mask is that large
        return None
    values = np.add.reduceat((codes & 31) << (5 * places), starts)
    negative = (codes[ends] & 16) != 0
    values -= negative * (1 << (5 * (places[ends] + 1)))
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values
