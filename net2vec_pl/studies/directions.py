"""How sure is a direction, and is a filter more than any direction? From sums alone."""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from net2vec_pl.analysis.chance import p_text, p_value
from net2vec_pl.analysis.closed_form import (
    Neighbours,
    direction_agreement,
    neighbours,
    standardised_difference,
)
from net2vec_pl.pipeline.calibrated import calibrated_biases, val_set_iou
from net2vec_pl.probes.closed_form import furthest_apart
from net2vec_pl.records.sums import DirectionSpreadRow, RandomDirectionRow
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.study import estimates, middle_half
from net2vec_pl.studies.sums import LayerSums
from net2vec_pl.units.rotation import random_rotation

HOW_SURE = "How much does an embedding depend on the train images?"
MORE_THAN_CHANCE = "Is a single filter better than any direction?"
_ROTATIONS = 20
_CANDIDATES = 2  # of every basis: all of them are scored in one pass
_DIRECTIONS = 1000
_log = logging.getLogger(__name__)


def direction_spread(sums: LayerSums) -> None:
    """Solve LDA without each fold, and estimate how far directions depend on the train images.

    Args:
        sums: The layer.
    """
    study, folds = sums.study, sums.folds
    if len(folds) < 2:
        _log.info("no spread of directions: the sums are of a single fold")
        return

    def solve() -> Tensors:
        others = [[fold for fold in folds if fold != left] for left in folds]
        solved = [sums.lda(sums.moments.of(some)).weight for some in others]
        return {"weight": torch.stack(solved)}

    without = sums.job.stages.once("closed-form-without", solve)["weight"].numpy()
    images = sums.moments.own_count[folds].numpy()
    found = neighbours(sums.full.weight.numpy(), without, images)
    cosine = direction_agreement(without)
    study.write(_spread_rows(sums, cosine, found, (images > 0).sum(0)), "direction_spread")
    (known,), (asked,) = np.isfinite(cosine).nonzero(), np.isfinite(found.lead.low).nonzero()
    if not len(known):
        return
    sure = int((found.lead.low[asked] > 0).sum())
    study.find(
        HOW_SURE,
        "mean cosine between LDA from two sets of train images of this size",
        float(cosine[known].mean()),
        len(known),
        f"LDA of a concept from these train images and from as many others would have a cosine of "
        f"{cosine[known].mean():.3f} in the mean over {len(known)} concepts "
        f"({middle_half(cosine)}), as estimated by leaving out each of {sums.in_folds}. For {sure} "
        f"of {len(asked)} concepts the nearest other concept is surely nearer than the next "
        f"(95% interval of the difference in cosine).{sums.if_few}",
    )


def _spread_rows(
    sums: LayerSums,
    cosine: Float64[np.ndarray, "C"],
    found: Neighbours,
    folds: Int64[np.ndarray, "C"],
) -> list[DirectionSpreadRow]:
    names, full = sums.study.job.vocabulary.names, sums.full.weight.numpy()
    with_nearest, lead = estimates(found.cosine), estimates(found.lead)

    def named(number: int) -> str:
        return names[number] if number >= 0 else ""

    return [
        DirectionSpreadRow(
            name,
            sums.study.categories[c],
            float(cosine[c]),
            named(int(found.nearest[c])),
            with_nearest[c],
            named(int(found.following[c])),
            lead[c],
            int(folds[c]),
            "ok" if found.nearest[c] >= 0 else _why_not(full, c),
        )
        for c, name in enumerate(names)
    ]


def _why_not(full: Float64[np.ndarray, "C K"], concept: int) -> str:
    return "no other concept has a direction" if full[concept].any() else "no direction"


