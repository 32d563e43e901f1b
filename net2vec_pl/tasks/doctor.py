"""``task=doctor``: whether a run would work."""

from net2vec_pl.config import Config
from net2vec_pl.doctor.examination import examine


def doctor(config: Config) -> None:
    """Check everything that a run of the same options would need, and say so line by line.

    Args:
        config: The composed tree of conf/, with ``task=doctor``.

    Raises:
        ConfigError: If ``sample`` is no number of rows.
        NotReadyError: If something must be fixed before a run.
    """
    examine(config)
