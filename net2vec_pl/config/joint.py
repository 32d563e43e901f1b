"""Open ``data=joint``: several datasets, each with the options of its own choice of ``data=``."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from omegaconf import OmegaConf

from net2vec_pl.config.composed import composed
from net2vec_pl.config.sizes import SIZES, Size
from net2vec_pl.data import ConceptReader
from net2vec_pl.datasets import JointReader
from net2vec_pl.errors import ConfigError, DataError, unknown

Options: TypeAlias = Mapping[str, Any]

JOINT = ("sets", *SIZES)
"""The options of conf/data/joint.yaml, besides those of every dataset."""

_PAGE = "docs/datasets.md#joining-datasets"
_FORM = "'+data.sets.voc={name: masks, root: VOC2012, labels: names.txt}'"


def open_joint(
    options: Options,
    own_size: Callable[[], Size],
    known: Mapping[str, tuple[str, ...]],
    of_all: tuple[str, ...],
    open_set: Callable[[Options, Callable[[], Size]], ConceptReader],
) -> JointReader:
    """Open the sets that ``data.sets`` names, and join them.

    Args:
        options: The group ``data`` of the configuration, as plain values.
        own_size: Returns (H, W) of the images that the network is made for.
        known: Dataset -> the names of its own options.
        of_all: Options that say what is probed, which is said once for all sets.
        open_set: Opens a dataset of its options, as for ``data=NAME``.

    Raises:
        ConfigError: If a set or an option of one is unknown, or the sets do not go together.
        DataError: If a set cannot be opened.
    """
    sets = options["sets"]
    if not isinstance(sets, Mapping) or not sets:
        raise ConfigError(f"data=joint needs data.sets, one entry a dataset: {_FORM}. See {_PAGE}.")
    opened = {}
    for key, given in sets.items():
        try:
            chosen = _options_of(given, known, of_all)
            shared = {
                name: options[name]
                for name in SIZES
                if name in chosen and name not in given and options[name] is not None
            }
            opened[str(key)] = open_set({**chosen, **shared, **given}, own_size)
        except (ConfigError, DataError) as error:
            raise type(error)(f"data.sets.{key}: {error}") from error
    return JointReader(opened)


def _options_of(given: Any, known: Mapping[str, tuple[str, ...]], of_all: tuple[str, ...]) -> Any:
    """Return the options of a set as its own choice of ``data=`` has them by default."""
    if not isinstance(given, Mapping) or "name" not in given:
        raise ConfigError(f"{given!r} must be options with a name, as in {_FORM}. See {_PAGE}.")
    name = str(given["name"])
    if name not in known:
        raise ConfigError(unknown("dataset", name, known))
    for option in given:
        if option in of_all:
            raise ConfigError(f"{option} is said once for all sets, as data.{option}. See {_PAGE}.")
        if option not in ("name", "group", *known[name]):
            raise ConfigError(unknown(f"option of data={name}", str(option), known[name]))
    return OmegaConf.to_container(composed({"data": name}, {}).data)
