"""Choose the concepts to probe, count their images, and say why the others were left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.data.reader import ConceptReader
from net2vec_pl.data.scan import Scan
from net2vec_pl.errors import ConfigError, DataError, shorten

PROBED = "ok"
_IMAGE_LEVEL = "image-level: not segmented"


@dataclass(frozen=True)
class Considered:
    """A concept that was asked for.

    Args:
        concept: The concept.
        n_train: Readable train images that contain it.
        n_val: Readable val images that contain it.
        status: ``ok`` if it is probed, otherwise why not.
        alpha: 1 - the mean share that it covers of the known pixels of a train image; NaN without
            train images. Net2Vec, section 3.2.
    """

    concept: Concept
    n_train: int
    n_val: int
    status: str
    alpha: float


@dataclass(frozen=True)
class Selection:
    """The concepts that were asked for; those that are probed make the vocabulary."""

    considered: tuple[Considered, ...]

    @property
    def probed(self) -> list[Considered]:
        """The concepts that get an embedding; their order is the order of rows."""
        return [entry for entry in self.considered if entry.status == PROBED]

    @property
    def dropped(self) -> list[Considered]:
        """The concepts that get none."""
        return [entry for entry in self.considered if entry.status != PROBED]

    @property
    def vocabulary(self) -> Vocabulary:
        """The probed concepts by row."""
        return Vocabulary(entry.concept for entry in self.probed)


def select_concepts(
    reader: ConceptReader,
    scan: Scan,
    *,
    categories: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    min_train: int = 1,
    min_val: int = 1,
    segmented: bool = True,
) -> Selection:
    """Choose concepts by category, name and number of images.

    Args:
        reader: The dataset.
        scan: Its scan.
        categories: Keep concepts of these categories; all if None.
        names: Keep concepts whose name fits one of these shell patterns; all if None.
        min_train: Fewest train images, at least 1.
        min_val: Fewest val images, at least 1: a score needs one.
        segmented: Whether masks are needed; else concepts that hold for whole images are probed
            like the others.

    Raises:
        ConfigError: If a category or pattern fits nothing, or a minimum is below 1.
        DataError: If no concept is left, or a split is empty.
    """
    if min_train < 1 or min_val < 1:
        raise ConfigError(
            f"data.min_train={min_train} and data.min_val={min_val} must be 1 or more: "
            "a concept needs images to learn from and to be scored on."
        )
    asked = reader.vocabulary.asked_for(categories, names)
    train = reader.is_train[scan.readable]
    for split, count in (("train", int(train.sum())), ("val", int((~train).sum()))):
        if count == 0:
            raise DataError(f"{reader.name} has no readable {split} image.")
    entries = _count(reader, scan, asked)
    selection = Selection(
        tuple(_with_status(entry, min_train, min_val, segmented) for entry in entries)
    )
    if not selection.probed:
        reasons = shorten(f"{e.concept.name} ({e.status})" for e in selection.dropped)
        whole = any(entry.status == _IMAGE_LEVEL for entry in selection.dropped)
        hint = " target=classification learns labels of whole images." if whole else ""
        raise DataError(
            f"no concept is left of the {len(asked)} asked for (data.categories={categories}, "
            f"data.names={names}): {reasons or 'none matched'}.{hint}"
        )
    return selection


def _count(reader: ConceptReader, scan: Scan, asked: Vocabulary) -> list[Considered]:
    entry_is_train = reader.is_train[scan.row]
    length = int(max(asked.numbers.max(initial=0), scan.number.max(initial=0))) + 1
    n_train = np.bincount(scan.number[entry_is_train], minlength=length)
    n_val = np.bincount(scan.number[~entry_is_train], minlength=length)
    # Integer sums over images with as many known pixels, and one division for each such number:
    # alpha does not depend on the order of images.
    area = reader.mask_size[0] * reader.mask_size[1]
    known = np.full_like(scan.pixels, area) if scan.known is None else scan.known
    alike, which = np.unique(
        np.stack([scan.number, known], 1)[entry_is_train], axis=0, return_inverse=True
    )
    pixels = np.zeros(len(alike), dtype=np.int64)
    np.add.at(pixels, which, scan.pixels[entry_is_train])
    share = np.zeros(length)
    np.add.at(share, alike[:, 0], pixels / (alike[:, 1] * n_train[alike[:, 0]]))
    return [
        Considered(
            concept=c,
            n_train=int(n_train[c.number]),
            n_val=int(n_val[c.number]),
            status=PROBED,
            alpha=1 - float(share[c.number]) if n_train[c.number] else np.nan,
        )
        for c in asked
    ]


def _with_status(entry: Considered, min_train: int, min_val: int, segmented: bool) -> Considered:
    status = PROBED
    if segmented and not entry.concept.pixels:
        status = _IMAGE_LEVEL
    elif entry.n_train < min_train:
        status = f"too few train images: {entry.n_train} < {min_train}"
    elif entry.n_val < min_val:
        status = f"too few val images: {entry.n_val} < {min_val}"
    return Considered(entry.concept, entry.n_train, entry.n_val, status, entry.alpha)
