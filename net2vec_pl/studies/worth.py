"""What is a score worth? How many concepts a layer knows, and by which probe."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.paired_test import MULTI, SINGLE, paired_test
from net2vec_pl.figures.levels import reference_levels
from net2vec_pl.pipeline import worth
from net2vec_pl.records.run import ProbeRow
from net2vec_pl.report.probes import KNOWN, ProbeMeans, mean_over_levels, probe_means
from net2vec_pl.studies.native import tell_native
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study, interval

QUESTION = "Which concepts does the layer know?"
_LISTED = 10  # names, at most
_SINGLE = (worth.SINGLE, worth.SINGLE_TUNED)
_CALIBRATED = ", calibrated"
_BY_TEST = (
    ": its set IoU on val is above every reference level by test (95 % interval {over} above 0, "
    "and a paired test at a false discovery rate of 5 %)."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worth(Question):
    """Says what ``probes.csv`` means, and draws ``figures/levels``.

    Args:
        permutations: Random swaps of the paired test.
    """

    name: ClassVar[str] = "worth"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)
    permutations: int = at_least(1, 10_000)

    def run(self, study: Study) -> None:
        """Compare the run's own probe with the reference levels and with other probes."""
        rows = study.segmented.probe_rows
        if not rows:
            _log.info("analysis worth is left out: beside=[] scores nothing beside the probe")
        else:
            means = probe_means(rows)
            _tell(study, rows, means, self)
            _draw(study, means)
        tell_native(study)


def _tell(
    study: Study, rows: Sequence[ProbeRow], means: Sequence[ProbeMeans], options: Worth
) -> None:
    """Say how many concepts are known, what the levels score, and whether several filters help."""
    own, probes = means[0], [m for m in means if m.role == "probe"]
    most = max(probes, key=lambda m: m.known)
    _tell_known(study, rows, most, _BY_TEST.format(over=study.over_images) + study.if_few)
    if most is not own:
        _tell_known(study, rows, own)
    segmented = study.segmented
    levels = [c for c in segmented.contenders if c.role == "reference"]
    gain = mean_over_levels(segmented.contenders[0], levels, study.job.setup.reader.groups).array()
    study.find(
        QUESTION,
        "mean gain over the best reference level",
        gain,
        own.tested,
        f"Levels in mean val set IoU: every pixel {_of(means, worth.EVERYTHING):.3f}, a mask of "
        f"the mean train position {_of(means, worth.POSITION):.3f}, a random direction "
        f"{_of(means, worth.RANDOM):.3f}. {own.name} scores {own.val:.3f}; less the best level of "
        f"each concept that is {interval(gain)} (95 % interval {study.over_images}).",
    )
    _tell_several(study, means, options)


def _tell_known(
    study: Study, rows: Sequence[ProbeRow], probe: ProbeMeans, meaning: str = "."
) -> None:
    mine = [row for row in rows if row.probe == probe.name]
    known = [row.name for row in mine if row.known == KNOWN]
    others = [row.name for row in mine if row.known != KNOWN]
    listed = ""
    if 0 < len(known) <= _LISTED:
        listed = f" ({', '.join(known)})"
    elif known and 0 < len(others) <= _LISTED:
        listed = f" (all but {', '.join(others)})"
    study.find(
        QUESTION,
        f"concepts known by {probe.name}",
        float(probe.known),
        probe.tested,
        f"{probe.name} knows {probe.known} of {probe.tested} concepts{listed}{meaning}",
    )


def _tell_several(study: Study, means: Sequence[ProbeMeans], options: Worth) -> None:
    """Compare combinations with the best single filter, all with thresholds from train.

    They are the run's own, and the one that is best on train.
    """
    own, by_name = means[0].name, {c.name: c for c in study.segmented.contenders}
    calibrated = own + _CALIBRATED
    several = [c for c in by_name.values() if c.role == "probe" and c.name not in _SINGLE]
    first = max(several, key=lambda c: float(c.train.nanmean()))
    tau = study.job.setup.options.protocol.tau
    for name in dict.fromkeys([calibrated if calibrated in by_name else own, first.name]):
        counts = study.segmented.beside(by_name[worth.SINGLE_TUNED].counts, by_name[name].counts)
        found = SetIouIntervals(counts).means()
        verdict = paired_test(counts, options.permutations, seed=study.seed).verdict
        common = _of(means, own) - _of(means, worth.SINGLE)
        at_tau = f" At the common threshold (tau = {tau:g}) it is {common:.3f}."
        study.find(
            QUESTION,
            f"gain of {name} over the best single filter, both calibrated",
            found.gain.array(),
            found.n_concepts,
            "With thresholds of their own, chosen on train images, "
            f"{name.removesuffix(_CALIBRATED)} scores {found.multi.value:.3f} and the best single "
            f"filter {found.single.value:.3f}: a gain of {interval(found.gain.array())} (95 % "
            f"interval {study.over_images}). By a paired test it is better for "
            f"{verdict.count(MULTI)} of {found.n_concepts} concepts and the filter for "
            f"{verdict.count(SINGLE)}." + (at_tau if name == calibrated else "") + study.if_few,
        )


def _of(means: Sequence[ProbeMeans], name: str) -> float:
    return next((m.val for m in means if m.name == name), float("nan"))


def _draw(study: Study, means: Sequence[ProbeMeans]) -> None:
    segmented = study.segmented
    values = {c.name: c.val().double().numpy() for c in segmented.contenders}
    own = means[0].name
    ranked = sorted((m for m in means if m.role == "probe"), key=lambda m: -m.val)
    shown = [own, *(m.name for m in ranked if m.name != own)][:2]
    of_shown = {name: values[name] for name in shown}
    study.draw("levels", reference_levels, study.job.vocabulary.names, segmented.level, of_shown)
