"""How much of a score is the concept's own? LDA against LDA from masks of other images."""

import numpy as np
import torch

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.paired_test import MULTI, SINGLE, paired_test
from net2vec_pl.pipeline.calibrated import bank_maps, thresholds_of, val_counts
from net2vec_pl.pipeline.shuffled import sums_of, with_other_masks
from net2vec_pl.records.sums import SelectivityRow
from net2vec_pl.runs.stages import Tensors
from net2vec_pl.studies.study import estimates, interval
from net2vec_pl.studies.sums import LayerSums

OWN_MASKS = "How much of a score needs the concept's own masks?"
_WORDS = {MULTI: "yes", SINGLE: "no"}
_ALONE = "a single train image: no other mask"


def selectivity(sums: LayerSums, real: BankCounts) -> None:
    """Fit LDA to masks of other images, and compare.

    The control task of Hewitt & Liang, *Designing and Interpreting Probes with Control Tasks*,
    EMNLP 2019: what still scores learned where the concept mostly lies, or what its images share.

    Args:
        sums: The layer.
        real: Val pixels of LDA from the true masks.
    """
    study = sums.study
    shuffled = BankCounts(**sums.job.stages.once("closed-form-shuffled", lambda: _shuffled(sums)))
    counts = study.segmented.beside(shuffled, real)
    found, test = SetIouIntervals(counts), paired_test(counts, seed=study.seed)
    alone = [entry.n_train < 2 for entry in sums.job.setup.selection.probed]
    real_scores, other_scores, gains = map(estimates, (found.multi, found.single, found.gain))
    study.write(
        [
            SelectivityRow(
                concept.name,
                concept.category,
                int(found.n_images[c]),
                real_scores[c],
                other_scores[c],
                gains[c],
                float(test.p_fdr[c]),
                _ALONE if alone[c] else _WORDS.get(test.verdict[c], test.verdict[c]),
            )
            for c, concept in enumerate(sums.job.vocabulary)
        ],
        "selectivity",
    )
    means = found.means()
    study.find(
        OWN_MASKS,
        "selectivity of LDA",
        means.gain.array(),
        means.n_concepts,
        f"LDA fitted to masks of other images of the same concept, its threshold too, scores "
        f"{means.single.value:.3f} on the true masks of val; fitted to its own, "
        f"{means.multi.value:.3f}. The difference is its selectivity (Hewitt & Liang, 2019): "
        f"{interval(means.gain.array())} (95 % interval {study.over_images}). It is above 0 by a "
        f"paired test for {test.verdict.count(MULTI)} of {means.n_concepts} concepts."
        f"{study.if_few}",
    )


def _shuffled(sums: LayerSums) -> Tensors:
    """Fit, calibrate and score; a concept with a single train image has no other mask."""
    job = sums.job
    stream = with_other_masks(job, sums.study.seed)
    solved = sums.lda(sums_of(job, stream))
    maps = bank_maps(job, solved.weight[None], solved.bias[None])
    cut, _ = thresholds_of(job, maps, stream, 1)
    maps = bank_maps(job, solved.weight[None], solved.bias[None] - cut)
    counts, _ = val_counts(job, maps, job.raw_stream, 1, ap=False)
    alone = torch.from_numpy(np.array([e.n_train < 2 for e in job.setup.selection.probed]))
    for pixels in (counts.intersection, counts.union):
        pixels[:, alone[counts.concept]] = 0
    return vars(counts)
