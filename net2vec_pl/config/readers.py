"""The datasets by name: what ``data=NAME`` opens, and with which options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from net2vec_pl.config.ade20k import ADE20K, open_ade20k
from net2vec_pl.config.coco import COCO, open_coco
from net2vec_pl.config.files import (
    CLASSES,
    MASKS,
    TABLE,
    open_classes,
    open_masks,
    open_table,
)
from net2vec_pl.config.joint import JOINT, open_joint
from net2vec_pl.config.values import name_list, whole_number
from net2vec_pl.data import ConceptReader
from net2vec_pl.data.groups import with_groups
from net2vec_pl.datasets import BrodenReader, ShapesReader
from net2vec_pl.datasets.broden.archive import get_broden
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.extensions import build

Options: TypeAlias = Mapping[str, Any]
OwnSize: TypeAlias = Callable[[], tuple[int, int]]

CONCEPTS = ("categories", "names", "min_train", "min_val", "on_error", "scan", "group")
"""Options of every dataset, which say what of it is probed."""


@dataclass(frozen=True)
class NamedData:
    """A dataset that the command line knows by name.

    Args:
        options: The names of its own options, besides those of every dataset.
        open: Makes the reader of the options, plain values by name, and of a function that returns
            (H, W) of the images that the network is made for.
    """

    options: tuple[str, ...]
    open: Callable[[Options, OwnSize], ConceptReader]


def open_reader(options: Options, own_size: OwnSize) -> ConceptReader:
    """Open the dataset that the group ``data`` of the configuration names.

    Args:
        options: The group, as plain values.
        own_size: Returns (H, W) of the images that the network is made for.

    Raises:
        ConfigError: If its name is unknown, an option is missing or cannot be used, or ``group`` is
            no pattern that groups its images.
        DataError: If it cannot be opened.
    """
    name = "custom" if "_target_" in options else str(options["name"])
    if name not in READERS:
        raise ConfigError(unknown("dataset", name, READERS))
    group = options["group"]
    if not isinstance(group, str | None):
        raise ConfigError(f"data.group={group} must be a pattern in quotes, or folder.")
    reader = READERS[name].open(options, own_size)
    return reader if group is None else with_groups(reader, group)


def _custom(options: Options, _: OwnSize) -> ConceptReader:
    target, kwargs = str(options["_target_"]), options["kwargs"]
    return build(ConceptReader, target, kwargs)  # type: ignore[type-abstract]


def _broden(options: Options, _: OwnSize) -> ConceptReader:
    if options["root"] is None:
        raise ConfigError(
            "data=broden needs data.root=DIR, the folder that holds index.csv. How to get BRODEN: "
            "docs/datasets.md#broden."
        )
    root, download = Path(str(options["root"])).expanduser(), options["download"]
    if not isinstance(download, bool):
        raise ConfigError(f"data.download={download} must be true or false.")
    if download:
        digest = options["digest"]
        mirrors = name_list("data.mirrors", options["mirrors"]) or []
        root = get_broden(root, mirrors=mirrors, digest=None if digest is None else str(digest))
    return BrodenReader(root)


def _shapes(options: Options, _: OwnSize) -> ConceptReader:
    return ShapesReader(
        num_images=whole_number("data.num_images", options["num_images"], 1),
        image_size=whole_number("data.image_size", options["image_size"], 1),
        seed=whole_number("data.seed", options["seed"], 0),
    )


def _joint(options: Options, own_size: OwnSize) -> ConceptReader:
    known = {name: data.options for name, data in READERS.items()}
    once = tuple(name for name in CONCEPTS if name != "group")
    return open_joint(options, own_size, known, once, open_reader)


READERS: Mapping[str, NamedData] = {
    "broden": NamedData(("root", "download", "mirrors", "digest"), _broden),
    "shapes": NamedData(("num_images", "image_size", "seed"), _shapes),
    "coco": NamedData(COCO, open_coco),
    "ade20k": NamedData(ADE20K, open_ade20k),
    "joint": NamedData(JOINT, _joint),
    "masks": NamedData(MASKS, open_masks),
    "table": NamedData(TABLE, open_table),
    "classes": NamedData(CLASSES, open_classes),
    "custom": NamedData(("_target_", "kwargs"), _custom),
}
