"""``data=coco``: from its options to the reader."""

from collections.abc import Mapping
from typing import Any

from net2vec_pl.config.values import name_list, whole_number
from net2vec_pl.data.coco import CocoReader
from net2vec_pl.data.coco.json_file import PAGE
from net2vec_pl.data.resizing import Resizing
from net2vec_pl.errors import ConfigError


def coco_reader(data: Mapping[str, Any]) -> CocoReader:
    """Open a dataset in COCO's layout.

    Args:
        data: The options of the group.

    Raises:
        ConfigError: If an option is missing or out of range.
        DataError: If the dataset cannot be opened.
    """
    annotations = name_list("data.annotations", data["annotations"])
    if not annotations:
        raise ConfigError(
            "data=coco needs data.annotations=FILE, or data.annotations=[TRAIN,VAL]; "
            f"data.images=DIR names the folder of the images. See {PAGE}."
        )
    share = data["val_share"]
    if not isinstance(share, float) or not 0 < share < 1:
        raise ConfigError(f"data.val_share={share} must be a number between 0 and 1.")
    return CocoReader(
        annotations,
        name_list("data.images", data["images"]),
        resizing=Resizing(
            str(data["resize"]),
            _size("data.image_size", data["image_size"]),
            _size("data.mask_size", data["mask_size"]),
        ),
        panoptic=name_list("data.panoptic", data["panoptic"]),
        val_share=share,
        seed=whole_number("data.seed", data["seed"], 0),
    )


def _size(name: str, given: Any) -> tuple[int, int]:
    sides = [given, given] if not isinstance(given, list) else given
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ConfigError(
            f"{name}={given} must be a number of pixels above 0, or two: [height,width]."
        )
    return sides[0], sides[1]
