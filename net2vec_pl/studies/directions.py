"""How sure is a direction, and is a filter more than any direction? From sums alone."""

import logging

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from net2vec_pl.analysis.closed_form import (
    cosines_between,
    nearest_others,
    standardised_difference,
    unit_rows,
)
from net2vec_pl.pipeline.calibrated import calibrated_biases, val_set_iou
from net2vec_pl.probes.closed_form import furthest_apart
from net2vec_pl.records import Estimate
from net2vec_pl.records.studies import DirectionSpreadRow, RandomDirectionRow
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.study import middle_half
from net2vec_pl.studies.sums import LayerSums
from net2vec_pl.units.rotation import random_rotation

HOW_SURE = "How much does an embedding depend on the train images?"
MORE_THAN_CHANCE = "Is a single filter better than any direction?"
_RESAMPLES = 20
_DIRECTIONS = 1000
_MIDDLE = (0.025, 0.975)
_NONE = Estimate(float("nan"))
_log = logging.getLogger(__name__)


def direction_spread(sums: LayerSums) -> None:
    """Solve LDA on resamples of the folds, and compare the directions.

    Args:
        sums: The layer.
    """
    study, moments = sums.study, sums.moments
    if moments.num_folds < 2:
        _log.info("no spread of directions: the sums are of a single fold")
        return
    rng = np.random.default_rng([study.seed, 3])
    drawn = rng.integers(moments.num_folds, size=(_RESAMPLES, moments.num_folds))

    def solve() -> Tensors:
        solved = [sums.lda(moments.of(folds)).weight for folds in drawn.tolist()]
        return {"weight": torch.stack(solved)}

    weight = sums.job.stages.once("closed-form-spread", solve)["weight"].numpy()
    rows = _spread_rows(sums, weight)
    study.write(rows, "direction_spread")
    cosine = np.array([row.cosine.value for row in rows])
    same = np.array([row.same for row in rows])
    known = np.isfinite(same)
    study.find(
        HOW_SURE,
        "mean cosine between LDA from two resamples of the train images",
        float(np.nanmean(cosine)) if np.isfinite(cosine).any() else np.nan,
        int(np.isfinite(cosine).sum()),
        f"From two resamples of the train images (in {moments.num_folds} folds, {_RESAMPLES} "
        f"resamples), LDA of a concept has a cosine of {np.nanmean(cosine):.3f} in the mean "
        f"over {int(np.isfinite(cosine).sum())} concepts ({middle_half(cosine)}). Its nearest "
        f"concept is the same in {same[known].mean():.0%} of the resamples; in at least 95% of "
        f"them for {int((same[known] >= 0.95).sum())} of {int(known.sum())} concepts.",
    )


def _spread_rows(sums: LayerSums, weight: Float64[np.ndarray, "R C K"]) -> list[DirectionSpreadRow]:
    study = sums.study
    names, full = study.job.vocabulary.names, sums.full.weight.numpy()
    nearest = nearest_others(full)
    of_resamples = np.stack([nearest_others(rows) for rows in weight])
    cosines, unit = cosines_between(weight), unit_rows(weight)
    rows = []
    for c, name in enumerate(names):
        there, other = of_resamples[:, c] >= 0, int(nearest[c])
        hits = int((of_resamples[there, c] == other).sum())
        ok = other >= 0
        rows.append(
            DirectionSpreadRow(
                name,
                study.categories[c],
                _middle(cosines[:, c]),
                names[other] if ok else "",
                _middle((unit[:, c] * unit[:, other]).sum(1)) if ok else _NONE,
                hits / int(there.sum()) if ok and there.any() else float("nan"),
                int(np.isfinite(unit[:, c, 0]).sum()),
                "ok" if ok else _why_not(full, c),
            )
        )
    return rows


def _middle(drawn: Float64[np.ndarray, "n"]) -> Estimate:
    """Return the mean of what was drawn, with the middle 95 % of it."""
    some = drawn[np.isfinite(drawn)]
    if not len(some):
        return _NONE
    return Estimate(float(some.mean()), *np.quantile(some, _MIDDLE).tolist())


