"""``task=compare``: runs beside one another."""

from net2vec_pl.compare.comparison import compare as compare_runs
from net2vec_pl.config import Config
from net2vec_pl.config.folder import command, taken
from net2vec_pl.config.known import check_options
from net2vec_pl.config.values import name_list


def compare(config: Config) -> None:
    """Compare runs that have finished, and leave tables, figures and a page.

    Args:
        config: The composed tree of conf/, with ``task=compare``.

    Raises:
        Net2VecError: If no run is found.
    """
    check_options(config, ("runs",))
    compare_runs(name_list("runs", config.runs) or [], lambda: taken(config), command())
