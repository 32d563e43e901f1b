"""The tables of the analyses, in ``analysis/``.

Those of classifiers end in ``_classification``, those of patterns in ``_patterns``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from net2vec_pl.records.table import Column, Estimate, Record


@dataclass(frozen=True)
class IntervalRow(Record):
    """A row of ``intervals.csv``: a concept's set IoU on val, with 95 % intervals over images.

    Args:
        name: The concept.
        category: Its primary category.
        n: Val images that contain it.
        multi: Set IoU of the combination.
        single: Set IoU of the best single filter; NaN if no filter overlaps the concept.
        gain: multi - single.
        p: Two-sided p-value of a paired permutation test of the gain.
        p_holm: The same, corrected for the number of concepts by Holm's method.
        p_fdr: The same, corrected by Benjamini and Hochberg's.
        verdict: ``combination``, ``single filter``, ``undecided``, or why there is no test.
        std_over_seeds: Standard deviation of multi over seeds; None with a single seed.
        cosine_over_seeds: Mean cosine between the embeddings of two seeds.
    """

    name: str
    category: str
    n: int
    multi: Estimate
    single: Estimate
    gain: Estimate
    p: float
    p_holm: float
    p_fdr: float
    verdict: str
    std_over_seeds: float | None = None
    cosine_over_seeds: float | None = None


@dataclass(frozen=True)
class GainRow(Record):
    """A row of ``gains.csv``: means over the concepts of a category, or over ``all``.

    Args:
        category: The category.
        n_concepts: Its concepts that both methods score.
        multi: Mean val set IoU of combinations.
        single: Mean val set IoU of the best single filters.
        gain: Mean of multi - single.
        won: Concepts with a gain above 0.
        multi_better: Concepts for which the test finds the combination better.
        single_better: Concepts for which it finds the single filter better.
    """

    category: str
    n_concepts: int
    multi: Estimate
    single: Estimate
    gain: Estimate
    won: int
    multi_better: int
    single_better: int


@dataclass(frozen=True)
class SubsetRow(Record):
    """A row of ``subsets.csv``: a concept with only some of its filters.

    Args:
        name: The concept.
        category: Its primary category.
        filters: F, how many filters of largest weight are kept.
        retrained: Val score of a vector over these, trained anew: set IoU, or balanced accuracy.
        masked: The same for the full vector with its other weights set to 0.
    """

    name: str
    category: str
    filters: int
    retrained: float
    masked: float


@dataclass(frozen=True)
class NeededRow(Record):
    """A row of ``filters_needed.csv``: how many filters a concept needs.

    Args:
        name: The concept.
        category: Its primary category.
        level: What needs no filter: val set IoU of its reference level, or balanced accuracy 0.5.
        full: Val score with all filters.
        needed: Share of full - level, such as ``80%`` -> the fewest filters that gain as much.
        status: ``ok``, or why there is no number.
    """

    name: str
    category: str
    level: float
    full: float
    needed: Annotated[Mapping[str, float], Column("for_{}")]
    status: str


@dataclass(frozen=True)
class ReachedRow(Record):
    """A row of ``cumulative_filters.csv``: for how many concepts a number of filters is enough.

    Args:
        category: The category, or ``all``.
        filters: F.
        n: Its concepts whose full score is above their level.
        reached: Share of the gain over the level, such as ``80%`` -> the share of concepts that
            reach it.
    """

    category: str
    filters: int
    n: int
    reached: Annotated[Mapping[str, float], Column("reach_{}")]


@dataclass(frozen=True)
class PenaltyRow(Record):
    """A row of ``l1_path.csv``: a concept trained under an L1 penalty.

    Args:
        name: The concept.
        category: Its primary category.
        strength: Strength of the penalty, in (0, 1]; 1 is the least that leaves no filter.
        filters: Filters whose weight is not 0.
        train: Set IoU on train.
        val: Set IoU on val.
        chosen: Whether it is the point of fewest filters whose train score has 80 % of the gain
            over the reference level.
    """

    name: str
    category: str
    strength: float
    filters: int
    train: float
    val: float
    chosen: bool


@dataclass(frozen=True)
class SharedFilterRow(Record):
    """A row of ``shared_filters.csv``: a filter that is the best one of some concept.

    Args:
        filter: Its number.
        n_concepts: Concepts whose best filter it is.
        concepts: Their names, separated by semicolons.
    """

    filter: int
    n_concepts: int
    concepts: str


@dataclass(frozen=True)
class FiltersUsedRow(Record):
    """A row of ``filters_per_concept.csv``: how a concept spreads over filters.

    Args:
        name: The concept.
        category: Its primary category.
        participation_ratio: The number of filters that would carry it if they had equal weights.
        filters_for_80_percent: The fewest filters that hold 80 % of the sum of its weights.
        weight_std: Standard deviation of its weights.
        mean_shared: Of its filters of largest weight, those another concept has too, on average.
        most_shared: The same for the concept that shares most.
    """

    name: str
    category: str
    participation_ratio: float
    filters_for_80_percent: float
    weight_std: float
    mean_shared: float
    most_shared: float


@dataclass(frozen=True)
class OverlapRow(Record):
    """A row of ``filter_overlap.csv``: two concepts that share many filters of largest weight.

    Args:
        concept: One.
        other: The other.
        shared: Filters that both have.
        expected: What chance gives, filters being as popular as they are: the mean over all pairs.
        p: Share of pairs that have at least as many by chance.
        p_fdr: The same, corrected for all pairs (Benjamini & Hochberg).
    """

    concept: str
    other: str
    shared: int
    expected: float
    p: float
    p_fdr: float


@dataclass(frozen=True)
class DetectorRow(Record):
    """A row of ``detectors.csv``: concepts that are detected, at one bar for both.

    Args:
        category: The category, or ``all``.
        by_single: Its concepts that a single filter detects, chosen on train.
        by_multi: Its concepts that a combination detects.
    """

    category: str
    by_single: int
    by_multi: int


@dataclass(frozen=True)
class FailureRow(Record):
    """A row of ``failures.csv``: whether a combination does worse, and what concept it is.

    Args:
        name: The concept.
        category: Its primary category.
        n_train: Train images that contain it.
        size: Share of their pixels that it covers, on average.
        gain: Val set IoU of the combination, less that of the best single filter.
        multi_below_single: Whether the combination scores lower.
        gain_calibrated: The same gain with thresholds of their own from train images; NaN where a
            run has nothing beside its probe.
        status: ``ok``, or why they cannot be compared.
    """

    name: str
    category: str
    n_train: int
    size: float
    gain: float
    multi_below_single: bool
    gain_calibrated: float
    status: str


@dataclass(frozen=True)
class NeighbourRow(Record):
    """A row of ``nearest.csv``: an embedding near another.

    Args:
        concept: The concept.
        category: Its primary category.
        rank: 1 for the nearest.
        neighbour: The concept whose embedding is near; empty if there is none.
        cosine: Between the two.
        status: ``ok``; or why the concept has no neighbours; or how many concepts that are not
            listed are as near, so that only the order of the list decided.
    """

    concept: str
    category: str
    rank: int
    neighbour: str
    cosine: float
    status: str


@dataclass(frozen=True)
class SumRow(Record):
    """A row of ``arithmetic.csv``: a concept near a sum of embeddings.

    Args:
        expression: The sum, such as ``grass + blue``.
        rank: 1 for the nearest; 0 if there is no answer.
        answer: The concept.
        score: Dot product with the mean of the signed unit vectors, as in the paper.
        cosine: Cosine with that mean.
        status: ``ok``, or why there is no answer.
    """

    expression: str
    rank: int
    answer: str
    score: float
    cosine: float
    status: str


@dataclass(frozen=True)
class Place(Record):
    """A place on a map.

    Args:
        x: To the right.
        y: Upwards.
    """

    x: float
    y: float


@dataclass(frozen=True)
class ClusterRow(Record):
    """A row of ``clusters.csv``: where a concept's embedding lies.

    Args:
        concept: The concept.
        category: Its primary category.
        cluster: The number of its cluster, 0 the largest; -1 if it has none.
        closeness: Cosine with the centre of the cluster.
        tsne: Its place on the map by t-SNE.
        umap: Its place on the map by UMAP; None where UMAP is not installed.
        status: ``ok``, or what could not be done.
    """

    concept: str
    category: str
    cluster: int
    closeness: float
    tsne: Annotated[Place, Column("tsne_{}")]
    umap: Annotated[Place | None, Column("umap_{}")]
    status: str


@dataclass(frozen=True)
class MatrixRow(Record):
    """A row of ``category_matrix.csv``: of which categories a category's nearest concepts are.

    Categories name columns of their own, so the file cannot be read back into rows of this class.

    Args:
        category: The category.
        n: Its concepts.
        share: Category -> the share of nearest concepts that are of it.
        chance: Category -> the share among permuted categories.
    """

    category: str
    n: int
    share: Mapping[str, float]
    chance: Annotated[Mapping[str, float], Column("chance_{}")]


@dataclass(frozen=True)
class Measured(Record):
    """A measure of likeness, against chance.

    Args:
        value: The measure.
        chance: Its mean over permutations.
        p: Share of the permutations that are at least as alike.
    """

    value: Annotated[float, Column("")]
    chance: Annotated[float, Column("_chance")]
    p: Annotated[float, Column("_p")]


@dataclass(frozen=True)
class ComparisonRow(Record):
    """A row of ``comparisons.csv``: how alike two sets of vectors of the same concepts are.

    Args:
        bank: One: ``segmentation``, ``classification`` or ``best filter``.
        other: What it is compared with: ``categories``, ``WordNet``, ``word vectors``, or a bank.
        n: Concepts that both have.
        left_out: Concepts without a direction in one of them.
        permutations: Permutations of each test.
        distance: The paper's distance between matrices of cosines.
        correlation: Spearman's correlation of cosines, over pairs of concepts.
        cka: Centred kernel alignment.
        overlap: Share of nearest concepts that are the same; ties count by their chance.
        distance_per_pair: The distance, per pair of concepts.
        status: ``ok``, or why a measure is missing.
    """

    bank: str
    other: str
    n: int
    left_out: int | float
    permutations: int
    distance: Annotated[Measured, Column("distance{}")]
    correlation: Annotated[Measured, Column("correlation{}")]
    cka: Annotated[Measured, Column("cka{}")]
    overlap: Annotated[Measured, Column("overlap{}")]
    distance_per_pair: float
    status: str


@dataclass(frozen=True)
class Retrieved(Record):
    """How well the scores of images along a direction find those with a concept.

    Args:
        recall: Share of these among as many images of highest score as there are of them.
        auc: Area under the ROC curve.
        status: ``ok``, or why there is no score.
    """

    recall: float
    auc: float
    status: str


@dataclass(frozen=True)
class ExampleRow(Record):
    """A row of ``examples.csv``: how well the images of a concept are found.

    Args:
        name: The concept.
        category: Its primary category.
        n_val: Val images that contain it.
        embedding: By its embedding.
        best_filter: By its best single filter.
    """

    name: str
    category: str
    n_val: int
    embedding: Annotated[Retrieved, Column("embedding_{}")]
    best_filter: Annotated[Retrieved, Column("best_filter_{}")]


@dataclass(frozen=True)
class SynthesisRow(Record):
    """A row of ``synthesis.csv``: an image made to excite a direction.

    Args:
        concept: The concept.
        direction: ``embedding`` or ``best filter``.
        on_noise: Mean response to noise.
        reached: Mean response to the image.
        deviations_of_noise: Their difference, in standard deviations of responses to noise.
        status: ``ok``, or what went wrong.
    """

    concept: str
    direction: str
    on_noise: float
    reached: float
    deviations_of_noise: float
    status: str


@dataclass(frozen=True)
class ControlRow(Record):
    """A row of ``controls.csv``: a concept's val set IoU, by the trained bank and by controls.

    Args:
        name: The concept.
        category: Its primary category.
        multi: The trained combination.
        single: The best single filter.
        random_vector: The vector from which training starts.
        shuffled_masks: A vector trained on masks of other images; None if it was left out.
        random_network_multi: A combination on a network with random weights; None if left out.
        random_network_single: The best single filter of that network.
    """

    name: str
    category: str
    multi: float
    single: float
    random_vector: float
    shuffled_masks: float | None = None
    random_network_multi: float | None = None
    random_network_single: float | None = None


@dataclass(frozen=True)
class ControlMeansRow(Record):
    """A row of ``control_means.csv``: a control over all concepts.

    Args:
        control: A column of ``controls.csv``.
        n_concepts: Concepts that both the control and the trained bank score.
        mean: Mean val set IoU of the control.
        lead: By how much the trained bank is above that.
        n_above: Concepts for which it is above.
        status: ``ok``, or why the control was left out.
    """

    control: str
    n_concepts: int
    mean: Estimate
    lead: Estimate
    n_above: int
    status: str
