"""Set the biases of probes to where set IoU on train images is largest."""

import logging

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from net2vec_pl.activations.moments import folds_of
from net2vec_pl.data import ConceptBatch, ConceptDataModule
from net2vec_pl.pipeline.calibrated import thresholds_of
from net2vec_pl.pipeline.closed_form import closed_form, sum_with_lda
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.probes import ConceptBank
from net2vec_pl.probes.closed_form import Scaled, Solution, standardised
from net2vec_pl.probes.moments import Moments
from net2vec_pl.protocol import CLOSED_FORM, SUM
from net2vec_pl.training import SegmentationProbe

_log = logging.getLogger(__name__)


def calibrate_by_halves(job: LayerJob, probe: SegmentationProbe) -> None:
    """Choose thresholds on train images that the scores do not come from.

    Train images are cut into two halves, neighbours and groups together; a probe is fitted on each
    and scores the other. Scores are standardised by mean and spread over the positions of their own
    train images, so that one threshold serves both, and the probe that is fitted on all.

    Args:
        job: The layer.
        probe: The probe that is fitted on all; the first bank decides, for all seeds.
    """
    moments = job.moments(job.setup.options.protocol.input)
    if moments.num_folds < 2:
        _log.warning("thresholds are chosen on the images of the fit: there is but one fold")
        job.calibrate_on_train(probe, job.activations.stream)
        return
    found = job.stages.once("halves", lambda: {"threshold": _threshold(job, moments)})
    bank, concepts = probe.bank, len(job.vocabulary)
    assert bank.bias is not None
    scaled = Scaled(moments.sums, probe.scale.double().cpu())
    for rows in torch.split(torch.arange(len(bank.weight)), concepts):
        weight = bank.weight.detach()[rows].double().cpu()
        unit = standardised(scaled, weight)
        with torch.no_grad():
            bank.weight[rows] = unit.weight.to(bank.weight)
            bank.bias[rows] = (unit.bias - found["threshold"]).to(bank.bias)


def _threshold(job: LayerJob, moments: Moments) -> Float64[Tensor, "C"]:
    """Return the threshold of every concept, in spreads of its scores above their mean."""
    stream = job.activations.stream
    half = half_of(job, moments)
    found = []
    for number in range(2):
        rows = stream.train_rows[half[torch.from_numpy(stream.train_rows)].numpy() == number]
        found.append(_fitted(job, stream.only_train(rows), moments.half(number)))
    bank = ConceptBank(torch.cat([one.weight for one in found]).float(), bias=True)
    assert bank.bias is not None
    with torch.no_grad():
        bank.bias.copy_(torch.cat([one.bias for one in found]))
    both = job.probe(bank).to(job.setup.device)
    other = (1 - half).to(job.setup.device)

    def maps(batch: ConceptBatch) -> Float[Tensor, "1 P h w"]:
        logits = both.logits(batch)
        pair = torch.arange(logits.shape[1], device=logits.device)
        return logits[other[batch.row][batch.image], pair][None]

    threshold, _ = thresholds_of(job, maps, stream, 1)
    return threshold[0]


def half_of(job: LayerJob, moments: Moments) -> Int64[Tensor, "rows"]:
    """Return which half each row of the dataset belongs to; 0 for those that are no train images.

    Args:
        job: The layer.
        moments: Sums by fold; a half is half of the folds.
    """
    setup = job.setup
    rows, reader = setup.stream.train_rows, setup.reader
    fold = folds_of(rows, len(reader), moments.num_folds, reader.groups)
    return (fold >= moments.num_folds // 2).long()


def _fitted(job: LayerJob, stream: ConceptDataModule, moments: Moments) -> Solution:
    """Fit a probe on some train images, as the run's own is fitted on all; standardise it."""
    protocol = job.setup.options.protocol
    start = job.initial_rows(job.setup.seeds[0])
    probe = job.probe(ConceptBank(start, bias=True))
    if protocol.probe in CLOSED_FORM:
        closed_form(probe, moments)
    else:
        probe.tells_loss = False
        fitter = job.fitter() if protocol.probe == SUM else job.own_fitter
        fitter.fit(probe, stream)
    if protocol.probe == SUM:
        sum_with_lda(probe, moments)
    weight = probe.bank.weight.detach().double().cpu()
    return standardised(Scaled(moments.sums, probe.scale.double().cpu()), weight)
