"""net2vec_pl: how does a frozen vision network encode a concept?

Each concept becomes a vector over the filters of one layer, learned so that a linear combination of
thresholded filter responses segments the concept (Fong & Vedaldi, *Net2Vec*, CVPR 2018,
https://arxiv.org/abs/1801.03454). ``docs/architecture.md`` shows the way of the data through the
rooms.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from net2vec_pl.inference import Bank, load_bank

__all__ = ["Bank", "__version__", "load_bank"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is asked for: the command line must answer at once."""
    if name in ("Bank", "load_bank"):
        from net2vec_pl import inference

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
