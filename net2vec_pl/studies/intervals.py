"""Is a gain real? Intervals over images, a paired test, and the spread over seeds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from net2vec_pl.analysis.intervals import MeanScores, SetIouIntervals
from net2vec_pl.analysis.paired_test import MULTI, SINGLE, PairedTest, paired_test
from net2vec_pl.analysis.seeds import spread_over_seeds
from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.pipeline.segmentation import chosen_counts
from net2vec_pl.records.studies import GainRow, IntervalRow
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, by_category, estimate, estimates, interval

QUESTION = "Are combinations of filters needed?"


@dataclass(frozen=True)
class Intervals(Question):
    """Leaves ``intervals.csv``, ``gains.csv`` by category and ``figures/intervals``.

    Args:
        permutations: Random swaps of the paired test.
    """

    name: ClassVar[str] = "intervals"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    permutations: int = at_least(1, 10_000)

    def run(self, study: Study) -> None:
        """Put combinations and single filters side by side, concept by concept."""
        segmented = study.segmented
        single = chosen_counts(study.job, segmented.baseline)
        counts = segmented.beside(single)
        found = SetIouIntervals(counts)
        test = paired_test(counts, self.permutations, seed=study.seed)
        study.write(_table(study, found, test), "intervals")
        names, points = study.job.vocabulary.names, (found.multi.array(), found.single.array())
        study.draw("intervals", gain_intervals, names, *points)
        study.write(_by_category(study, found, test), "gains")
        _tell(study, found.means(), test)


def _table(study: Study, found: SetIouIntervals, test: PairedTest) -> list[IntervalRow]:
    multi, single, gain = (estimates(part) for part in (found.multi, found.single, found.gain))
    over_seeds = _over_seeds(study)
    return [
        IntervalRow(
            concept.name,
            concept.category,
            int(found.n_images[c]),
            multi[c],
            single[c],
            gain[c],
            float(test.p[c]),
            float(test.p_holm[c]),
            float(test.p_fdr[c]),
            test.verdict[c],
            *over_seeds.get(c, ()),
        )
        for c, concept in enumerate(study.job.vocabulary)
    ]


def _over_seeds(study: Study) -> dict[int, tuple[float, float]]:
    """Return the spread of scores and the mean cosine of each concept; none with a single seed."""
    scores = study.segmented.scores
    if len(scores) == 1:
        return {}
    spread = spread_over_seeds(
        np.stack([of_seed.val.double().numpy() for of_seed in scores]),
        np.stack([of_seed.weight.double().numpy() for of_seed in scores]),
    )
    return dict(enumerate(zip(spread.score_std.tolist(), spread.cosine.tolist(), strict=True)))


def _by_category(study: Study, found: SetIouIntervals, test: PairedTest) -> list[GainRow]:
    rows = []
    for category, among in by_category(study.categories).items():
        means = found.means(among)
        verdicts = [v for v, mine in zip(test.verdict, among, strict=True) if mine]
        rows.append(
            GainRow(
                category,
                means.n_concepts,
                multi=estimate(means.multi),
                single=estimate(means.single),
                gain=estimate(means.gain),
                won=means.n_won,
                multi_better=verdicts.count(MULTI),
                single_better=verdicts.count(SINGLE),
            )
        )
    return rows


def _tell(study: Study, means: MeanScores, test: PairedTest) -> None:
    """Say how far combinations lead, and where the lead is certain."""
    tau = study.job.setup.options.protocol.tau
    better = [test.verdict.count(verdict) for verdict in (MULTI, SINGLE)]
    study.find(
        QUESTION,
        "mean gain in val set IoU",
        means.gain.array(),
        means.n_concepts,
        f"Combinations score {interval(means.multi.array())} in mean val set IoU, the best "
        f"single filters, at the common threshold (tau = {tau:g}), "
        f"{interval(means.single.array())}: a gain of "
        f"{interval(means.gain.array())} over {means.n_concepts} concepts (95 % intervals "
        f"{study.over_images}).{study.if_few}",
    )
    study.find(
        QUESTION,
        "concepts with a higher score by the combination",
        float(means.n_won),
        means.n_concepts,
        f"The combination scores higher for {means.n_won} of {means.n_concepts} concepts. By a "
        f"paired test corrected for their number (false discovery rate 5 %) the combination is "
        f"better for {better[0]} and the single filter for {better[1]}; the others are "
        "undecided.",
    )
