"""The checks that follow those of versions, in order: each may use what those before it opened."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from omegaconf import DictConfig, OmegaConf

from net2vec_pl.errors import Net2VecError
from net2vec_pl.tasks.build import quiet_lightning, whole_number
from net2vec_pl.tasks.doctor import data, forecast, machine, network, options
from net2vec_pl.tasks.doctor.checks import Check, mend
from net2vec_pl.tasks.doctor.found import Found

Checks = Callable[[DictConfig, Found], Iterable[Check]]
_SECTIONS: dict[str, tuple[Checks, ...]] = {
    "options": (options.options, options.analyses, options.logger, options.trainer),
    "data": (data.dataset, data.concepts, data.rows),
    "network": (network.weights, network.layers, options.subjects),
    "machine": (machine.devices, machine.shared_memory, machine.disks),
    "forecast": (forecast.forecast,),
}
_OWN = "sample"  # the one option that a run does not have


def sections(config: DictConfig) -> Iterator[tuple[str, Iterator[Check]]]:
    """Make all checks, as they are asked for.

    Args:
        config: The composed tree of conf/, with ``task=doctor``.

    Raises:
        ConfigError: If ``sample`` is no number of rows.
    """
    quiet_lightning()
    found = Found(whole_number(_OWN, config[_OWN], 1))
    run = OmegaConf.masked_copy(config, [key for key in map(str, config) if key != _OWN])
    for section, checks in _SECTIONS.items():
        yield section, chain.from_iterable(_made(make, run, found) for make in checks)


def _made(make: Checks, config: DictConfig, found: Found) -> Iterator[Check]:
    """Make some checks; a message that would end a run is one of them."""
    try:
        yield from make(config, found)
    except Net2VecError as error:
        yield mend(str(error))
