"""How much of a concept is other concepts? LDA with the scores of others taken out."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import MeanScores, SetIouIntervals
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.analysis.partial import (
    correlations,
    most_costly,
    partial_directions,
    share_of_gain,
)
from net2vec_pl.figures.partial import partial_figure
from net2vec_pl.pipeline.calibrated import bank_maps, calibrated_biases, val_counts
from net2vec_pl.probes.closed_form import solve, unit_spread
from net2vec_pl.records.sums import PartialRow
from net2vec_pl.report.probes import best_level
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.levels import NOT_ABOVE
from net2vec_pl.studies.study import estimates, interval, middle_half
from net2vec_pl.studies.sums import LayerSums

OF_OTHERS = "How much of a concept is other concepts?"
_MOST = 4  # others taken out at once: at most one for so many filters
_NAMED = 3


def partial_probes(sums: LayerSums) -> BankCounts:
    """Take the scores of other concepts out of LDA, and score what is left.

    Args:
        sums: The layer.

    Returns:
        Val pixels of LDA itself.
    """
    study = sums.study
    weight = solve(sums.covariance, sums.difference)
    together = weight @ sums.difference.T
    correlation = correlations(together)
    most = max(1, int((sums.scaled.scale > 0).sum()) // _MOST)
    out = [most_costly(correlation, number) for number in (most, 1)]
    banks, left = zip(
        *(partial_directions(weight, together, others) for others in out), strict=True
    )
    counts = BankCounts(**sums.job.stages.once("closed-form-partial", lambda: _score(sums, *banks)))
    real, partial, without = (_only(counts, bank) for bank in range(3))
    rows = _rows(sums, (real, partial, without), correlation, out[0], left[0])
    study.write(rows, "partial")
    _draw(sums, rows, (correlation**2).numpy())
    _tell(sums, rows, SetIouIntervals(study.segmented.beside(partial, real)).means())
    return real


def _score(sums: LayerSums, *banks: Float64[Tensor, "C K"]) -> Tensors:
    """Score LDA and what is left of it on val, with thresholds chosen on train images."""
    weight = torch.stack([sums.full.weight, *(unit_spread(sums.scaled, bank) for bank in banks)])
    bias, _ = calibrated_biases(sums.job, weight, sums.biases(weight))
    maps = bank_maps(sums.job, weight, bias)
    return vars(val_counts(sums.job, maps, sums.job.raw_stream, len(weight), ap=False)[0])


def _only(counts: BankCounts, bank: int) -> BankCounts:
    return replace(
        counts, intersection=counts.intersection[bank, None], union=counts.union[bank, None]
    )


def _rows(
    sums: LayerSums,
    counts: tuple[BankCounts, BankCounts, BankCounts],
    correlation: Float64[Tensor, "C C"],
    out: Bool[Tensor, "C C"],
    distance_left: Float64[Tensor, "C"],
) -> list[PartialRow]:
    study, stream = sums.study, sums.job.setup.stream
    real, partial, without = counts
    found = SetIouIntervals(study.segmented.beside(partial, real))
    full, less, loss = map(estimates, (found.multi, found.single, found.gain))
    one_less = estimates(SetIouIntervals(study.segmented.beside(without, real)).single)
    left, left_by_one = (estimates(_share_left(sums, real, some)) for some in (partial, without))
    there = stream.index.present(stream.train_rows).astype(np.float64)
    with_other = there.T @ there / np.maximum(there.sum(0), 1)[:, None]
    names, rows = sums.job.vocabulary.names, []
    for c, concept in enumerate(sums.job.vocabulary):
        other, ok = int(correlation[c].abs().argmax()), bool(out[c].any())
        rows.append(
            PartialRow(
                concept.name,
                concept.category,
                int(found.n_images[c]),
                full[c],
                less[c],
                loss[c],
                int(out[c].sum()),
                float(distance_left[c]),
                left[c],
                names[other] if ok else "",
                float(correlation[c, other]) if ok else float("nan"),
                one_less[c],
                left_by_one[c],
                float(with_other[c, other]) if ok else float("nan"),
                _status(sums, c, ok=ok, gain=bool(np.isfinite(left[c].value))),
            )
        )
    return rows


def _share_left(sums: LayerSums, real: BankCounts, less: BankCounts) -> Interval:
    """Return the share of the gain over the best reference level; NaN where none was scored."""
    segmented = sums.study.segmented
    levels = [c for c in segmented.contenders if c.role == "reference"]
    if not levels:
        none = np.full(len(sums.job.vocabulary), np.nan)
        return Interval(none, none, none)
    level = segmented.beside(best_level(levels), real)
    return share_of_gain(segmented.beside(less, real), level)


def _status(sums: LayerSums, concept: int, *, ok: bool, gain: bool) -> str:
    if not sums.difference[concept].any():
        return "no direction"
    if not ok:
        return "no other concept"
    return "ok" if gain else NOT_ABOVE


def _draw(sums: LayerSums, rows: list[PartialRow], shared: Float64[np.ndarray, "C C"]) -> None:
    left = [(row.left_without_other, row.left) for row in rows]
    sums.study.draw(
        "partial",
        partial_figure,
        [row.name for row in rows],
        shared,
        np.array([[[one.value, one.low, one.high] for one in both] for both in left]),
    )


def _tell(sums: LayerSums, rows: list[PartialRow], means: MeanScores) -> None:
    study, some = sums.study, [row for row in rows if row.status == "ok"]
    if not some:
        return
    by_one = np.array([row.left_without_other.value for row in some])
    by_all = np.array([row.left.value for row in some])
    costly = sorted(some, key=lambda row: row.left_without_other.value)
    mostly = [row for row in costly if row.left_without_other.value < 0.5]
    named = ", ".join(
        f"{row.name} ({_part(1 - row.left_without_other.value)} with {row.other})"
        for row in mostly[:_NAMED]
    )
    study.find(
        OF_OTHERS,
        "median share of the gain over the reference level that one other concept leaves",
        float(np.median(by_one)),
        len(some),
        f"Without the score of one other concept, the one that takes most, LDA keeps "
        f"{_part(np.median(by_one))} of its gain over the best reference level in the median of "
        f"{len(some)} concepts ({middle_half(by_one, '{:.0%}')}). Another concept takes more "
        f"than half of the gain of {len(mostly)}" + (f", first {named}." if mostly else "."),
    )
    taken = int(np.median([row.taken for row in some]))
    sure = sum(row.left.low > 0 for row in some)
    study.find(
        OF_OTHERS,
        "median share of the gain over the reference level that all other concepts leave",
        float(np.median(by_all)),
        len(some),
        f"Without the scores of {taken} others at once, it keeps {_part(np.median(by_all))} in the "
        f"median ({middle_half(by_all, '{:.0%}')}; below 0 is worse than the level). The interval "
        f"of what is left is above 0 for {sure} of {len(some)} concepts. Mean set IoU falls from "
        f"{means.multi.value:.3f} to {means.single.value:.3f}, by {interval(means.gain.array())} "
        f"(95 % interval {study.over_images}). Where every pixel has a label, the others together "
        f"say where a concept is.{study.if_few}",
    )


def _part(share: float) -> str:
    """Write a share of a gain, of which no more than all can be had or lost.

    Example:
        >>> _part(-0.2), _part(0.251), _part(1.3)
        ('none', '25%', 'all')
    """
    return "none" if share <= 0 else "all" if share >= 1 else f"{share:.0%}"
