"""``task=predict``: what a bank says of images."""

from net2vec_pl.config import Config
from net2vec_pl.config.folder import composed_folder, taken
from net2vec_pl.config.predict import options_from
from net2vec_pl.predict.prediction import predict as predict_images


def predict(config: Config) -> None:
    """Let a bank segment images, or classify them.

    Args:
        config: The composed tree of conf/, with ``task=predict``.

    Raises:
        Net2VecError: If bank, concepts or images cannot be had, or the folder is taken.
    """
    predict_images(options_from(config), composed_folder(), lambda: taken(config))