def random_directions(sums: LayerSums) -> None:
    """Compare the best single filter with the best direction of random rotations of the filters.

    Args:
        sums: The layer.
    """
    study = sums.study
    found = sums.job.stages.once("closed-form-rotated", lambda: _against_rotated(sums))
    rows = _random_rows(sums, found)
    study.write(rows, "random_directions")
    known = np.isfinite(found["val"].numpy()).all(0) & sums.difference.any(1).numpy()
    if not known.any():
        return
    val = found["val"].numpy()[:, known]
    gain, means = val[0] - val[1:].mean(0), val.mean(1)
    p = p_value(means[0], means[1:])
    above = found["above"].numpy()[known]
    study.find(
        MORE_THAN_CHANCE,
        "mean set IoU of the best filter less that of the best rotated direction",
        float(gain.mean()),
        int(known.sum()),
        f"With thresholds chosen on train images, the best single filter scores {means[0]:.3f} and "
        f"the best direction of a random rotation of the filters {means[1:].mean():.3f}, the mean "
        f"over {_ROTATIONS} rotations ({means[1:].min():.3f} to {means[1:].max():.3f}; the filters "
        f"against them: {p_text(p, _ROTATIONS)}). That is a difference of {gain.mean():+.3f} over "
        f"{int(known.sum())} concepts ({middle_half(gain, '{:+.3f}')}). In the median concept, "
        f"{np.median(above):.1%} of {_DIRECTIONS} random directions set inside and outside further "
        "apart than its best filter does.",
    )


def _random_rows(sums: LayerSums, found: Tensors) -> list[RandomDirectionRow]:
    known, val = sums.difference.any(1).numpy(), found["val"].numpy()
    number = np.where(known, found["filter"].numpy(), -1).tolist()
    p = np.array([p_value(of_concept[0], of_concept[1:]) for of_concept in val.T])
    apart, rotated_apart = found["apart"][0].numpy(), found["apart"][1:].mean(0).numpy()
    rotated, spread = val[1:].mean(0), val[1:].std(0, ddof=1)
    values = (val[0], rotated, spread, p, apart, rotated_apart, found["above"].numpy())
    columns = [np.where(known, v, np.nan).tolist() for v in values]
    return [
        RandomDirectionRow(
            name,
            sums.study.categories[c],
            number[c],
            single=columns[0][c],
            rotated=columns[1][c],
            spread=columns[2][c],
            p=columns[3][c],
            apart=columns[4][c],
            rotated_apart=columns[5][c],
            random_above=columns[6][c],
            status="ok" if known[c] else "no mean inside and outside to compare",
        )
        for c, name in enumerate(sums.study.job.vocabulary.names)
    ]


def _against_rotated(sums: LayerSums) -> Tensors:
    """Score the best filter, and the best direction of every rotation."""
    size, concepts = sums.difference.shape[1], torch.arange(len(sums.difference))
    rng = np.random.default_rng([sums.study.seed, 4])
    drawn = torch.from_numpy(rng.normal(size=(_DIRECTIONS, size)))
    some = [_candidates(sums, torch.eye(size, dtype=torch.float64))]
    some += [_candidates(sums, random_rotation(size, rng)) for _ in range(_ROTATIONS)]
    weight = torch.stack([one.weight for one in some])
    kinds, each = weight.shape[:2]
    bias, train = calibrated_biases(
        sums.job, weight.flatten(0, 1), sums.biases(weight.flatten(0, 1))
    )
    best = train.nan_to_num(-1.0).view(kinds, each, -1).argmax(1)  # of each kind and concept
    kind = torch.arange(kinds)[:, None]
    chosen = weight[kind, best, concepts], bias.view(kinds, each, -1)[kind, best, concepts]
    apart = torch.stack([one.apart for one in some])[kind, best, concepts]
    return {
        "val": val_set_iou(sums.job, *chosen),
        "filter": some[0].number[best[0], concepts],
        "apart": apart,
        "above": (_apart(sums, drawn).abs() > apart[0][:, None]).double().mean(1),
    }


def _apart(sums: LayerSums, directions: Float64[Tensor, "D K"]) -> Float64[Tensor, "C D"]:
    """Return the standardised differences along directions."""
    return standardised_difference(sums.scaled.covariance, sums.difference, directions)


@dataclass(frozen=True)
class _Candidates:
    """The directions that set inside and outside furthest apart, higher inside."""

    number: Int64[Tensor, "n C"]
    weight: Float64[Tensor, "n C K"]
    apart: Float64[Tensor, "n C"]


def _candidates(sums: LayerSums, directions: Float64[Tensor, "D K"]) -> _Candidates:
    apart = _apart(sums, directions)
    number, sign = (found[:, :_CANDIDATES] for found in furthest_apart(apart, either_side=True))
    return _Candidates(
        number.T,
        (directions[number] * sign[:, :, None]).transpose(0, 1),
        (apart.gather(1, number) * sign).T,
    )