def _why_not(full: Float64[np.ndarray, "C K"], concept: int) -> str:
    return "no other concept has a direction" if full[concept].any() else "no direction"


def random_directions(sums: LayerSums) -> None:
    """Compare the best single filter with the best direction of a random rotation of the filters.

    Args:
        sums: The layer.
    """
    study = sums.study
    found = sums.job.stages.once("closed-form-rotated", lambda: _against_rotated(sums))
    rows = _random_rows(sums, found)
    study.write(rows, "random_directions")
    ok = [row for row in rows if np.isfinite(row.single - row.rotated)]
    values = np.array([[row.single, row.rotated, row.random_above] for row in ok]).reshape(-1, 3)
    gain = values[:, 0] - values[:, 1]
    if not len(ok):
        return
    mean = values.mean(0)
    study.find(
        MORE_THAN_CHANCE,
        "mean set IoU of the best filter less that of the best rotated direction",
        float(gain.mean()),
        len(ok),
        f"With thresholds chosen on train images, the best single filter scores {mean[0]:.3f} and "
        f"the best direction of a random rotation of the filters {mean[1]:.3f}: a difference of "
        f"{gain.mean():+.3f} over {len(ok)} concepts ({middle_half(gain, '{:+.3f}')}). In the "
        f"median "
        f"concept, {np.median(values[:, 2]):.1%} of {_DIRECTIONS} random directions set inside "
        f"and outside "
        "further apart than its best filter does.",
    )


def _random_rows(sums: LayerSums, found: Tensors) -> list[RandomDirectionRow]:
    study = sums.study
    known = sums.difference.any(1)
    number = torch.where(known, found["filter"], -1).tolist()
    single, rotated, apart, rotated_apart, above = (
        torch.where(known, values, torch.nan).tolist()
        for values in (*found["val"], *found["apart"], found["above"])
    )
    return [
        RandomDirectionRow(
            name,
            study.categories[c],
            number[c],
            single[c],
            rotated[c],
            apart[c],
            rotated_apart[c],
            above[c],
            "ok" if known[c] else "no mean inside and outside to compare",
        )
        for c, name in enumerate(study.job.vocabulary.names)
    ]


def _against_rotated(sums: LayerSums) -> Tensors:
    size, seed = sums.difference.shape[1], sums.study.seed
    rng = np.random.default_rng([seed, 4])
    kinds = torch.stack([torch.eye(size, dtype=torch.float64), random_rotation(size, rng)])
    drawn = torch.from_numpy(rng.normal(size=(_DIRECTIONS, size)))
    some = [_candidates(sums, directions) for directions in kinds]
    weight = torch.cat([weight for _, weight in some])
    bias, train = calibrated_biases(sums.job, weight, sums.biases(weight))
    concepts, each = torch.arange(len(sums.difference)), len(weight) // len(kinds)
    best = train.nan_to_num(-1.0).view(len(kinds), each, -1).argmax(1)
    row = best + each * torch.arange(len(kinds))[:, None]  # of each kind and concept
    val = val_set_iou(sums.job, weight[row, concepts], bias[row, concepts])
    numbers = torch.stack([number for number, _ in some]).flatten(0, 1)[row, concepts]
    apart = torch.stack([_apart(sums, k)[concepts, n] for k, n in zip(kinds, numbers, strict=True)])
    above = (_apart(sums, drawn) > apart[0][:, None]).double().mean(1)
    return {"val": val, "filter": numbers[0], "apart": apart, "above": above}


def _apart(sums: LayerSums, directions: Float64[Tensor, "D K"]) -> Float64[Tensor, "C D"]:
    """Return the standardised differences along directions, whichever their sign."""
    return standardised_difference(sums.scaled.covariance, sums.difference, directions).abs()


def _candidates(
    sums: LayerSums, directions: Float64[Tensor, "D K"]
) -> tuple[Int64[Tensor, "n C"], Float64[Tensor, "n C K"]]:
    """Return the directions that set inside and outside furthest apart, higher inside."""
    apart = standardised_difference(sums.scaled.covariance, sums.difference, directions)
    number, sign = furthest_apart(apart, either_side=True)
    return number.T, (directions[number] * sign[:, :, None]).transpose(0, 1)
