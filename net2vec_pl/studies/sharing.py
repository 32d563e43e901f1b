"""Are filters shared between concepts, and when does a single filter beat a combination?"""

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from net2vec_pl.analysis.sharing import (
    DETECTED_BY_MULTI,
    DETECTED_BY_SINGLE,
    Failures,
    FilterSharing,
    Overlap,
    concepts_per_filter,
    count_detectors,
    detector_scores,
    failures,
    filters_for_mass,
    overlap,
    participation_ratio,
)
from net2vec_pl.analysis.subsets import top_filters
from net2vec_pl.figures import sharing as figures
from net2vec_pl.records.studies import (
    DetectorRow,
    FailureRow,
    FiltersUsedRow,
    OverlapRow,
    SharedFilterRow,
)
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, middle_half

_log = logging.getLogger(__name__)
QUESTION = "Are filters shared between concepts?"
_LARGEST = 10  # filters of largest weight that make a concept's set


@dataclass(frozen=True)
class Sharing(Question):
    """Leaves tables of filters and concepts, unique detectors, failures, and their figures.

    Args:
        permutations: Ten times the random choices of filters that overlaps are compared with.
    """

    name: ClassVar[str] = "sharing"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    permutations: int = at_least(1, 10_000)

    def run(self, study: Study) -> None:
        """Count what concepts share, and what single filters detect."""
        weight = study.segmented.weight.double().numpy()
        best = study.segmented.baseline.best_filter().numpy()
        shared = concepts_per_filter(best, weight.shape[1])
        largest = min(_LARGEST, weight.shape[1])
        common = overlap(top_filters(weight, [largest])[0], self.permutations // 10 or 1)
        _write_filters(study, shared, best)
        _write_concepts(study, common)
        _write_pairs(study, common)
        _write_detectors(study)
        _write_failures(study)
        _tell_filters(study, shared)
        _tell_overlap(study, common, largest)


def _write_filters(study: Study, shared: FilterSharing, best: Int64[np.ndarray, "C"]) -> None:
    """Write which concepts have chosen each filter."""
    names = np.array(study.job.vocabulary.names, dtype=object)
    rows = [
        SharedFilterRow(k, int(n), "; ".join(names[best == k]))
        for k, n in enumerate(shared.n_concepts)
        if n
    ]
    study.write(rows, "shared_filters")
    layer = study.job.backbone.layer
    study.draw("concepts_per_filter", figures.concepts_per_filter, {layer: shared.histogram})


def _tell_filters(study: Study, shared: FilterSharing) -> None:
    used = shared.n_concepts[shared.n_concepts > 0]
    several = int((used > 1).sum())
    study.find(
        QUESTION,
        "share of chosen filters that several concepts choose",
        several / len(used) if len(used) else np.nan,
        len(study.categories),
        f"{int(used.sum())} concepts choose {len(used)} of {len(shared.n_concepts)} filters as "
        f"their best single one; {several} of these are the best one of several concepts, "
        f"{int(used.max(initial=0))} at most.",
    )


def _tell_overlap(study: Study, common: Overlap, largest: int) -> None:
    if len(common.concept) < 3:
        _log.info("overlap of filters: nothing to say of fewer than 3 concepts")
        return
    low, high = np.quantile(common.random_mean, [0.025, 0.975])
    # What a concept has in common with the others on average; the diagonal holds its own filters.
    of_concept = (common.shared.sum(axis=1) - largest) / (len(common.concept) - 1)
    study.find(
        QUESTION,
        f"mean overlap of the {largest} largest weights",
        common.mean,
        len(common.concept),
        f"Among their {largest} filters of largest weight two concepts have "
        f"{common.mean:.2f} in common on average ({middle_half(of_concept, '{:.2f}')}); random "
        f"choices {common.expected:.2f} [{low:.2f}, {high:.2f}], p = {common.p_mean:.2g}.",
    )


def _write_concepts(study: Study, common: Overlap) -> None:
    """Write how many filters every concept uses, by several measures."""
    weight = study.segmented.weight.double().numpy()
    neighbour = np.full((len(weight), 2), np.nan)
    others = common.shared.astype(np.float64)
    np.fill_diagonal(others, np.nan)
    if len(others) > 1:
        neighbour[common.concept, 0] = np.nanmean(others, axis=1)
        neighbour[common.concept, 1] = np.nanmax(others, axis=1)
    ratio, for_mass = participation_ratio(weight), filters_for_mass(weight)
    rows = [
        FiltersUsedRow(
            concept.name,
            concept.category,
            participation_ratio=float(ratio[c]),
            filters_for_80_percent=float(for_mass[c]),
            weight_std=float(weight[c].std()),
            mean_shared=float(neighbour[c, 0]),
            most_shared=float(neighbour[c, 1]),
        )
        for c, concept in enumerate(study.job.vocabulary)
    ]
    study.write(rows, "filters_per_concept")


def _write_pairs(study: Study, common: Overlap) -> None:
    """Write the pairs of concepts that share most, and draw how many share how much."""
    study.draw(
        "filter_overlap",
        figures.overlap_with_chance,
        common.pairs,
        common.chance,
        common.mean,
        common.expected,
    )
    names = [study.job.vocabulary.names[c] for c in common.concept]
    above = np.triu_indices(len(names), 1)
    order = np.argsort(-common.shared[above], kind="stable")[:100]
    rows = [
        OverlapRow(
            names[i],
            names[j],
            shared=int(common.shared[i, j]),
            z=float(common.z[i, j]),
            p=float(common.p[i, j]),
        )
        for i, j in zip(above[0][order], above[1][order], strict=True)
    ]
    study.write(rows, "filter_overlap")


def _write_detectors(study: Study) -> None:
    """Count unique detectors, NetDissect's way and for learned combinations."""
    baseline = study.segmented.baseline
    concept = baseline.best_concept()
    score = baseline.val.double()[concept.clamp(min=0), torch.arange(len(concept))]
    of_single = detector_scores(concept.numpy(), score.numpy(), len(study.categories))
    of_multi = study.segmented.scores[0].val.double().numpy()
    by_single = count_detectors(of_single, DETECTED_BY_SINGLE, study.categories)
    by_multi = count_detectors(of_multi, DETECTED_BY_MULTI, study.categories)
    rows = [
        DetectorRow(category, by_single[category], by_multi[category])
        for category in dict.fromkeys(study.categories)
    ]
    total = DetectorRow("all", sum(by_single.values()), sum(by_multi.values()))
    study.write([*rows, total], "detectors")
    study.find(
        QUESTION,
        "unique detectors",
        float(total.by_multi),
        len(study.categories),
        f"{total.by_single} concepts have a filter that detects them (val set IoU of at least "
        f"{DETECTED_BY_SINGLE}, each filter for its best concept); combinations detect "
        f"{total.by_multi} (at least {DETECTED_BY_MULTI}).",
    )


def _write_failures(study: Study) -> None:
    """Explain by images and size where the single filter beats the combination."""
    baseline, scores = study.segmented.baseline, study.segmented.scores[0]
    best = baseline.best_filter()
    of_best = baseline.val.double().gather(1, best.clamp(min=0)[:, None])[:, 0]
    single = of_best.masked_fill(best < 0, torch.nan).numpy()
    multi = scores.val.double().numpy()
    probed = study.job.setup.selection.probed
    n_train = np.array([entry.n_train for entry in probed], dtype=np.int64)
    alpha = np.array([entry.alpha for entry in probed])
    found = failures(multi, single, n_train, alpha)
    study.draw("failures", figures.failure_scatter, n_train, multi - single, 1 - alpha)
    rows = [
        FailureRow(
            entry.concept.name,
            entry.concept.category,
            entry.n_train,
            size=1 - entry.alpha,
            gain=float(multi[c] - single[c]),
            multi_below_single=bool(found.failed[c]),
            status="ok" if np.isfinite(multi[c] - single[c]) else "no score to compare",
        )
        for c, entry in enumerate(probed)
    ]
    study.write(rows, "failures")
    if found.n_failed:
        _tell_failures(study, found)


def _tell_failures(study: Study, found: Failures) -> None:
    study.find(
        "Where do combinations fail?",
        "concepts with the combination below the single filter",
        float(found.n_failed),
        found.n_compared,
        f"The combination scores below the best single filter for {found.n_failed} of "
        f"{found.n_compared} concepts. They have {10**found.images.failed:.0f} train images in the "
        f"median (the others {10**found.images.others:.0f}, Mann-Whitney p = "
        f"{found.images.p:.2g}) and cover {found.size.failed:.1%} of an image (the others "
        f"{found.size.others:.1%}, p = {found.size.p:.2g}).",
    )
