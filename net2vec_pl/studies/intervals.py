"""Is a gain real? Intervals over images, a paired test, and the spread over seeds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from net2vec_pl.activations import BankCounts
from net2vec_pl.analysis.intervals import MeanScores, SetIouBootstrap, bootstrap_set_iou
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import ONE, SEVERAL, PairedTest, paired_test
from net2vec_pl.analysis.seeds import spread_over_seeds
from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.pipeline.segmentation import chosen_counts
from net2vec_pl.report.tables import Row
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, bounds, by_category, columns, interval

QUESTION = "Are several filters needed?"


@dataclass(frozen=True)
class Intervals(Question):
    """Leaves ``intervals.csv``, ``gains.csv`` by category and ``figures/intervals``.

    Args:
        replicates: Resamples of the images.
        permutations: Random swaps of the paired test.
    """

    name: ClassVar[str] = "intervals"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    replicates: int = at_least(1, 1000)
    permutations: int = at_least(1, 10_000)

    def run(self, study: Study) -> None:
        """Put combinations and single filters side by side, concept by concept."""
        segmented = study.segmented
        counts = beside(study, segmented.counts, chosen_counts(study.job, segmented.baseline))
        drawn = bootstrap_set_iou(counts, self.replicates, seed=study.seed)
        test = paired_test(counts, self.permutations, seed=study.seed)
        study.write(_table(study, drawn, test), "intervals")
        study.draw(
            gain_intervals(study.job.vocabulary.names, drawn.several.array(), drawn.single.array()),
            "intervals",
        )
        study.write(_by_category(study, drawn, test), "gains")
        _tell(study, drawn.means(), test)


def beside(study: Study, several: BankCounts, single: BankCounts) -> PairCounts:
    """Put the first banks of two counts side by side, pair for pair."""
    first, second = (
        torch.stack([counts.intersection[0], counts.union[0]]).numpy()
        for counts in (several, single)
    )
    image, concept = several.image.numpy(), several.concept.numpy()
    return PairCounts(image, concept, first, second, len(study.job.vocabulary))


def _table(study: Study, drawn: SetIouBootstrap, test: PairedTest) -> list[Row]:
    values = {"name": study.job.vocabulary.names, "category": study.categories, "n": drawn.n_images}
    for name in ("several", "single", "gain"):
        values |= bounds(name, getattr(drawn, name))
    values |= {"p": test.p, "p_holm": test.p_holm, "p_fdr": test.p_fdr, "verdict": test.verdict}
    scores = study.segmented.scores
    if len(scores) > 1:
        spread = spread_over_seeds(
            np.stack([of_seed.val.double().numpy() for of_seed in scores]),
            np.stack([of_seed.weight.double().numpy() for of_seed in scores]),
        )
        values |= {"std_over_seeds": spread.score_std, "cosine_over_seeds": spread.cosine}
    return [columns(values, c) for c in range(len(study.job.vocabulary))]


def _by_category(study: Study, drawn: SetIouBootstrap, test: PairedTest) -> list[Row]:
    rows = []
    for category, among in by_category(study.categories).items():
        means = drawn.means(among)
        row: Row = {"category": category, "n_concepts": means.n_concepts}
        for name in ("several", "single", "gain", "won"):
            row |= bounds(name, getattr(means, name))
        verdicts = [v for v, mine in zip(test.verdict, among, strict=True) if mine]
        row |= {"several_better": verdicts.count(SEVERAL), "one_better": verdicts.count(ONE)}
        rows.append(row)
    return rows


def _tell(study: Study, means: MeanScores, test: PairedTest) -> None:
    """Say how far combinations lead, and where the lead is certain."""
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
