"""Open ``data=ade20k``."""

from collections.abc import Callable, Mapping
from typing import Any

from net2vec_pl.config.sizes import SIZES, Size, sizes_from
from net2vec_pl.datasets import Ade20kReader
from net2vec_pl.errors import ConfigError

ADE20K = ("root", *SIZES)
"""The options of conf/data/ade20k.yaml, besides those of every dataset."""


def open_ade20k(options: Mapping[str, Any], own_size: Callable[[], Size]) -> Ade20kReader:
    """Open a release of ADE20K.

    Args:
        options: The group ``data`` of the configuration, as plain values.
        own_size: Returns (H, W) of the images that the network is made for.

    Raises:
        ConfigError: If an option is missing or cannot be used.
        DataError: If the folder is no ADE20K.
    """
    if options["root"] is None:
        raise ConfigError(
            "data=ade20k needs data.root=DIR, the folder that holds images/. See "
            "docs/datasets.md#ade20k."
        )
    return Ade20kReader(str(options["root"]), **sizes_from(options, own_size))
