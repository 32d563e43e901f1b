"""What sums alone answer: how many filters, how many images, how sure, and against which chance.

Nothing is trained. All vectors are solutions of LDA, or single directions, with thresholds chosen
on train images.
"""

import logging
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64

from net2vec_pl.activations.moments import folds_of
from net2vec_pl.analysis.closed_form import (
    LearningCurve,
    fold_choices,
    forward_order,
    largest_order,
    learning_curve,
    nested_weights,
)
from net2vec_pl.analysis.subsets import (
    cumulative_share,
    filters_needed,
    mean_curve,
    mean_curves,
    needed_spread,
)
from net2vec_pl.figures.closed_form import learning_figure, selection_curves
from net2vec_pl.pipeline.calibrated import calibrated_biases, counted_folds, val_set_iou
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.probes.closed_form import unit_spread
from net2vec_pl.records.sums import ClosedFormCurveRow, ClosedFormNeededRow, LearningRow
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.directions import direction_spread, random_directions
from net2vec_pl.studies.levels import NOT_ABOVE
from net2vec_pl.studies.partial import partial_probes
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.selectivity import selectivity
from net2vec_pl.studies.study import Study, middle_half
from net2vec_pl.studies.subsets import QUESTION as HOW_MANY_FILTERS
from net2vec_pl.studies.subsets import check_sizes, sizes_for
from net2vec_pl.studies.sums import LayerSums

HOW_MANY_IMAGES = "How many train images does a concept need?"
LARGEST, FORWARD = "largest weights", "forward selection"
_LEVELS = (0.5, 0.8, 0.9)
_TOLD = 0.8  # share of the gain that findings are about
_CHOICES = 5  # of equally many folds
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClosedForm(Question):
    """Leaves curves, the spread of directions, a rotated basis, partial probes and selectivity.

    Args:
        sizes: Numbers of filters, F; None for the paper's grid.
    """

    name: ClassVar[str] = "closed_form"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    sizes: tuple[int, ...] | None = at_least(1, None)

    def check(self, setup: Setup) -> None:
        """Refuse to keep more filters than a layer has."""
        check_sizes(self.sizes, setup)

    def run(self, study: Study) -> None:
        """Answer everything from the sums of the run."""
        if not study.job.setup.options.sums_of:
            _log.info("analysis closed_form is left out: beside=[] keeps no sums of activations")
            return
        sums = LayerSums(study)
        _filters(sums, self)
        _images(sums)
        direction_spread(sums)
        random_directions(sums)
        selectivity(sums, partial_probes(sums))


def _filters(sums: LayerSums, options: ClosedForm) -> None:
    """Score LDA over ever more filters."""
    study = sums.study
    sizes = sizes_for(options.sizes, sums.difference.shape[1], "segmentation")
    curves = filter_scores(sums, sizes)
    names, categories = study.job.vocabulary.names, study.categories
    study.write(
        [
            ClosedFormCurveRow(name, categories[c], size, *curves[:, f, c].tolist())
            for c, name in enumerate(names)
            for f, size in enumerate(sizes)
        ],
        "closed_form_curves",
    )
    found = [filters_needed(scores, sizes, _LEVELS, sums.level) for scores in curves]
    needed = np.stack([one.needed for one in found])
    _write_needed(sums, curves[0, -1], needed)
    by_choice = dict(zip((LARGEST, FORWARD), zip(curves, needed, strict=True), strict=True))
    shown = (FORWARD, LARGEST)
    counted = np.isfinite(needed).any()
    study.draw(
        "closed_form_curves",
        selection_curves,
        sizes,
        {kind: mean_curve(by_choice[kind][0]).mean for kind in shown},
        _mean_level(sums),
        {kind: cumulative_share(by_choice[kind][1], sizes) for kind in shown if counted},
        _LEVELS,
    )
    _tell_filters(sums, needed, found[0].n_excluded)


def filter_scores(sums: LayerSums, sizes: list[int]) -> Float64[np.ndarray, "2 F C"]:
    """Return val set IoU of LDA over F filters: of largest weight, and by forward selection.

    Args:
        sums: The layer.
        sizes: Numbers of filters, the last all of them.
    """
    covariance, difference = sums.covariance, sums.difference

    def score() -> Tensors:
        orders = (
            largest_order(sums.full.weight, sums.spread),
            forward_order(covariance, difference),
        )
        some = [nested_weights(covariance, difference, order, sizes[:-1]) for order in orders]
        weight = torch.cat([*some, sums.full.weight[None]])
        weight = torch.stack([unit_spread(sums.scaled, rows) for rows in weight])
        bias, train = calibrated_biases(sums.job, weight, sums.biases(weight))
        return {"train": train, "val": val_set_iou(sums.job, weight, bias)}

    digest = blake2b(repr(sizes).encode(), digest_size=4).hexdigest()
    val = sums.job.stages.once(f"closed-form-filters-{digest}", score)["val"].numpy()
    less, last = len(sizes) - 1, val[-1:]
    return np.stack([np.vstack([val[:less], last]), np.vstack([val[less : 2 * less], last])])


def _write_needed(
    sums: LayerSums, full: Float64[np.ndarray, "C"], needed: Float64[np.ndarray, "2 L C"]
) -> None:
    study = sums.study

    def by_level(choice: int, c: int) -> dict[str, float]:
        return {f"{level:.0%}": float(needed[choice, i, c]) for i, level in enumerate(_LEVELS)}

    study.write(
        [
            ClosedFormNeededRow(
                name,
                study.categories[c],
                float(sums.level[c]),
                float(full[c]),
                by_level(0, c),
                by_level(1, c),
                "ok" if np.isfinite(needed[0, 0, c]) else NOT_ABOVE,
            )
            for c, name in enumerate(study.job.vocabulary.names)
        ],
        "closed_form_needed",
    )


