"""Segment with the best single filter and with learned combinations, and score both."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations import (
    BankCounts,
    count_chosen_filters,
    count_chosen_upsampled,
    count_single_filters,
    count_upsampled_filters,
)
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data import ConceptBatch
from net2vec_pl.functional.cells import BilinearCells
from net2vec_pl.functional.iou import set_iou
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.pipeline.closed_form import SumFitter
from net2vec_pl.pipeline.fitter import Fitter
from net2vec_pl.pipeline.halves import calibrate_by_halves
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.native import native_rows
from net2vec_pl.pipeline.trainers import callbacks_from
from net2vec_pl.pipeline.worth import alone, contenders
from net2vec_pl.probes import (
    BankFile,
    ConceptBank,
    SingleFilterBaseline,
    SingleFilterCounts,
)
from net2vec_pl.protocol import NET2VEC, SUM
from net2vec_pl.records.run import NativeRow, ProbeRow
from net2vec_pl.report import BankScores
from net2vec_pl.report.probes import Contender, Knowledge, beside, knowledge, probe_table
from net2vec_pl.report.val_counts import ValCounts
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.training import SegmentationProbe, score_bank

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmented:
    """What a layer's segmentation came to.

    Args:
        vocabulary: The probed concepts.
        baseline: Set IoU of every filter on every concept.
        probe: The trained probe, a bank per seed.
        scores: Scores of the bank of each seed.
        counts: Pixels of every val pair, in the bank of each seed.
        single: The same of the best single filters, in one bank.
        contenders: The probe itself and what is scored beside it; empty where nothing is.
        groups: The group of each row of the dataset, if rows are grouped.
        native_rows: The rows of ``native.csv``; none where no masks of another size are scored.
    """

    vocabulary: Vocabulary
    baseline: SingleFilterBaseline
    probe: SegmentationProbe
    scores: list[BankScores]
    counts: BankCounts
    single: BankCounts
    contenders: Sequence[Contender] = ()
    groups: npt.NDArray[np.int64] | None = None
    native_rows: Sequence[NativeRow] = ()

    @cached_property
    def knowledge(self) -> list[Knowledge]:
        """Whether the layer knows each concept; empty where nothing stands beside its probe."""
        references = [c for c in self.contenders if c.role == "reference"]
        if not references:
            return []
        return knowledge(self.contenders[0], references, seed=0, groups=self.groups)

    @property
    def level(self) -> npt.NDArray[np.float64]:
        """Set IoU on val of each concept's best reference level; NaN where none is scored."""
        none = np.full(len(self.vocabulary), np.nan)
        return np.array([known.level for known in self.knowledge]) if self.knowledge else none

    @cached_property
    def probe_rows(self) -> list[ProbeRow]:
        """The rows of ``probes.csv``; none where nothing stands beside the probe."""
        if not self.contenders:
            return []
        return probe_table(self.vocabulary, self.contenders, seed=0, groups=self.groups)

    def beside(self, single: BankCounts, multi: BankCounts | None = None) -> PairCounts:
        """Put counts of val pairs side by side, for intervals and tests.

        Args:
            single: Counts of the second method.
            multi: Counts of the first; of the probe itself if None.
        """
        first = self.counts if multi is None else multi
        return beside(first, single, len(self.vocabulary), self.groups)

    @property
    def val_counts(self) -> ValCounts:
        """What the scores on val are sums of, as it is left in the run folder."""
        return ValCounts.of(self.vocabulary, self.counts, self.single, self.groups)

    @property
    def weight(self) -> Float[Tensor, "C K"]:
        """The embeddings of the first seed."""
        return self.scores[0].weight


def segment(job: LayerJob) -> Segmented:
    """Do all of it, or what an earlier start has left undone."""
    baseline = single_filters(job)
    probe = _fit(job)
    scores, counts = _score(job, probe)
    others: list[Contender] = []
    calibrated = [alone(job, probe)]
    single = chosen_counts(job, baseline)
    if job.setup.options.beside:
        others, calibrated = contenders(job, baseline, single, probe, scores[0].train)
    return Segmented(
        job.vocabulary,
        baseline,
        probe,
        scores,
        counts,
        single,
        others,
        job.setup.reader.groups,
        native_rows(job, calibrated),
    )


def cells_of(job: LayerJob) -> BilinearCells:
    """Return the cells of the layer's grid on the masks."""
    return BilinearCells(
        job.backbone.shape[1:],
        job.setup.reader.mask_size,
        align_corners=job.setup.options.protocol.align_corners,
    )


def enlarge_on(job: LayerJob) -> Callable[[Tensor], Tensor]:
    """Return what upsamples maps of the layer's grid to mask resolution."""
    return enlarger(
        job.backbone.shape[1:],
        job.setup.reader.mask_size,
        align_corners=job.setup.options.protocol.align_corners,
        device=job.setup.device,
    )


