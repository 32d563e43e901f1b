"""What a score is worth: other probes and reference levels beside the run's own probe.

Closed forms, single filters with thresholds of their own, and what needs no concept or no network
at all are calibrated on train images and scored on the val images of the run's own probe.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.data import ConceptBatch
from net2vec_pl.pipeline.calibrated import (
    Calibrated,
    Group,
    bank_maps,
    thresholds_of,
    val_counts,
)
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import SingleFilterBaseline
from net2vec_pl.probes.closed_form import (
    Scaled,
    Solution,
    furthest_apart,
    lda,
    pattern,
    solution,
    standardised,
)
from net2vec_pl.probes.moments import Moments
from net2vec_pl.report.probes import Contender
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.training import SegmentationProbe
from net2vec_pl.training.scoring import Maps
from net2vec_pl.training.wide import WideCounts, WideScores

EVERYTHING, POSITION, RANDOM = "everything", "position", "random direction"
REFERENCES = (EVERYTHING, POSITION, RANDOM)
SINGLE, SINGLE_TUNED = "single filter", "single filter, calibrated"
_WIDE_IMAGES = 2000  # val images of scores over all that are annotated


def contenders(
    job: LayerJob,
    baseline: SingleFilterBaseline,
    single: BankCounts,
    probe: SegmentationProbe,
    train: Float64[Tensor, "C"],
) -> tuple[list[Contender], list[Calibrated]]:
    """Score everything that stands beside the run's own probe, and that itself first.

    Args:
        job: The layer.
        baseline: Set IoU of every filter on every concept.
        single: Val pixels of the best single filter of each concept, at the common threshold.
        probe: The run's own probe; its first bank is taken.
        train: Set IoU of that bank on train.

    Returns:
        All of them; and what gives their logits, but for single filters at the common threshold.
    """
    groups = _groups(job, baseline, probe)

    def score() -> Tensors:
        parts = [_scored(job, group, probe) for group in groups]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    stage = "-".join(["worth", *job.setup.options.beside])  # no part of what a layer depends on
    found = job.stages.once(stage, score)
    names = [name for group in groups for name in group.names]
    pairs = single.image, single.concept
    none = torch.full((len(job.vocabulary),), torch.nan, dtype=torch.float64)
    table = [
        Contender(
            name,
            "reference" if name in REFERENCES else "probe",
            BankCounts(*pairs, found["intersection"][row, None], found["union"][row, None]),
            *(found[key][row] for key in ("train", "ap", "annotated", "argmax", "cosine")),
        )
        for row, name in enumerate(names)
    ]
    table[0] = replace(table[0], train=train.double())
    chosen = baseline.best_filter()
    of_filter = baseline.train[torch.arange(len(chosen)), chosen].double()
    of_filter[chosen < 0] = torch.nan
    own = torch.nn.functional.one_hot(chosen.clamp(min=0), baseline.train.shape[1])
    cosine = _cosine(own.double()[None], _own_weight(job, probe))[0]
    cosine[chosen < 0] = torch.nan
    table.append(Contender(SINGLE, "probe", single, of_filter, none, none, none, cosine))
    sizes = [len(group.names) for group in groups]
    parts = (torch.split(found[key], sizes) for key in ("bank", "cut"))
    return table, [Calibrated(*one) for one in zip(groups, *parts, strict=True)]


def alone(job: LayerJob, probe: SegmentationProbe) -> Calibrated:
    """Return what gives the logits of the run's own probe, at its own thresholds."""
    none = torch.zeros(1, len(job.vocabulary), dtype=torch.int64)
    return Calibrated(_own(job, probe, [job.setup.options.protocol.name]), none, none.double())


def patterns(job: LayerJob, weight: Float64[Tensor, "C K"]) -> Float64[Tensor, "C K"] | None:
    """Return what filters do where each concept's score is high; None where a run has no sums.

    They are the patterns of the run's own embeddings; where these read bits, of the discriminant
    that reads roots, for sums are of those.

    Args:
        job: The layer.
        weight: Embeddings of the run's own probe.
    """
    options = job.setup.options
    if not options.beside:
        return None
    scaled = Scaled(job.moments(job.beside_reads).sums, job.beside_scale)
    if options.protocol.input != job.beside_reads:
        weight = lda(scaled, options.protocol.shrinkage)
    return pattern(scaled, weight)


def _groups(job: LayerJob, baseline: SingleFilterBaseline, probe: SegmentationProbe) -> list[Group]:
    protocol = job.setup.options.protocol
    names = [protocol.name]
    if protocol.calibrate == "none":
        names.append(f"{protocol.name}, calibrated")
    moments = job.moments(job.beside_reads)
    others = _in_closed_form(job, baseline, moments), _without_a_network(job, moments)
    return [_own(job, probe, names), *others]


def _own(job: LayerJob, probe: SegmentationProbe, names: Sequence[str]) -> Group:
    """The run's own probe under some names, of which the first has its own thresholds."""
    return Group(
        names,
        lambda batch: probe.logits(batch)[:1].expand(len(names), -1, -1, -1),
        job.activations.stream,
        _own_weight(job, probe).expand(len(names), -1, -1),
        fixed=1,
    )


def _own_weight(job: LayerJob, probe: SegmentationProbe) -> Float64[Tensor, "one C K"]:
    return probe.bank.weight.detach().cpu().double()[: len(job.vocabulary)][None]


