"""The tables of a run itself; see the contract in docs/architecture.md."""

from dataclasses import dataclass
from typing import Annotated

from net2vec_pl.records.table import Column, Estimate, Record


@dataclass(frozen=True)
class ConceptRow(Record):
    """A row of ``concepts.csv``: a concept that was asked for, and how well it is segmented.

    Args:
        id: The dataset's number of the concept.
        name: Its name.
        category: Its primary category.
        n_train: Train images that contain it.
        n_val: Val images that contain it.
        alpha: Weight of its pixels in the loss, by size.
        best_filter: The filter with the highest set IoU on train; NaN if none overlaps it.
        single_train: Set IoU of that filter on train.
        single_val: The same on val.
        multi_train: Set IoU of the embedding on train.
        multi_val: The same on val.
        ap_val: Average precision over the pixels of val images.
        norm: Euclidean length of the embedding.
        status: ``ok``, or why there are no scores.
        reference: The reference level with the highest set IoU on val; None where the run has
            none.
        reference_val: That set IoU.
        over_reference: ``multi_val`` less it, with its interval over val images.
        known: Whether the embedding beats it: ``yes``, ``no``, ``undecided``, or why it could not
            be tested; see :class:`~net2vec_pl.report.probes.Knowledge`.
    """

    id: int
    name: str
    category: str
    n_train: int
    n_val: int
    alpha: float
    best_filter: int | float
    single_train: float
    single_val: float
    multi_train: float
    multi_val: float
    ap_val: float
    norm: float
    status: str
    reference: str | None = None
    reference_val: float | None = None
    over_reference: Estimate | None = None
    known: str | None = None


@dataclass(frozen=True)
class ProbeRow(Record):
    """A row of ``probes.csv``: a concept, as one probe or reference level segments it.

    Args:
        id: The dataset's number of the concept.
        name: Its name.
        category: Its primary category.
        probe: Name of the probe or level; the run's own comes first.
        role: ``probe`` or ``reference``.
        n_val: Val images that contain the concept.
        train: Set IoU on train.
        val: Set IoU on val images that contain the concept, with its interval over images.
        gain: That less the run's own, with its interval.
        ap: Average precision over the pixels of the same images.
        annotated: Set IoU over val images annotated for its category, 2,000 at most.
        argmax: IoU where the highest logit of its category is predicted, over labelled pixels of
            the same images.
        cosine: Of its embedding with the run's own; NaN where it has none.
        over_reference: ``val`` less the best reference level, with its interval; NaN for levels.
        known: Whether it beats that level; see :class:`~net2vec_pl.report.probes.Knowledge`.
    """

    id: int
    name: str
    category: str
    probe: str
    role: str
    n_val: int
    train: float
    val: Estimate
    gain: Estimate
    ap: float
    annotated: float
    argmax: float
    cosine: float
    over_reference: Estimate
    known: str


@dataclass(frozen=True)
class NativeRow(Record):
    """A row of ``native.csv``: a concept, as one probe segments masks of another size.

    Args:
        id: The dataset's number of the concept.
        name: Its name.
        category: Its primary category.
        probe: Name of the probe; the run's own comes first.
        masks: Size of the masks: ``native``, each image's own, or height and width as in
            ``192x192``.
        n_val: Val images that set IoU counts: those whose masks contain the concept.
        pixels: Pixels of the concept in these.
        iou: Set IoU over these images.
        n_annotated: Val images annotated for its category.
        argmax: IoU where the highest logit of its category is predicted, over pixels of these
            images with a probed concept of the category. Its mean over the concepts of a category
            is what papers call mIoU.
    """

    id: int
    name: str
    category: str
    probe: str
    masks: str
    n_val: int
    pixels: int
    iou: float
    n_annotated: int
    argmax: float


@dataclass(frozen=True)
class FilterRow(Record):
    """A row of ``filters.csv``.

    Args:
        filter: Its number.
        threshold: Above it the filter fires.
        best_concept: The concept with the highest set IoU on train; empty if it overlaps none.
        single_train: That set IoU.
        single_val: The same on val.
        n_concepts: Concepts whose best filter it is.
    """

    filter: int
    threshold: float
    best_concept: str
    single_train: float
    single_val: float
    n_concepts: int


@dataclass(frozen=True)
class SeedRow(Record):
    """A row of ``seeds.csv``: a concept as learned from one seed.

    Args:
        id: The dataset's number of the concept.
        name: Its name.
        category: Its primary category.
        seed: The seed.
        multi_train: Set IoU of the embedding on train.
        multi_val: The same on val.
        ap_val: Average precision over the pixels of val images.
        norm: Euclidean length of the embedding.
        cosine: With the embedding of the first seed.
    """

    id: int
    name: str
    category: str
    seed: int
    multi_train: float
    multi_val: float
    ap_val: float
    norm: float
    cosine: float