def _tell_filters(sums: LayerSums, needed: Float64[np.ndarray, "2 L C"], excluded: int) -> None:
    at = _LEVELS.index(_TOLD)
    largest, forward = (needed_spread(one) for one in needed)
    n = largest.n_concepts
    sums.study.find(
        HOW_MANY_FILTERS,
        f"median filters for {_TOLD:.0%} of the gain, LDA by {FORWARD}",
        float(forward.median[at]),
        n,
        f"For {_TOLD:.0%} of what LDA gains over {sums.levels.name}, the median over {n} "
        f"concepts is {forward.text(at)} filters chosen by {FORWARD}, or {largest.text(at)} of "
        f"the {LARGEST}." + (f" Not above the level and left out: {excluded}." if excluded else ""),
    )


def _mean_level(sums: LayerSums) -> float:
    known = sums.level[np.isfinite(sums.level)]
    return float(known.mean()) if len(known) else float("nan")


def _images(sums: LayerSums) -> None:
    """Score LDA from ever more train images."""
    study = sums.study
    if len(sums.folds) < 2:
        _log.info("no learning curve: the sums are of a single fold")
        return
    scores, choices = image_scores(sums)
    curve, size = learning_curve(scores, choices), _images_of(sums, choices)
    study.write(
        [
            LearningRow(
                name,
                study.categories[c],
                int(folds),
                float(size.share[s]),
                float(size.own[s, c]),
                int(curve.choices[s]),
                float(curve.mean[s, c]),
                float(curve.spread[s, c]),
            )
            for c, name in enumerate(study.job.vocabulary.names)
            for s, folds in enumerate(curve.folds)
        ],
        "learning_curve",
    )
    by_category = mean_curves(curve.mean, study.categories)
    study.draw(
        "learning_curve",
        learning_figure,
        size.share,
        np.stack([mean_curve(curve.mean).mean, curve.of_mean]),
        {name: one.mean for name, one in by_category.items()},
        _mean_level(sums),
    )
    _tell_images(sums, curve, size)


@dataclass(frozen=True)
class _Size:
    """How many train images a number of folds has, the mean over choices.

    Args:
        share: Of all train images.
        own: Of each concept, about: images with unknown pixels count in part.
    """

    share: Float64[np.ndarray, "S"]
    own: Float64[np.ndarray, "S C"]


def _images_of(sums: LayerSums, choices: list[tuple[int, ...]]) -> _Size:
    cells = np.prod(sums.job.backbone.shape[1:])
    images, own = (v.numpy() / cells for v in (sums.moments.count, sums.moments.own_count))
    chosen = np.stack(
        [np.append(images[some].sum(), own[some].sum(0)) for some in map(list, choices)]
    )
    mean = learning_curve(chosen, choices).mean
    return _Size(mean[:, 0] / images.sum(), mean[:, 1:])


def image_scores(sums: LayerSums) -> tuple[Float64[np.ndarray, "B C"], list[tuple[int, ...]]]:
    """Return val set IoU of LDA from some folds, and these.

    Thresholds are chosen on the images of the same folds; a concept that none of these images has
    predicts nothing. The scale of the filters is that of all train images.
    """
    job, moments = sums.job, sums.moments
    rng = np.random.default_rng([sums.study.seed, 2])
    choices = fold_choices(sums.folds, _CHOICES, rng)

    def score() -> Tensors:
        solved = [sums.lda(moments.of(choice)) for choice in choices]
        weight = torch.stack([one.weight for one in solved])
        reader, rows = job.setup.reader, job.setup.stream.train_rows
        fold = folds_of(rows, len(reader), moments.num_folds, reader.groups)
        counted = counted_folds(fold, choices)
        start = torch.stack([one.bias for one in solved])
        bias, _ = calibrated_biases(job, weight, start, counted)
        return {"val": val_set_iou(job, weight, bias)}

    return job.stages.once("closed-form-images", score)["val"].numpy(), choices


def _tell_images(sums: LayerSums, curve: LearningCurve, size: _Size) -> None:
    total = len(sums.job.setup.stream.train_rows)
    found = filters_needed(curve.mean, curve.folds.tolist(), (_TOLD,), sums.level)
    reached = np.searchsorted(curve.folds, found.needed[0])  # past the end where there is none
    (counted,) = np.isfinite(found.needed[0]).nonzero()
    if not len(counted):
        return
    share, own = size.share[reached[counted]], size.own[reached[counted], counted]
    rising = mean_curve(curve.mean).mean
    sums.study.find(
        HOW_MANY_IMAGES,
        f"median share of the train images for {_TOLD:.0%} of the gain, LDA",
        float(np.median(share)),
        len(counted),
        f"For {_TOLD:.0%} of what LDA gains over {sums.levels.name} with all {total} train images, "
        f"the median over {len(counted)} concepts is {np.median(share):.0%} of them "
        f"({middle_half(share, '{:.0%}')}), or about {np.median(own):.0f} images of the concept "
        f"itself ({middle_half(own, '{:.0f}')}), out of {sums.in_folds}. "
        f"Mean set IoU is {rising[0]:.3f} with {size.share[0]:.0%} of the images, "
        f"{rising[-2]:.3f} with {size.share[-2]:.0%} and {rising[-1]:.3f} with all."
        + (f" Not above the level and left out: {found.n_excluded}." if found.n_excluded else "")
        + sums.if_few,
    )
