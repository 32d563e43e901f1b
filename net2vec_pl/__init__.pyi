"""What type checkers and editors see; ``__init__.py`` imports it when it is asked for."""

from net2vec_pl.api import ConceptProbe as ConceptProbe
from net2vec_pl.api import learn as learn
from net2vec_pl.data import ConceptReader as ConceptReader
from net2vec_pl.datasets import DatasetReader as DatasetReader
from net2vec_pl.errors import Net2VecError as Net2VecError
from net2vec_pl.errors import Net2VecWarning as Net2VecWarning
from net2vec_pl.inference import Bank as Bank
from net2vec_pl.inference import load_bank as load_bank
from net2vec_pl.protocol import Protocol as Protocol

__all__ = [
    "Bank",
    "ConceptProbe",
    "ConceptReader",
    "DatasetReader",
    "Net2VecError",
    "Net2VecWarning",
    "Protocol",
    "__version__",
    "learn",
    "load_bank",
]
__version__: str