@dataclass(frozen=True)
class ClassifierScores(Record):
    """How well one classifier does on val images.

    Args:
        accuracy: On as many images with the concept as without.
        ap: Average precision over all images.
        auc: Area under the ROC curve over all images.
        ap_annotated: Average precision over images annotated for the concept's category.
        auc_annotated: The same for the ROC curve.
    """

    accuracy: float
    ap: float
    auc: float
    ap_annotated: float
    auc_annotated: float


@dataclass(frozen=True)
class ClassifiedRow(Record):
    """A row of ``classification.csv``: a concept that was asked for, and how well it is classified.

    Args:
        id: The dataset's number of the concept.
        name: Its name.
        category: Its primary category.
        n_train: Train images that contain it.
        n_val: Val images that contain it.
        n_val_without: Val images known to lack it; NaN where it is not probed.
        n_val_annotated: Those of them that are annotated for its category: the negatives of
            ``ap_annotated`` and ``auc_annotated``.
        top_filter: The filter of largest weight.
        best_filter: The single filter that does best on train.
        multi: Scores of the classifier over all filters.
        top: Scores of the filter of largest weight, trained anew.
        best: Scores of the best filter.
        norm: Euclidean length of the embedding.
        status: ``ok``, or why there are no scores.
        group_auc: Area under the ROC curve of what an image's group alone says, see
            :func:`~net2vec_pl.analysis.group_alone.group_alone`; None where images have no groups.
        group_accuracy: Its balanced accuracy over all val images.
    """

    id: int
    name: str
    category: str
    n_train: int
    n_val: int
    n_val_without: int | float
    n_val_annotated: int | float
    top_filter: int | float
    best_filter: int | float
    multi: ClassifierScores
    top: Annotated[ClassifierScores, Column("top_{}")]
    best: Annotated[ClassifierScores, Column("best_{}")]
    norm: float
    status: str
    group_auc: float | None = None
    group_accuracy: float | None = None


@dataclass(frozen=True)
class LayerRow(Record):
    """A row of ``layers.csv``: means over the concepts of a layer, on val.

    Args:
        layer: Its name.
        filters: K.
        height: h of its grid.
        width: w of its grid.
        single_val: Mean set IoU of the best single filters; None where nothing is segmented.
        multi_val: Mean set IoU of the embeddings.
        ap_val: Mean average precision over pixels.
        best_accuracy: Mean accuracy of the best single filters; None where nothing is classified.
        top_accuracy: Mean accuracy of the filters of largest weight.
        accuracy: Mean accuracy of the embeddings.
        ap: Mean average precision over images.
        auc: Mean area under the ROC curve.
        known: Concepts whose embedding beats every reference level; None without levels.
    """

    layer: str
    filters: int
    height: int
    width: int
    single_val: float | None = None
    multi_val: float | None = None
    ap_val: float | None = None
    best_accuracy: float | None = None
    top_accuracy: float | None = None
    accuracy: float | None = None
    ap: float | None = None
    auc: float | None = None
    known: int | None = None


@dataclass(frozen=True)
class SkippedRow(Record):
    """A row of ``skipped.csv``: an image that cannot be read.

    Args:
        row: Row of the dataset.
        image: Its name.
        fault: What is wrong with it.
    """

    row: int
    image: str
    fault: str


@dataclass(frozen=True)
class Finding(Record):
    """A row of ``findings.csv``: a number, with its interval if it has one, and what it says.

    Args:
        question: What was asked.
        measure: What was measured.
        value: The number.
        low: Lower bound; NaN if it has no interval.
        high: Upper bound.
        n: Over how many concepts.
        statement: A sentence.
    """

    question: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    statement: str


@dataclass(frozen=True)
class GrowthRow(Record):
    """A concept at one moment of the training of a network; see ``net2vec_pl.ConceptProbe``.

    Args:
        epoch: Epochs that the network has been trained for; 0 before the first.
        step: Steps of its optimiser.
        name: The concept.
        category: Its primary category.
        set_iou: Set IoU of its embedding on val images; NaN where it has none.
        norm: Euclidean length of the embedding.
        cosine: With the embedding of the probing before; NaN for the first.
    """

    epoch: int
    step: int
    name: str
    category: str
    set_iou: float
    norm: float
    cosine: float
