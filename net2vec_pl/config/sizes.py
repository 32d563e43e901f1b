"""Options of every dataset whose images and masks are files of any size."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from net2vec_pl.config.values import whole_number
from net2vec_pl.datasets.images.resizing import RULES
from net2vec_pl.errors import ConfigError, unknown

Size: TypeAlias = tuple[int, int]

SIZES = ("resize", "image_size", "mask_size")
"""The options of conf/data/_files.yaml."""


def sizes_from(options: Mapping[str, Any], own_size: Callable[[], Size]) -> dict[str, Any]:
    """Read how images and masks are resized: ``resize``, ``image_size`` and ``mask_size``.

    Args:
        options: The group ``data`` of the configuration, as plain values.
        own_size: Returns (H, W) of the images that the network is made for, the default.

    Returns:
        Arguments of a reader, by these names; ``mask_size`` may be None, which leaves it to the
        reader.

    Raises:
        ConfigError: If there is no such rule, or a size is none.
    """
    if options["resize"] not in RULES:
        raise ConfigError(unknown("value of data.resize", str(options["resize"]), RULES))
    return {
        "resize": options["resize"],
        "image_size": _size("data.image_size", options["image_size"]) or own_size(),
        "mask_size": _size("data.mask_size", options["mask_size"]),
    }


def _size(name: str, given: object) -> Size | None:
    if given is None:
        return None
    sides = given if isinstance(given, list | tuple) else [given, given]
    if len(sides) != 2:
        raise ConfigError(f"{name}={given} must be a side or [height, width] in pixels.")
    height, width = (whole_number(name, side, 1) for side in sides)
    return height, width
