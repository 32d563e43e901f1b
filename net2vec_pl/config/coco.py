"""Open ``data=coco``."""

from collections.abc import Callable, Mapping
from typing import Any

from net2vec_pl.config.sizes import SIZES, Size, sizes_from
from net2vec_pl.config.values import name_list, whole_number
from net2vec_pl.datasets.coco import CocoReader
from net2vec_pl.datasets.coco.json_file import PAGE
from net2vec_pl.datasets.files.reader import sized
from net2vec_pl.errors import ConfigError

COCO = ("annotations", "images", "panoptic", "split", "seed", *SIZES)
"""The options of conf/data/coco.yaml, besides those of every dataset."""


def open_coco(options: Mapping[str, Any], own_size: Callable[[], Size]) -> CocoReader:
    """Open a dataset in COCO's layout.

    Args:
        options: The group ``data`` of the configuration, as plain values.
        own_size: Returns (H, W) of the images that the network is made for.

    Raises:
        ConfigError: If an option is missing or out of range.
        DataError: If the dataset cannot be opened.
    """
    annotations = name_list("data.annotations", options["annotations"])
    if not annotations:
        raise ConfigError(
            "data=coco needs data.annotations=FILE, or data.annotations=[TRAIN,VAL]; "
            f"data.images=DIR names the folder of the images. See {PAGE}."
        )
    share = options["split"]
    if not isinstance(share, float) or not 0 < share < 1:
        raise ConfigError(
            f"data.split={share} must be the share of val images, between 0 and 1; a split of "
            "your own is two files: data.annotations=[TRAIN,VAL]."
        )
    return CocoReader(
        annotations,
        name_list("data.images", options["images"]),
        resizing=sized(**sizes_from(options, own_size)),
        panoptic=name_list("data.panoptic", options["panoptic"]),
        split=share,
        groups=options["group"],
        seed=whole_number("data.seed", options["seed"], 0),
    )
