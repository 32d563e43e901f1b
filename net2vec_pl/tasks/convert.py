"""``task=convert``: write a dataset in another format."""

import logging
from pathlib import Path

from net2vec_pl.config import Config
from net2vec_pl.config.known import check_options
from net2vec_pl.config.plan import Plan
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.formats import FORMATS, convert_dataset

_log = logging.getLogger(__name__)
_OWN = ("to", "out")


def convert(config: Config) -> None:
    """Write the dataset of a configuration as a folder in another format.

    Args:
        config: The composed tree of conf/, with ``task=convert``.

    Raises:
        ConfigError: If there is no such format, or an option is unknown.
        DataError: If the dataset cannot be read, the format cannot hold it, or the folder is taken.
    """
    check_options(config, _OWN)
    if str(config.to) not in FORMATS:
        raise ConfigError(unknown("format", str(config.to), FORMATS))
    folder = Path(str(config.out))
    plan = Plan(config, _OWN)
    skip = plan.on_error == "skip"
    left_out = convert_dataset(plan.reader, FORMATS[str(config.to)], folder, skip=skip)
    for text in left_out:
        _log.warning("left out: %s", text)
    rows = len(plan.reader) - len(left_out)
    _log.info("%d images of %s written to %s as %s", rows, plan.reader.name, folder, config.to)
