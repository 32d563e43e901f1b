"""The tables of a prediction."""

from dataclasses import dataclass

from net2vec_pl.records.table import Record


@dataclass(frozen=True)
class PaletteRow(Record):
    """A row of ``palette.csv``: what a number in a picture of masks means.

    Args:
        folder: Folder of the masks.
        index: The number, from 1.
        concept: The concept.
        category: Its category.
        colour: Its colour in overlays, ``#rrggbb``.
    """

    folder: str
    index: int
    concept: str
    category: str
    colour: str


@dataclass(frozen=True)
class SkippedImage(Record):
    """A row of ``skipped.csv``: an image that cannot be read.

    Args:
        image: Its path.
        fault: What is wrong with it.
    """

    image: str
    fault: str


@dataclass(frozen=True)
class ScoreRow(Record):
    """A row of ``scores.csv``: what the bank says of one concept in one image.

    Args:
        image: Its path.
        name: What its files are called.
        concept: The concept.
        category: Its category.
        score: How likely it is there, in [0, 1].
        area: Share of the image that its mask takes; None if the bank gives no masks.
        multi_val: Set IoU of the embedding on val images of the run, if it gives masks.
        accuracy: Balanced accuracy of the embedding on these, if it does not.
    """

    image: str
    name: str
    concept: str
    category: str
    score: float
    area: float | None = None
    multi_val: float | None = None
    accuracy: float | None = None