def bank_file(job: LayerJob, probe: SegmentationProbe) -> BankFile:
    """Return the bank as it is written."""

    def by_seed(rows: Float[Tensor, "R *S"]) -> Float[Tensor, "S C *S"]:
        return torch.stack(rows.detach().cpu().chunk(probe.num_banks))

    weight = by_seed(probe.bank.weight)
    bias = None if probe.bank.bias is None else by_seed(probe.bank.bias)
    return BankFile(
        weight=weight[0],
        threshold=probe.thresholds.cpu(),
        alpha=by_seed(probe.alpha)[0],
        bias=None if bias is None else bias[0],
        vocabulary=job.vocabulary,
        header=job.header | {"target": "segmentation"},
        scale=probe.scale.cpu() if probe.protocol.input != "bits" else None,
        other_seeds=weight[1:],
        other_biases=None if bias is None else bias[1:],
        units=job.backbone.units,
    )


def single_filters(job: LayerJob) -> SingleFilterBaseline:
    """Score every filter on every concept, once."""
    setup, stream = job.setup, job.activations.stream

    def count() -> Tensors:
        counted: Tensors = {}
        for split, rows in stream.scored_rows.items():
            batches = setup.progress(f"single filters, {split}")(stream.scoring_dataloader(rows))
            counts = _count(job, batches)
            counted |= {f"{split}.inside": counts.intersection, f"{split}.union": counts.union}
        return {name: count.cpu() for name, count in counted.items()}

    counted = job.stages.once("baseline", count)
    return SingleFilterBaseline(
        *(set_iou(counted[f"{s}.inside"], counted[f"{s}.union"]) for s in ("train", "val"))
    )


def chosen_counts(job: LayerJob, baseline: SingleFilterBaseline) -> BankCounts:
    """Count the best filter of each concept on every val pair, once; none counts as nothing."""
    stream = job.activations.stream
    common = (
        job.backbone,
        job.activations.thresholds,
        stream,
        stream.scored_rows["val"],
        baseline.best_filter(),
    )

    def count() -> Tensors:
        if job.setup.options.protocol.threshold_order == "after":
            return vars(count_chosen_upsampled(*common, enlarge_on(job)))
        return vars(count_chosen_filters(*common, cells_of(job)))

    return BankCounts(**job.stages.once("chosen", count))


def _count(job: LayerJob, batches: Iterable[ConceptBatch]) -> SingleFilterCounts:
    common = (job.backbone, job.activations.thresholds, batches, len(job.vocabulary))
    if job.setup.options.protocol.threshold_order == "after":
        return count_upsampled_filters(*common, enlarge_on(job))
    return count_single_filters(*common, cells_of(job))


def _fit(job: LayerJob) -> SegmentationProbe:
    """Fit the bank of every seed, by the protocol or by a probe of the user's own."""
    options = job.setup.options
    rows = [job.initial_rows(seed) for seed in job.setup.seeds]
    bank = ConceptBank(torch.cat(rows), bias=options.protocol.bias)
    protocol = options.protocol
    if protocol.probe not in (NET2VEC, SUM):
        probe = job.trained("probe", bank)
        if protocol.calibrate == "halves":
            calibrate_by_halves(job, probe)
        return probe
    probe = job.probe(bank)
    checkpoint = job.stages.checkpoint()
    epochs_done = 0 if checkpoint is None else _epochs_done(checkpoint)
    if epochs_done:
        _log.info("fit: resuming after epoch %d of %d", epochs_done, options.protocol.epochs)
    logger = job.log.of_layer(job.folder, epochs_done)
    # As the first process has it: only there is a run of W&B open, and all must exchange losses.
    probe.tells_loss = processes.from_first(lambda: logger is not False)
    progress = job.setup.progress.enabled
    callbacks = callbacks_from(options.callbacks, job.vocabulary, job.folder, progress=progress)
    fitter: Fitter = job.fitter(logger=logger, callbacks=callbacks, checkpoint=checkpoint)
    if protocol.probe == SUM:
        fitter = SumFitter(fitter, job.moments_of)
    fitter.fit(probe, job.activations.stream)
    if protocol.calibrate == "train":
        job.calibrate_on_train(probe, job.activations.stream)
    if protocol.calibrate == "halves":
        calibrate_by_halves(job, probe)
    return probe


def _epochs_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"]) + 1


def _score(job: LayerJob, probe: SegmentationProbe) -> tuple[list[BankScores], BankCounts]:
    """Score the bank of every seed on train and val."""
    stream = job.activations.stream

    def score() -> Tensors:
        scored: Tensors = {}
        for split, rows in stream.scored_rows.items():
            track = job.setup.progress(f"scores, {split}")
            counts, ap = score_bank(probe, stream, rows, ap=split == "val", track=track)
            scored |= {f"{split}.{name}": value for name, value in vars(counts).items()}
            scored[f"{split}.ap"] = ap
        return scored

    scored = job.stages.once("scores", score)
    train, val = (
        BankCounts(*(scored[f"{split}.{n}"] for n in ("image", "concept", "intersection", "union")))
        for split in ("train", "val")
    )
    banks = zip(
        train.set_iou(len(job.vocabulary)),
        val.set_iou(len(job.vocabulary)),
        scored["val.ap"],
        probe.bank.weight.detach().cpu().chunk(probe.num_banks),
        strict=True,
    )
    return [BankScores(*of_bank) for of_bank in banks], val
