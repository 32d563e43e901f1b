"""What is a score worth? How many concepts a layer knows, and by which probe."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from net2vec_pl.figures.levels import reference_levels
from net2vec_pl.records.run import ProbeRow
from net2vec_pl.report.probes import KNOWN, ProbeMeans, probe_means
from net2vec_pl.studies.question import Question
from net2vec_pl.studies.study import Study, interval

QUESTION = "Which concepts does the layer know?"
_LISTED = 10  # names, at most
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Worth(Question):
    """Says what ``probes.csv`` means, and draws ``figures/levels``."""

    name: ClassVar[str] = "worth"
    needs: ClassVar[tuple[str, ...]] = ("segmentation",)

    def run(self, study: Study) -> None:
        """Compare the run's own probe with the reference levels and with other probes."""
        rows = study.segmented.probe_rows
        if not rows:
            _log.info("analysis worth is left out: beside=[] scores nothing beside the probe")
            return
        means = probe_means(rows)
        _tell(study, rows, means)
        _draw(study, means)


def _tell(study: Study, rows: Sequence[ProbeRow], means: Sequence[ProbeMeans]) -> None:
    """Say how many concepts are known, what the levels score, and which probe does best."""
    own, probes = means[0], [m for m in means if m.role == "probe"]
    _tell_known(study, rows, own, max(probes, key=lambda m: m.known))
    study.find(
        QUESTION,
        "mean gain over the best reference level",
        own.over_reference,
        own.tested,
        f"{own.name} scores {own.val:.3f} in mean val set IoU. Calling every pixel the concept "
        f"scores {_of(means, 'everything'):.3f}, its mean place in train images "
        f"{_of(means, 'position'):.3f}, a random direction {_of(means, 'random direction'):.3f}. "
        f"Over the best of them for each concept, {own.name} gains "
        f"{interval(own.over_reference)} (95 % interval over concepts).",
    )
    first = max(probes, key=lambda m: m.val)
    study.find(
        QUESTION,
        "mean set IoU of the best probe",
        first.val,
        first.tested,
        "With thresholds chosen on train images, the best single filter scores "
        f"{_of(means, 'single filter, calibrated'):.3f}{_calibrated(means, own)}. The best of "
        f"{len(probes)} probes here is {first.name}, with {first.val:.3f}.",
    )


def _tell_known(study: Study, rows: Sequence[ProbeRow], own: ProbeMeans, most: ProbeMeans) -> None:
    names = [r.name for r in rows if r.probe == own.name and r.known == KNOWN]
    listed = f" ({', '.join(names)})" if 0 < len(names) <= _LISTED else ""
    others = "" if most is own else f" {most.name} knows most: {most.known}."
    study.find(
        QUESTION,
        "concepts known",
        float(own.known),
        own.tested,
        f"{own.name} knows {own.known} of {own.tested} concepts{listed}: on val its set IoU is "
        "above every level that needs no knowledge of the concept, for certain (95 % interval "
        "over images, and a paired test corrected for the number of concepts)."
        f"{others}",
    )


def _calibrated(means: Sequence[ProbeMeans], own: ProbeMeans) -> str:
    value = _of(means, f"{own.name}, calibrated")
    return "" if np.isnan(value) else f" and {own.name} {value:.3f}"


def _of(means: Sequence[ProbeMeans], name: str) -> float:
    return next((m.val for m in means if m.name == name), float("nan"))


def _draw(study: Study, means: Sequence[ProbeMeans]) -> None:
    segmented = study.segmented
    values = {c.name: c.val().double().numpy() for c in segmented.contenders}
    own = means[0].name
    ranked = sorted((m for m in means if m.role == "probe"), key=lambda m: -m.val)
    shown = [own, *(m.name for m in ranked if m.name != own)][:2]
    level = np.array([known.level for known in segmented.knowledge])
    study.draw(
        reference_levels(study.job.vocabulary.names, level, {n: values[n] for n in shown}), "levels"
    )
