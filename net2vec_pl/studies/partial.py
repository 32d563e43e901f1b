"""How much of a concept is other concepts? LDA with the scores of others taken out."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import SetIouIntervals
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
from net2vec_pl.records.studies import PartialRow
from net2vec_pl.report.probes import best_level
from net2vec_pl.runs.stages import Tensors
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
    filters = int((sums.scaled.scale > 0).sum())
    out = [most_costly(correlation, most) for most in (max(1, filters // _MOST), 1)]
    banks, left = zip(
        *(partial_directions(weight, together, others) for others in out), strict=True
    )
    counts = BankCounts(**sums.job.stages.once("closed-form-partial", lambda: _score(sums, *banks)))
    real, partial, without = (_only(counts, bank) for bank in range(3))
    rows = _rows(sums, (real, partial, without), correlation, out[0], left[0])
    study.write(rows, "partial")
    shown = [row for row in rows if np.isfinite(row.left.value)]
    study.draw(
        "partial",
        partial_figure,
        study.job.vocabulary.names,
        (correlation**2).numpy(),
        {row.name: (row.left.value, row.left.low, row.left.high) for row in shown},
    )
    means = SetIouIntervals(study.segmented.beside(partial, real)).means()
    if out[0].any() and shown:
        _tell(sums, rows, means.gain.array(), filters)
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
    of_other = SetIouIntervals(study.segmented.beside(without, real)).single
    scores = [*map(estimates, (found.multi, found.single, found.gain, of_other))]
    left = [estimates(_share_left(sums, real, less)) for less in (partial, without)]
    there = stream.index.present(stream.train_rows).astype(np.float64)
    with_other = there.T @ there / np.maximum(there.sum(0), 1)[:, None]
    names, rows = sums.job.vocabulary.names, []
    for c, concept in enumerate(sums.job.vocabulary):
        other = int(correlation[c].abs().argmax())
        ok = bool(out[c].any())
        rows.append(
            PartialRow(
                concept.name,
                concept.category,
                int(found.n_images[c]),
                *(score[c] for score in scores[:3]),
                taken=int(out[c].sum()),
                distance_left=float(distance_left[c]),
                left=left[0][c],
                other=names[other] if ok else "",
                correlation=float(correlation[c, other]) if ok else float("nan"),
                without_other=scores[3][c],
                left_without_other=left[1][c],
                other_there=float(with_other[c, other]) if ok else float("nan"),
                status=_status(sums, c, ok=ok, gain=bool(np.isfinite(left[0][c].value))),
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
    return "ok" if gain else sums.no_gain


def _tell(
    sums: LayerSums, rows: list[PartialRow], loss: Float64[np.ndarray, "3"], filters: int
) -> None:
    study = sums.study
    some = [row for row in rows if row.status == "ok"]
    left = np.array([row.left.value for row in some])
    sure = sum(row.left.low > 0 for row in some)
    taken = int(np.median([row.taken for row in some]))
    distance = np.median([row.distance_left for row in some])
    costly = sorted(some, key=lambda row: row.left_without_other.value)[:_NAMED]
    named = "; ".join(
        f"of {row.name}'s gain, {1 - row.left_without_other.value:.0%} goes with {row.other}"
        for row in costly
    )
    study.find(
        OF_OTHERS,
        "median share of the gain over the reference level that other concepts leave",
        float(np.median(left)),
        len(some),
        f"With the scores of {taken} other concepts taken out, LDA loses {interval(loss)} of its "
        f"mean val set IoU (95 % interval {study.over_images}). Of its gain over the best "
        f"reference level, {np.median(left):.0%} is left in the median of {len(some)} concepts "
        f"({middle_half(left, '{:.0%}')}); for {sure} of them the interval of what is left is "
        f"above 0. Of the squared distance of inside and outside, {distance:.0%} is left; as many "
        f"random directions would leave {1 - taken / filters:.0%}. One other alone: {named}."
        f"{study.if_few}",
    )
