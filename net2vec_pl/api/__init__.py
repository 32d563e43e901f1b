"""The way in from Python: the same runs as on the command line, on live networks and datasets."""

from net2vec_pl.api.callback import ConceptProbe
from net2vec_pl.api.learning import learn

__all__ = ["ConceptProbe", "learn"]
