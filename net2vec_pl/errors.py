"""Errors a user can act on: each names what was given, what exists and the likely meaning.

We raise one of these for a user's mistake or a fault of the machine (a full disk); ``assert`` is
for our own mistakes. The command line prints their text alone, without a traceback, and exits
non-zero.
"""

import difflib
from collections.abc import Iterable

_SHOWN = 12


class Net2VecError(Exception):
    """Base of every error whose text is meant for the user."""


class ConfigError(Net2VecError):
    """An option, or a value of one, that cannot be used."""


class DataError(Net2VecError):
    """A dataset that is absent, damaged or leaves nothing to learn from."""


class BackboneError(Net2VecError):
    """A network, layer or weights file that cannot be used."""


class RunFolderError(Net2VecError):
    """A run folder that cannot be written, or would be overwritten."""


class SweepError(Net2VecError):
    """A job of a sweep failed."""


class CacheError(Net2VecError):
    """A cache that does not fit, or that the disk cannot hold."""


class Net2VecWarning(UserWarning):
    """Something that a user should know and that stops nothing; the command line logs it."""


def shorten(items: Iterable[str], shown: int = _SHOWN) -> str:
    """Join names for a message, the rest as a count.

    Example:
        >>> shorten(["a", "b", "c"], shown=2)
        'a, b and 1 more'
    """
    names = list(items)
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown} more"


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, what it may have meant, and what is known.

    Args:
        what: The kind of thing, as in ``"layer of vgg16"``.
        given: The name that was asked for.
        known: Every name that exists.

    Returns:
        One sentence or three: the fault, the near names if any, the known names.

    Example:
        >>> unknown("layer of vgg16", "conv5-3", ["fc6", "conv5_3"])
        "unknown layer of vgg16 'conv5-3'. Did you mean 'conv5_3'? Known: fc6, conv5_3."
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(given.lower(), [name.lower() for name in names], n=3)
    by_lower = {name.lower(): name for name in names}
    meant = " or ".join(repr(by_lower[name]) for name in near)
    hint = f" Did you mean {meant}?" if meant else ""
    return f"unknown {what} {given!r}.{hint} Known: {shorten(names) or 'none'}."
