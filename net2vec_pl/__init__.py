"""net2vec_pl: how does a frozen vision network encode a concept?

Each concept becomes a vector over the filters of one layer, learned so that a linear combination of
thresholded filter responses segments the concept (Fong & Vedaldi, *Net2Vec*, CVPR 2018,
https://arxiv.org/abs/1801.03454). :func:`learn` makes a bank of such vectors, :func:`load_bank`
reads one; ``docs/architecture.md`` shows the way of the data through the rooms.
"""

from importlib import import_module
from typing import Any

from net2vec_pl.version import __version__

# Where each name lives; __init__.pyi says the same to type checkers and editors.
_ROOMS = {
    "Bank": "inference",
    "ConceptProbe": "api",
    "ConceptReader": "data",
    "DatasetReader": "datasets",
    "Net2VecError": "errors",
    "Net2VecWarning": "errors",
    "Protocol": "protocol",
    "learn": "api",
    "load_bank": "inference",
}
__all__ = ["__version__", *_ROOMS]  # names, all of them


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is asked for: the command line must answer at once."""
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
