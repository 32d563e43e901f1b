"""The checks that follow those of versions, in order: each may use what those before it opened."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from net2vec_pl.config import Config
from net2vec_pl.config.plan import Plan
from net2vec_pl.config.values import whole_number
from net2vec_pl.doctor import data, forecast, machine, network, options, samples
from net2vec_pl.doctor.checks import Check, fix
from net2vec_pl.doctor.found import Found
from net2vec_pl.errors import Net2VecError
from net2vec_pl.pipeline.trainers import quiet_lightning

Checks = Callable[[Plan, Found], Iterable[Check]]
_SECTIONS: dict[str, tuple[Checks, ...]] = {
    "options": (options.options, options.analyses, options.logger, options.trainer),
    "data": (data.dataset, data.concepts, data.rows, samples.page),
    "network": (network.weights, network.layers, options.subjects),
    "machine": (machine.devices, machine.shared_memory, machine.disks),
    "forecast": (forecast.forecast,),
}


def sections(config: Config) -> Iterator[tuple[str, Iterator[Check]]]:
    """Make all checks, as they are asked for.

    Args:
        config: The composed tree of conf/, with ``task=doctor``.

    Raises:
        ConfigError: If ``sample`` is no number of rows.
    """
    page = None if config.page is None else Path(str(config.page))
    found = Found(whole_number("sample", config.sample, 1), page)
    plan = Plan(config, ("sample", "page"))
    with quiet_lightning():
        for section, checks in _SECTIONS.items():
            yield section, chain.from_iterable(_made(make, plan, found) for make in checks)


def _made(make: Checks, plan: Plan, found: Found) -> Iterator[Check]:
    """Make some checks; a message that would end a run is one of them."""
    try:
        yield from make(plan, found)
    except Net2VecError as error:
        yield fix(str(error))
