"""The tables of ``task=compare``; docs/compare.md says how to read them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from net2vec_pl.records.table import Column, Estimate, Record

_NONE = Estimate(math.nan)


@dataclass(frozen=True)
class EntryRow(Record):
    """A row of ``runs.csv``: an entry, scored over its own concepts.

    Args:
        entry: Label of the entry.
        group: Name of its group.
        source: ``run folder``.
        state: ``finished``.
        model: Name of the network.
        layer: Name of the layer.
        module_path: Its module in the network; empty if the bank does not say.
        filters: K; NaN if the bank does not say.
        height: h of the layer's grid, likewise.
        width: w of the layer's grid, likewise.
        protocol: Name of the protocol; empty if it has none.
        tau: Share of activations above the threshold of their filter; empty if absent.
        seed: The seed it was trained from.
        data: Name of the dataset.
        digest: Digest of the dataset.
        images: Images of the dataset that can be read; empty if absent.
        most_train: Train images of the commonest concept.
        most_val: Val images of the commonest concept.
        version: Version of the package that trained it; empty if absent.
        n_concepts: Probed concepts.
        multi_val: Mean set IoU of the embeddings on val; NaN where nothing is segmented.
        single_val: Mean set IoU of the best single filters on val.
        ap_val: Mean average precision over the pixels of val images.
        accuracy: Mean balanced accuracy of the embeddings; NaN where nothing is classified.
        best_accuracy: Mean balanced accuracy of the best single filters.
        won: Concepts on which the embedding has a higher set IoU than the best filter.
        folder: Where the layer's results are.
        known: Concepts that beat every reference level; None where the run has no levels.
    """

    entry: str
    group: str
    source: str
    state: str
    model: str
    layer: str
    module_path: str
    filters: int | float
    height: int | float
    width: int | float
    protocol: str
    tau: float | str
    seed: int
    data: str
    digest: str
    images: int | str
    most_train: float
    most_val: float
    version: str
    n_concepts: int
    multi_val: float
    single_val: float
    ap_val: float
    accuracy: float
    best_accuracy: float
    won: int | float
    folder: str
    known: int | None = None


@dataclass(frozen=True)
class ExportedRow(Record):
    """A further row of ``runs.csv``: a run of an export of W&B's table, its cells as they stand.

    Args:
        entry: W&B's name of the run.
        source: The export's file.
        state: W&B's state of the run.
        model: Name of the network; None, here and below, where the export does not say.
        layer: Name of the layer.
        protocol: Name of the protocol.
        tau: Share of activations above the threshold of their filter.
        seed: The seed it was trained from.
        data: Name of the dataset.
        multi_val: Mean set IoU of the embeddings on val.
        ap_val: Mean average precision over the pixels of val images.
        accuracy: Mean balanced accuracy of the embeddings.
    """

    entry: str
    source: str
    state: str
    model: str | None = None
    layer: str | None = None
    protocol: str | None = None
    tau: str | None = None
    seed: str | None = None
    data: str | None = None
    multi_val: str | None = None
    ap_val: str | None = None
    accuracy: str | None = None


@dataclass(frozen=True)
class LeftOutRow(Record):
    """A row of ``left_out.csv``: a run that is not compared.

    Args:
        folder: Of the run, or of the layer that is damaged.
        state: What the sweep's ledger says of it, ``not finished`` or ``damaged``.
        reason: Why it is left out.
    """

    folder: str
    state: str
    reason: str


@dataclass(frozen=True)
class DifferenceRow(Record):
    """A row of ``differences.csv``: a value of something that the settings do not have in common.

    Args:
        what: What differs.
        value: One of its values.
        n_entries: How many settings have this value.
        entries: Their labels.
        consequence: What the comparison makes of the difference.
    """

    what: str
    value: str
    n_entries: int
    entries: str
    consequence: str


@dataclass(frozen=True)
class SeedMean(Record):
    """A mean over concepts and seeds: the columns NAME, NAME_low, NAME_high, NAME_q25, ...

    Args:
        mean: The mean, with a 95 % interval over images, or groups of them, where there is one.
        q25: The middle half of the concepts lies between this value ...
        q75: ... and this one.
        std: Standard deviation of the seeds' means; NaN with one seed.
    """

    mean: Annotated[Estimate, Column("")] = _NONE
    q25: Annotated[float, Column("_q25")] = math.nan
    q75: Annotated[float, Column("_q75")] = math.nan
    std: Annotated[float, Column("_std")] = math.nan


@dataclass(frozen=True)
class SegmentedMeans(Record):
    """How well a setting segments the concepts of a category; NaN throughout if it does not.

    Args:
        n_concepts: Concepts that all settings of the group have scored.
        multi_val: Set IoU of the embeddings on val.
        single_val: Set IoU of the best single filters on val.
        ap_val: Average precision over the pixels of val images.
        gain: ``multi_val`` less ``single_val``.
        won: Concepts with a gain above 0.
        interval_over: What the intervals of set IoU and gain are over: ``images``, ``groups`` of
            them, or nothing, as there are none.
        no_interval: Why there are none.
        filters_needed: Median number of filters for 80 % of the gain in set IoU over the reference
            level.
        detected_by_single: Concepts that a single filter detects.
        detected_by_multi: Concepts that the embedding detects.
        known: Concepts for which it beats every reference level; None where a run has no levels.
    """

    n_concepts: int | float = math.nan
    multi_val: Annotated[SeedMean, Column("multi_val{}")] = SeedMean()
    single_val: Annotated[SeedMean, Column("single_val{}")] = SeedMean()
    ap_val: Annotated[SeedMean, Column("ap_val{}")] = SeedMean()
    gain: Annotated[SeedMean, Column("gain{}")] = SeedMean()
    won: int | float = math.nan
    interval_over: str = ""
    no_interval: str = ""
    filters_needed: float = math.nan
    detected_by_single: float = math.nan
    detected_by_multi: int | float = math.nan
    known: int | None = None


@dataclass(frozen=True)
class ClassifiedMeans(Record):
    """How well a setting classifies the concepts of a category; NaN throughout if it does not.

    Args:
        n_classified: Concepts that all classifying settings of the group have scored.
        accuracy: Balanced accuracy of the embeddings on val.
        best_accuracy: Balanced accuracy of the best single filters on val.
        filters_needed_classification: Median number of filters for 80 % of the gain in accuracy
            over chance.
    """

    n_classified: int | float = math.nan
    accuracy: Annotated[SeedMean, Column("accuracy{}")] = SeedMean()
    best_accuracy: Annotated[SeedMean, Column("best_accuracy{}")] = SeedMean()
    filters_needed_classification: float = math.nan


@dataclass(frozen=True)
class CategoryRow(Record):
    """A row of ``categories.csv``: a setting and a category, over concepts that all settings have.

    Args:
        group: Name of the group.
        setting: Label of the setting.
        model: Name of the network.
        layer: Name of the layer.
        n_seeds: Entries of the setting.
        category: The category, or ``all``.
        segmented: Means of segmentation; None where no setting of the group segments.
        classified: Means of classification; None where no setting of the group classifies.
    """

    group: str
    setting: str
    model: str
    layer: str
    n_seeds: int
    category: str
    segmented: SegmentedMeans | None = None
    classified: ClassifiedMeans | None = None

    def estimate(self, column: str) -> Estimate:
        """Return the number in a column, with its bounds; NaN for what the row does not have."""
        cells = self.cells()
        names = (column, f"{column}_low", f"{column}_high")
        return Estimate(*(float(cells.get(name, math.nan)) for name in names))


@dataclass(frozen=True)
class ConceptByEntryRow(Record):
    """A row of ``concepts_by_entry.csv`` or ``concepts_by_entry_classification.csv``: a concept.

    Args:
        group: Name of the group.
        concept: Name of the concept.
        category: Its primary category.
        score: What is tabulated: ``multi_val`` or ``accuracy``.
        by_setting: Label of every setting -> mean over its seeds; NaN where it has no score.
    """

    group: str
    concept: str
    category: str
    score: str
    by_setting: Mapping[str, float]


@dataclass(frozen=True)
class PairRow(Record):
    """A row of ``pairs.csv``: two settings and a score, over concepts that all settings have.

    Args:
        group: Name of the group.
        score: What is compared, such as ``multi_val``.
        first: Label of one setting.
        second: Label of the other.
        n_concepts: Over how many concepts.
        difference: The first's mean less the second's.
        low: Lower bound of its 95 % interval; NaN where there is none.
        high: Upper bound of its 95 % interval.
        interval_over: What the interval is over: ``images``, ``groups`` of them, or nothing.
        p: Two-sided p-value of a swap test over the same images, or groups; NaN where not tested.
        p_fdr: The same, corrected for all pairs of the group and score (Benjamini & Hochberg).
        untested: Why there is no p.
        first_higher: Share of concepts on which the first scores higher; ties count half.
    """

    group: str
    score: str
    first: str
    second: str
    n_concepts: int
    difference: float
    low: float
    high: float
    interval_over: str
    p: float
    p_fdr: float
    untested: str
    first_higher: float


@dataclass(frozen=True)
class Alikeness(Record):
    """How alike two embeddings are by one measure: the columns NAME, NAME_chance and NAME_p.

    Args:
        value: The measure.
        chance: Its mean over all permutations of the concepts.
        p: Share of random permutations that make the two as alike.
    """

    value: Annotated[float, Column("")]
    chance: Annotated[float, Column("_chance")]
    p: Annotated[float, Column("_p")]


@dataclass(frozen=True)
class EmbeddingPairRow(Record):
    """A row of ``embedding_distances.csv``: the embeddings of two entries.

    Args:
        group: Name of the group.
        target: What was learned: ``segmentation`` or ``classification``.
        first: Label of one entry.
        second: Label of the other.
        n_concepts: Concepts that have a direction in every embedding.
        distance_per_pair: ``distance``, divided by the number of pairs of concepts.
        distance: The paper's: squared differences of cosines, summed over pairs of concepts.
        correlation: Spearman's correlation of the cosines.
        cka: Linear CKA.
        overlap: Overlap of nearest neighbours.
        n_tested: Concepts that the tests looked at.
        permutations: Random permutations of each test.
    """

    group: str
    target: str
    first: str
    second: str
    n_concepts: int
    distance_per_pair: float
    distance: Annotated[Alikeness, Column("distance{}")]
    correlation: Annotated[Alikeness, Column("correlation{}")]
    cka: Annotated[Alikeness, Column("cka{}")]
    overlap: Annotated[Alikeness, Column("overlap{}")]
    n_tested: int
    permutations: int
