"""A warning that is given once, whichever process comes upon its reason first."""

import logging

import torch

from net2vec_pl import processes


class ToldOnce:
    """Gives the first of some warnings; worker processes that share it count as one.

    Args:
        log: The logger that the warning goes to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        # In shared memory, so that one of the workers speaks. Of several processes the first does.
        self._told = torch.tensor([not processes.is_first()])
        self._told.share_memory_()  # type: ignore[no-untyped-call]

    def __call__(self, message: str, *values: object) -> None:
        """Give a warning, unless one was given.

        Args:
            message: The text, with places for the values as in :mod:`logging`.
            values: What to put there.
        """
        if not self._told:
            self._told.fill_(True)
            self._log.warning(message, *values)