def _in_closed_form(job: LayerJob, baseline: SingleFilterBaseline, moments: Moments) -> Group:
    """Closed forms, the best single filter at its own threshold, and a random direction."""
    protocol, scale = job.setup.options.protocol, job.beside_scale
    asked = [kind for kind in job.setup.options.beside if kind != protocol.probe]
    scaled = Scaled(moments.sums, scale)
    solved = [solution(kind, moments, scale, protocol.shrinkage) for kind in asked]
    singles, drawn = _candidates(job, baseline, scaled), _random(job, scaled)
    none = torch.zeros(singles.shape[:2], dtype=torch.float64)
    weight = torch.cat([*(s.weight[None] for s in (*solved, drawn)), singles])
    bias = torch.cat([*(s.bias[None] for s in (*solved, drawn)), none])
    return Group(
        [*asked, RANDOM, SINGLE_TUNED],
        bank_maps(job, weight, bias),
        job.raw_stream,
        weight,
        bias,
        candidates=len(singles),
    )


def _candidates(
    job: LayerJob, baseline: SingleFilterBaseline, scaled: Scaled
) -> Float64[Tensor, "B C K"]:
    """Return the filters that may be a concept's best at a threshold of its own, as banks.

    They are those whose means inside and outside differ most, over their spread, and the best one
    at the common threshold. Where activations have a sign, a filter may also tell a concept by
    falling below its threshold: it is taken times -1.
    """
    num_filters = scaled.difference.shape[1]
    some, sign = furthest_apart(scaled.difference, either_side=job.backbone.signed)
    told = torch.nn.functional.one_hot(some, num_filters) * sign[:, :, None]
    common = torch.nn.functional.one_hot(baseline.best_filter().clamp(min=0), num_filters)
    banks: Tensor = torch.cat([told.transpose(0, 1), common[None]]).double()
    return banks


def _random(job: LayerJob, scaled: Scaled) -> Solution:
    """Draw a direction for each concept, whichever others are probed; scores have a mean of 0."""
    seed, numbers = job.setup.options.seed, job.vocabulary.numbers.tolist()
    size = len(scaled.scale)
    draws = [np.random.default_rng([seed, number, 1]).normal(size=size) for number in numbers]
    return standardised(scaled, torch.from_numpy(np.array(draws)))


def _without_a_network(job: LayerJob, moments: Moments) -> Group:
    """Every pixel, and where the concept lies in train images on average."""
    share = (moments.place / moments.own_place).nan_to_num(0.0)
    highest = share.amax((1, 2), keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
    place = (share / highest).float().to(job.setup.device)  # bins of logits are around 1

    def maps(batch: ConceptBatch) -> Float[Tensor, "2 P h w"]:
        position = place[batch.concept]
        return torch.stack([torch.ones_like(position), position])

    return Group([EVERYTHING, POSITION], maps, job.activations.stream, fixed=1)


def _scored(job: LayerJob, group: Group, probe: SegmentationProbe) -> Tensors:
    """Calibrate a group on train and score it on val."""
    cut, train = thresholds_of(job, group.maps, group.stream, group.num_banks)
    bank = group.chosen(train)
    cut, train = cut.gather(0, bank), train.gather(0, bank)
    cut[: group.fixed] = 0.0
    maps = Calibrated(group, bank, cut).maps(job)
    counts, ap = val_counts(job, maps, group.stream, len(group.names), ap=True)
    wide = _wide(job, group, maps)
    cosine = torch.full_like(train, torch.nan)
    weight = group.weight_of(bank)
    if weight is not None:
        cosine = _cosine(weight, _own_weight(job, probe))
    return {
        "intersection": counts.intersection,
        "union": counts.union,
        "train": train,
        "ap": ap,
        "annotated": wide.annotated,
        "argmax": wide.argmax,
        "cosine": cosine,
        "bank": bank,
        "cut": cut,
    }


def _wide(job: LayerJob, group: Group, maps: Maps) -> WideScores:
    """Score over val images annotated for the category, at most 2,000 of them."""
    setup, stream = job.setup, group.stream
    counts = WideCounts(len(group.names), [c.category for c in job.vocabulary], setup.device)
    rows = setup.stream.val_rows
    if len(rows) > _WIDE_IMAGES:
        drawn = np.random.default_rng(setup.options.seed).permutation(rows)[:_WIDE_IMAGES]
        rows = np.sort(drawn)
    kept = rows if stream is setup.stream else np.intersect1d(rows, stream.scored_rows["val"])
    # A cache holds what is scored; what else is annotated comes from the images.
    for source, some in ((stream, kept), (setup.stream, np.setdiff1d(rows, kept))):
        if not len(some):
            continue
        wider = source.annotated(job.vocabulary, setup.reader)
        for batch in setup.progress("scores of annotated images")(wider.scoring_dataloader(some)):
            batch = batch.to(setup.device, non_blocking=True)
            counts.add(job.pixels, maps(batch), batch)
    return counts.scores()


def _cosine(
    weight: Float64[Tensor, "B C K"], own: Float64[Tensor, "one C K"]
) -> Float64[Tensor, "B C"]:
    lengths = weight.norm(dim=2) * own.norm(dim=2)
    cosine = (weight.double() * own).sum(2) / lengths
    return torch.where(lengths > 0, cosine, torch.nan)
