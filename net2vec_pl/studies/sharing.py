"""Are filters shared between concepts, and when does a single filter beat a combination?"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64, Int64

from net2vec_pl.analysis.chance import p_text
from net2vec_pl.analysis.detectors import DETECTED, detected, detector_scores
from net2vec_pl.analysis.overlap import FDR, Overlap, overlap
from net2vec_pl.analysis.sharing import (
    FilterSharing,
    concepts_per_filter,
    expected_sharing,
    filters_for_mass,
    participation_ratio,
)
from net2vec_pl.analysis.subsets import top_filters
from net2vec_pl.figures import sharing as figures
from net2vec_pl.pipeline.worth import SINGLE_TUNED
from net2vec_pl.records.studies import (
    DetectorRow,
    FailureRow,
    FiltersUsedRow,
    OverlapRow,
    SharedFilterRow,
)
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, by_category

_log = logging.getLogger(__name__)
QUESTION = "Are filters shared between concepts?"
_LARGEST = 10  # filters of largest weight that make a concept's set
_WRITTEN = 100  # pairs in the table
_POOLED = 10**8  # pairs of random choices that are enough
_NAMED = 8  # failures in the sentence


@dataclass(frozen=True)
class Sharing(Question):
    """Leaves tables of filters and concepts, unique detectors, failures, and their figures.

    Args:
        permutations: Ten times the random choices of filters that overlaps are compared with; of
            more than 450 concepts fewer are enough.
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
        num_pairs = len(weight) * (len(weight) - 1) // 2
        enough = max(_POOLED // max(num_pairs, 1), 99)
        times = min(self.permutations // 10 or 1, enough)
        common = overlap(top_filters(weight, [largest])[0], times)
        _write_filters(study, shared, best)
        _write_concepts(study, common)
        _write_pairs(study, common)
        _write_detectors(study)
        _write_failures(study)
        _tell_filters(study, shared)
        _tell_overlap(study, common, largest, times)


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
    by_chance = expected_sharing(int(used.sum()), len(shared.n_concepts))
    study.find(
        QUESTION,
        "share of chosen filters that several concepts choose",
        several / len(used) if len(used) else np.nan,
        len(study.categories),
        f"{int(used.sum())} concepts choose {len(used)} of {len(shared.n_concepts)} filters as "
        f"their best single one; {several} of these are the best one of several concepts, "
        f"{int(used.max(initial=0))} at most. Independent choices among equally likely filters "
        f"would make it {by_chance[1]:.1f} of {by_chance[0]:.1f}.",
    )


def _tell_overlap(study: Study, common: Overlap, largest: int, times: int) -> None:
    num = len(common.concept)
    if num < 3:
        _log.info("overlap of filters: nothing to say of fewer than 3 concepts")
        return
    mean, low, high = common.mean
    bounds = (
        ""
        if np.isnan(low)
        else f" (95 % interval [{low:.2f}, {high:.2f}] if the concepts were drawn from others like "
        "these)"
    )
    study.find(
        QUESTION,
        f"mean overlap of the {largest} largest weights",
        common.mean,
        num,
        f"Among their {largest} filters of largest weight two concepts have {mean:.2f} in common "
        f"on average{bounds}; if every filter were as likely, {common.uniform:.2f}. That says only "
        "that some filters have large weights for many concepts.",
    )
    found = int((common.p_fdr[np.triu_indices(num, 1)] <= FDR).sum())
    study.find(
        QUESTION,
        "pairs of concepts that share more filters than popularity gives",
        float(found),
        num,
        f"Given how many concepts have each filter, {found} of {num * (num - 1) // 2} pairs share "
        f"more than chance gives (at a false discovery rate of {FDR:.0%} over all pairs). Their "
        f"numbers of filters in common have a variance of {common.variance:.2f}, by chance "
        f"{common.random_variance:.2f} ({p_text(common.p_variance, times)}).",
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
        float(common.mean[0]),
    )
    names = [study.job.vocabulary.names[c] for c in common.concept]
    above = np.triu_indices(len(names), 1)
    order = np.argsort(-common.shared[above], kind="stable")[:_WRITTEN]
    rows = [
        OverlapRow(
            names[i],
            names[j],
            shared=int(common.shared[i, j]),
            expected=float(common.mean[0]),
            p=float(common.p[i, j]),
            p_fdr=float(common.p_fdr[i, j]),
        )
        for i, j in zip(above[0][order], above[1][order], strict=True)
    ]
    study.write(rows, "filter_overlap")


def _write_detectors(study: Study) -> None:
    """Count unique detectors, NetDissect's way and for learned combinations, at one bar."""
    segmented, num = study.segmented, len(study.categories)
    concept = segmented.baseline.best_concept()
    train, val = (
        of_split.double()[concept.clamp(min=0), torch.arange(len(concept))].numpy()
        for of_split in (segmented.baseline.train, segmented.baseline.val)
    )
    by_single = detected(detector_scores(concept.numpy(), train, val, num), segmented.level)
    by_multi = detected(segmented.scores[0].val.double().numpy(), segmented.level)
    rows = [
        DetectorRow(category, int(by_single[mine].sum()), int(by_multi[mine].sum()))
        for category, mine in by_category(study.categories).items()
    ]
    study.write(rows, "detectors")
    bar = f"a val set IoU of at least {DETECTED}"
    bar += ", and more than the concept's reference level" if segmented.knowledge else ""
    study.find(
        QUESTION,
        "unique detectors",
        float(by_multi.sum()),
        num,
        f"{by_single.sum()} concepts have a filter that detects them (each filter for its best "
        f"concept, of a concept's filters the best on train); combinations detect "
        f"{by_multi.sum()}. Both need {bar}.",
    )


def _write_failures(study: Study) -> None:
    """List where the single filter beats the combination, with images and size."""
    baseline, scores = study.segmented.baseline, study.segmented.scores[0]
    best = baseline.best_filter()
    of_best = baseline.val.double().gather(1, best.clamp(min=0)[:, None])[:, 0]
    single = of_best.masked_fill(best < 0, torch.nan).numpy()
    gain, calibrated = scores.val.double().numpy() - single, _calibrated_gain(study)
    rows = [
        FailureRow(
            entry.concept.name,
            entry.concept.category,
            entry.n_train,
            size=1 - entry.alpha,
            gain=float(gain[c]),
            multi_below_single=bool(gain[c] < 0),
            gain_calibrated=float(calibrated[c]),
            status="ok" if np.isfinite(gain[c]) else "no score to compare",
        )
        for c, entry in enumerate(study.job.setup.selection.probed)
    ]
    study.write(rows, "failures")
    n_train = np.array([row.n_train for row in rows], dtype=np.int64)
    size = np.array([row.size for row in rows])
    study.draw("failures", figures.failure_scatter, n_train, gain, size)
    _tell_failures(study, rows)


def _calibrated_gain(study: Study) -> Float64[np.ndarray, "C"]:
    """Compare both at thresholds of their own from train; NaN where a run has none."""
    contenders = study.segmented.contenders
    if not contenders:
        return np.full(len(study.categories), np.nan)
    val = {contender.name: contender.val().double().numpy() for contender in contenders}
    own = contenders[0].name  # calibrated itself, unless it stands there once more
    return np.asarray(val.get(f"{own}, calibrated", val[own]) - val[SINGLE_TUNED])


def _tell_failures(study: Study, rows: Sequence[FailureRow]) -> None:
    """Name the failures, the largest loss first; a test of their sizes would show what must be."""
    failed = sorted((row for row in rows if row.multi_below_single), key=lambda row: row.gain)
    calibrated = [row.gain_calibrated for row in rows if np.isfinite(row.gain_calibrated)]
    worse = sum(gain < 0 for gain in calibrated)
    if not failed and not worse:
        return
    compared = len([row for row in rows if np.isfinite(row.gain)])
    named = ", ".join(
        f"{row.name} ({row.n_train} train images, {row.size:.1%} of a picture)"
        for row in failed[:_NAMED]
    )
    more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
    alike = study.job.setup.options.protocol.calibrate == "none"
    how = (
        "both at the protocol's thresholds"
        if alike
        else "the combination alone with a threshold of its own"
    )
    also = f" With thresholds of their own, chosen on train, it does for {worse} of "
    study.find(
        "Where do combinations fail?",
        "concepts with the combination below the single filter",
        float(len(failed)),
        compared,
        f"The combination scores below the best single filter, {how}, for {len(failed)} of "
        f"{compared} concepts{': ' if failed else ''}{named}{more}."
        + (f"{also}{len(calibrated)}." if calibrated else ""),
    )
