"""``task=predict``: what a bank says of photographs."""

from net2vec_pl.config import Config
from net2vec_pl.config.folder import composed_folder, taken
from net2vec_pl.config.predict import options_from
from net2vec_pl.predict.prediction import predict as predict_photographs


def predict(config: Config) -> None:
    """Let a bank segment photographs, or classify them.

    Args:
        config: The composed tree of conf/, with ``task=predict``.

    Raises:
        Net2VecError: If bank, concepts or photographs cannot be had, or the folder is taken.
    """
    predict_photographs(options_from(config), composed_folder(), lambda: taken(config))
