"""Is a gain real? Intervals over images, a paired test, and the spread over seeds."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from net2vec_pl.analysis.intervals import (
    ONE,
    SEVERAL,
    PairCounts,
    PairedTest,
    SetIouBootstrap,
    bootstrap_set_iou,
    paired_test,
    spread_over_seeds,
)
from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.report.tables import Row
from net2vec_pl.tasks.analyses.study import Study, columns, interval
from net2vec_pl.tasks.segmentation import chosen_counts
from net2vec_pl.training import BankCounts

QUESTION = "Are several filters needed?"


def intervals(study: Study) -> None:
    """Leave ``intervals.csv``, ``gains.csv`` by category and ``figures/intervals``."""
    segmented = study.segmented
    assert segmented is not None
    options = study.options
    counts = paired_counts(study, segmented.counts, chosen_counts(study.job, segmented.baseline))
    drawn = bootstrap_set_iou(counts, options.replicates, seed=study.seed)
    test = paired_test(counts, options.permutations, seed=study.seed)
    study.write(_table(study, drawn, test), "intervals")
    study.draw(
        gain_intervals(study.job.vocabulary.names, drawn.several.array(), drawn.single.array()),
        "intervals",
    )
    study.write(_by_category(study, drawn, test), "gains")
    means = drawn.means()
    better = [test.verdict.count(verdict) for verdict in (SEVERAL, ONE)]
    study.find(
        QUESTION,
        "mean gain in val set IoU",
        means.gain.array(),
        means.n_concepts,
        f"Several filters score {interval(means.several.array())} in mean val set IoU, the best "
        f"single one {interval(means.single.array())}: a gain of {interval(means.gain.array())} "
        f"over {means.n_concepts} concepts (95 % intervals over images).",
    )
    study.find(
        QUESTION,
        "share of concepts won",
        means.won.array(),
        means.n_concepts,
        f"Several filters win {interval(means.won.array(), '{:.0%}')} of the concepts "
        f"(interval over concepts); by a paired test corrected for {means.n_concepts} concepts "
        f"(false discovery rate 5 %) several are "
        f"better for {better[0]}, one for {better[1]}, and the others are undecided.",
    )


def paired_counts(
    study: Study, several: BankCounts, single: Int64[Tensor, "P 2"], bank: int = 0
) -> PairCounts:
    """Put a bank and single filters side by side; a concept without a filter has NaN."""
    segmented = study.segmented
    assert segmented is not None
    without = (segmented.baseline.best_filter() < 0)[several.concept]
    other = single.double().masked_fill(without[:, None], torch.nan).numpy()
    return PairCounts(
        several.image.numpy(),
        several.concept.numpy(),
        several.intersection[bank].numpy(),
        several.union[bank].numpy(),
        other[:, 0],
        other[:, 1],
        len(study.job.vocabulary),
    )


def _table(study: Study, drawn: SetIouBootstrap, test: PairedTest) -> list[Row]:
    segmented = study.segmented
    assert segmented is not None
    values = {"name": study.job.vocabulary.names, "category": study.categories, "n": drawn.n_images}
    for name in ("several", "single", "gain"):
        found = getattr(drawn, name)
        values |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    values |= {"p": test.p, "p_holm": test.p_holm, "p_fdr": test.p_fdr, "verdict": test.verdict}
    if len(segmented.scores) > 1:
        spread = spread_over_seeds(
            np.stack([scores.val.double().numpy() for scores in segmented.scores]),
            np.stack([scores.weight.double().numpy() for scores in segmented.scores]),
        )
        values |= {"std_over_seeds": spread.score_std, "cosine_over_seeds": spread.cosine}
    return [columns(values, c) for c in range(len(study.job.vocabulary))]


def _by_category(study: Study, drawn: SetIouBootstrap, test: PairedTest) -> list[Row]:
    rows = []
    for category in [*dict.fromkeys(study.categories), "all"]:
        among = np.array([category in (c, "all") for c in study.categories])
        means = drawn.means(among)
        row: Row = {"category": category, "n_concepts": means.n_concepts}
        for name in ("several", "single", "gain", "won"):
            value, low, high = getattr(means, name).array().tolist()
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        verdicts = [v for v, mine in zip(test.verdict, among, strict=True) if mine]
        row |= {"several_better": verdicts.count(SEVERAL), "one_better": verdicts.count(ONE)}
        rows.append(row)
    return rows
