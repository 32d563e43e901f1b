"""How many filters does a concept need? Banks of the F largest weights, trained anew."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from net2vec_pl.analysis.subsets import (
    LEVELS,
    FiltersNeeded,
    Sparsest,
    cumulative_share,
    default_sizes,
    filters_needed,
    mean_curve,
    mean_curves,
    needed_spread,
    sparsest,
    top_filters,
)
from net2vec_pl.errors import ConfigError
from net2vec_pl.figures.subsets import cumulative_filters, filter_curve
from net2vec_pl.pipeline.classification import train_classifiers
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.probes import ConceptBank
from net2vec_pl.protocol import NET2VEC
from net2vec_pl.records.studies import NeededRow, PenaltyRow, ReachedRow, SubsetRow
from net2vec_pl.studies.levels import NOT_ABOVE, Levels, reference_levels
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, by_category
from net2vec_pl.training import ClassificationBank, mean_slopes

_log = logging.getLogger(__name__)
QUESTION = "How many filters does a concept need?"
_PAPERS_LEVEL = 0.8


@dataclass(frozen=True)
class Subsets(Question):
    """Leaves curves over F, the filters needed, and the path of an L1 penalty.

    Args:
        sizes: Numbers of filters to train with, F; None for the paper's grid.
        penalties: Strengths of the L1 penalty.
    """

    name: ClassVar[str] = "subsets"
    sizes: tuple[int, ...] | None = at_least(1, None)
    penalties: int = at_least(0, 4)

    def check(self, setup: Setup) -> None:
        """Refuse to keep more filters than a layer has."""
        check_sizes(self.sizes, setup)

    def run(self, study: Study) -> None:
        """Train with ever fewer filters, for every target there is."""
        if study.segmentation is not None:
            _segment(study, self)
        if study.classification is not None:
            _classify(study, self)


def check_sizes(sizes: Sequence[int] | None, setup: Setup) -> None:
    """Refuse numbers of filters that a layer does not have.

    Args:
        sizes: Those asked for, if any.
        setup: The layers.

    Raises:
        ConfigError: If one is above the number of filters.
    """
    largest = max(sizes or [1])
    for backbone in setup.backbones:
        if largest > backbone.shape[0]:
            raise ConfigError(
                f"analysis.sizes={list(sizes or ())}: {backbone.layer} has "
                f"{backbone.shape[0]} filters, {largest} cannot be kept."
            )


def _segment(study: Study, options: Subsets) -> None:
    job, segmented = study.job, study.segmented
    weight = segmented.weight
    sizes = sizes_for(options.sizes, weight.shape[1], "segmentation")
    kept = torch.from_numpy(top_filters(weight.double().numpy(), sizes))
    bias = segmented.probe.bank.bias
    first = None if bias is None else bias.detach().cpu()[: len(weight)]
    full = segmented.scores[0].val.double()
    retrained = torch.stack([*train_subsets(job, kept[:-1], sizes), full])
    masked = _scored(job, f"masked-{_digest(sizes)}", weight * kept, first)
    names, levels = job.vocabulary.names, reference_levels(study)
    needed = _curves(
        study, names, study.categories, sizes, retrained.numpy(), masked.numpy(), "", levels.val
    )
    _tell(study, needed, min(sizes), "", levels.name)
    protocol = job.setup.options.protocol
    if not options.penalties:
        return
    constant = protocol.optimizer == "sgd" and protocol.lr_decay == "none"
    if protocol.probe == NET2VEC and constant:
        _l1(study, levels, options.penalties)
    else:
        _log.info("no L1 path: its proximal steps belong to SGD at a constant rate")


def sizes_for(sizes: Sequence[int] | None, num_filters: int, target: str) -> list[int]:
    """Return the numbers of filters to try; the last is all of them.

    Args:
        sizes: Those asked for; the paper's if there are none.
        num_filters: K, the filters of the layer.
        target: ``segmentation`` or ``classification``.
    """
    asked = sorted({*(sizes or ())}) or default_sizes(num_filters, target)
    return [*(size for size in asked if size != num_filters), num_filters]


def train_subsets(
    job: LayerJob, kept: Bool[Tensor, "F C K"], sizes: Sequence[int]
) -> list[Float64[Tensor, "C"]]:
    """Train every concept with every subset of its filters at once, and score on val.

    Each row starts from the same vector as the full bank's and takes the same steps, under a mask.

    Args:
        job: The layer.
        kept: The filters of each row.
        sizes: Name the stage.
    """
    if not len(kept):
        return []
    start = job.initial_rows(job.setup.seeds[0])
    rows = start.repeat(len(kept), 1)
    bank = ConceptBank(rows, bias=job.setup.options.protocol.bias, kept=kept.flatten(0, 1))
    probe = job.trained(f"subsets-{_digest(sizes)}", bank)
    counts = job.scored(f"subset-scores-{_digest(sizes)}", probe)
    return list(counts.set_iou(len(job.vocabulary)))


def _scored(
    job: LayerJob, name: str, weight: Float[Tensor, "B C K"], bias: Float[Tensor, "C"] | None
) -> Float64[Tensor, "B C"]:
    """Score banks that are not trained."""
    probe = job.probe(ConceptBank(weight.flatten(0, 1), bias=bias is not None))
    if bias is not None and probe.bank.bias is not None:
        with torch.no_grad():
            probe.bank.bias.copy_(bias.repeat(len(weight)))
    return job.scored(name, probe).set_iou(len(job.vocabulary))


def _digest(value: Sequence[float | int]) -> str:
    return blake2b(repr(list(value)).encode(), digest_size=4).hexdigest()


def _classify(study: Study, options: Subsets) -> None:
    classified = study.classified
    images, weight = classified.images, classified.bank.weight[0]
    sizes = sizes_for(options.sizes, weight.shape[1], "classification")
    kept = torch.from_numpy(top_filters(weight.nan_to_num(0).double().numpy(), sizes))
    bank = train_classifiers(
        study.job,
        images,
        f"classifier-subsets-{_digest(sizes)}",
        seed=study.job.setup.seeds[0],
        mask=kept[:-1],
    )
    full = classified.scores.accuracy[:1]
    retrained = torch.cat([images.score(bank).accuracy, full]) if len(sizes) > 1 else full
    same = ClassificationBank(weight * kept, classified.bank.bias[:1].expand(len(kept), -1))
    masked = images.score(same).accuracy
    names, categories = images.vocabulary.names, [c.category for c in images.vocabulary]
    suffix = "_classification"
    chance = np.full(len(names), 0.5)
    needed = _curves(
        study, names, categories, sizes, retrained.numpy(), masked.numpy(), suffix, chance
    )
    _tell(study, needed, min(sizes), suffix, "chance")


def _curves(
    study: Study,
    names: Sequence[str],
    categories: Sequence[str],
    sizes: Sequence[int],
    retrained: Float64[np.ndarray, "F C"],
    masked: Float64[np.ndarray, "F C"],
    suffix: str,
    floor: Float64[np.ndarray, "C"],
) -> FiltersNeeded:
    """Write and draw the scores over F, and the filters needed to be above a floor."""
    study.write(
        [
            SubsetRow(name, categories[c], size, float(retrained[f, c]), float(masked[f, c]))
            for c, name in enumerate(names)
            for f, size in enumerate(sizes)
        ],
        f"subsets{suffix}",
    )
    whole, only_masked = mean_curve(retrained), mean_curve(masked)
    by_category = mean_curves(retrained, categories)
    study.draw(
        f"filter_curve{suffix}",
        filter_curve,
        sizes,
        np.stack([whole.mean, whole.error]),
        np.stack([only_masked.mean, only_masked.error]),
        {name: np.stack([curve.mean, curve.error]) for name, curve in by_category.items()},
        score="balanced accuracy on val" if suffix else "set IoU on val",
        floor=float(np.nanmean(floor)) if np.isfinite(floor).any() else np.nan,
        floor_name="chance" if suffix else "reference level",
    )
    found = filters_needed(retrained, sizes, LEVELS, floor)
    share = cumulative_share(found.needed, sizes)
    study.draw(f"filters_needed{suffix}", cumulative_filters, sizes, share, LEVELS)
    rows = _needed_rows(names, categories, floor, retrained[-1], found.needed)
    study.write(rows, f"filters_needed{suffix}")
    study.write(_share_rows(categories, found.needed, sizes), f"cumulative_filters{suffix}")
    return found


def _needed_rows(
    names: Sequence[str],
    categories: Sequence[str],
    floor: Float64[np.ndarray, "C"],
    full: Float64[np.ndarray, "C"],
    needed: Float64[np.ndarray, "L C"],
) -> list[NeededRow]:
    return [
        NeededRow(
            name,
            categories[c],
            float(floor[c]),
            float(full[c]),
            {f"{level:.0%}": float(needed[i, c]) for i, level in enumerate(LEVELS)},
            "ok" if np.isfinite(needed[0, c]) else NOT_ABOVE,
        )
        for c, name in enumerate(names)
    ]


def _share_rows(
    categories: Sequence[str], needed: Float64[np.ndarray, "L C"], sizes: Sequence[int]
) -> list[ReachedRow]:
    rows = []
    for category, among in by_category(categories).items():
        share = cumulative_share(needed[:, among], sizes)
        n = int(np.isfinite(needed[0, among]).sum())
        rows += [
            ReachedRow(
                category,
                size,
                n,
                {f"{level:.0%}": float(share[i, f]) for i, level in enumerate(LEVELS)},
            )
            for f, size in enumerate(sizes)
        ]
    return rows


def _tell(study: Study, found: FiltersNeeded, least: int, suffix: str, over: str) -> None:
    needed, excluded = found.needed, found.n_excluded
    at = LEVELS.index(_PAPERS_LEVEL)
    spread = needed_spread(needed)
    n, target = spread.n_concepts, "classify" if suffix else "segment"
    left_out = f" Not above {over} and left out: {excluded}." if excluded else ""
    if left_out and not suffix and study.job.setup.options.protocol.calibrate == "none":
        left_out += (
            " All are at the common threshold; analysis closed_form asks the same with thresholds "
            "chosen on train images."
        )
    if not n:
        study.find(
            QUESTION,
            f"concepts above {over}{suffix}",
            0.0,
            needed.shape[1],
            f"No concept can be asked how many filters it needs to {target} it.{left_out}",
        )
        return
    finite = needed[at][np.isfinite(needed[at])]
    more = (finite > least).mean()
    study.find(
        QUESTION,
        f"median filters for 80 % of the gain{suffix}",
        float(spread.median[at]),
        n,
        f"To {target} with {_PAPERS_LEVEL:.0%} of what all filters gain over {over}, the median "
        f"over {n} concepts is {spread.text(at)} filters; {more:.0%} need more than {least}."
        f"{left_out}",
    )


def _l1(study: Study, levels: Levels, penalties: int) -> None:
    """Train under L1 penalties of several strengths, from one that leaves nothing downwards."""
    job = study.job
    strengths = 0.4 ** np.arange(1, penalties + 1)
    weight, scores = train_l1(job, strengths.tolist())
    nonzero = (weight != 0).sum(2).numpy()
    train, val = (scores[split].numpy() for split in ("train", "val"))
    full = study.segmented.scores[0]
    gain = full.val.double().numpy() - levels.val
    asked = np.where(gain > 0, full.train.double().numpy(), np.nan)
    found = sparsest(nonzero, train, asked, _PAPERS_LEVEL, levels.train)
    study.write(
        [
            PenaltyRow(
                name,
                study.categories[c],
                float(strength),
                int(nonzero[s, c]),
                float(train[s, c]),
                float(val[s, c]),
                bool(found.point[c] == s),
            )
            for c, name in enumerate(job.vocabulary.names)
            for s, strength in enumerate(strengths)
        ],
        "l1_path",
    )
    _tell_l1(study, levels, found, val, gain)


def _tell_l1(
    study: Study,
    levels: Levels,
    found: Sparsest,
    val: Float64[np.ndarray, "P C"],
    gain: Float64[np.ndarray, "C"],
) -> None:
    """Say how many concepts reach 80 % of their gain on the path, and with how many filters."""
    (counted,) = np.nonzero(~np.isnan(found.filters))
    (reached,) = np.nonzero(found.point >= 0)
    if not len(counted):
        return
    median = np.median(found.filters[counted])
    few = f"{median:.0f}"
    if np.isinf(median):  # each may need more than its path has, so the median may
        few = f"more than {np.median(found.at_least[counted]):.0f}"
    left_out = len(gain) - len(counted)
    on_val = (val[found.point[reached], reached] - levels.val[reached]) / gain[reached]
    study.find(
        QUESTION,
        "concepts that reach 80 % of the gain under an L1 penalty",
        float(len(reached)),
        len(counted),
        f"Under an L1 penalty, chosen for each concept on train images, {len(reached)} of "
        f"{len(counted)} concepts reach {_PAPERS_LEVEL:.0%} of what they gain over {levels.name} "
        f"there without it. The median over all {len(counted)} is {few} filters."
        + (
            f" On val those that reach it have {np.median(on_val):.0%} of the gain, in the median."
            if len(reached)
            else ""
        )
        + (f" Not above it on train or on val and left out: {left_out}." if left_out else ""),
    )


def train_l1(
    job: LayerJob, strengths: Sequence[float]
) -> tuple[Float[Tensor, "B C K"], dict[str, Float64[Tensor, "B C"]]]:
    """Train banks from zero under L1 penalties, and score them on train and val.

    A strength of 1 is the least penalty under which no weight leaves zero if all images make one
    step: the largest slope of the loss at zero, of each concept.

    Args:
        job: The layer.
        strengths: Strengths of the penalties, in (0, 1].
    """
    num_filters = job.backbone.shape[0]
    probe = job.probe(ConceptBank(torch.zeros(len(job.vocabulary), num_filters)))
    probe.to(job.setup.device)
    stream = job.activations.stream
    slopes = job.stages.once(
        "l1-slopes",
        lambda: {"slopes": mean_slopes(probe, stream.rows_dataloader(stream.pair_rows["train"]))},
    )["slopes"]
    largest = slopes.abs().amax(1)
    protocol = job.setup.options.protocol
    # With momentum a step is longer by 1 / (1 - momentum), and so is its shrinkage.
    pull = protocol.lr_for(job.setup.reader.mask_size) / (1 - protocol.momentum)
    shrink = torch.cat([pull * strength * largest for strength in strengths])
    rows = torch.zeros(len(shrink), num_filters)
    bank = ConceptBank(rows, bias=protocol.bias, shrink=shrink)
    trained = job.trained(f"l1-{_digest(strengths)}", bank)
    weight = trained.bank.weight.detach().cpu().view(len(strengths), -1, num_filters)
    scores = {
        split: job.scored(f"l1-scores-{split}-{_digest(strengths)}", trained, split)
        for split in ("train", "val")
    }
    return weight, {split: counts.set_iou(len(job.vocabulary)) for split, counts in scores.items()}
