"""What a run asks beyond scores: each question leaves tables, figures and findings."""

import logging
from collections.abc import Sequence

from net2vec_pl import processes
from net2vec_pl.pipeline.classification import Classified
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.segmentation import Segmented
from net2vec_pl.report.findings import write_findings
from net2vec_pl.studies.question import Question, at_least
from net2vec_pl.studies.study import Study

__all__ = ["Question", "Study", "analyse", "at_least"]
_log = logging.getLogger(__name__)


def analyse(
    job: LayerJob,
    questions: Sequence[Question],
    segmented: Segmented | None,
    classified: Classified | None,
) -> Study:
    """Ask some questions of a layer, and write down what they find.

    Args:
        job: The layer.
        questions: Those that can be asked of the targets there are.
        segmented: Scores and embeddings of segmentation, if it was done.
        classified: Scores and embeddings of classification, if it was done.

    Returns:
        What they left: tables, findings, recipes of figures.
    """
    study = Study(job, segmented, classified)
    for question in questions:
        _log.info("analysis: %s", question.name)
        question.run(study)
    if processes.is_first() and study.findings:
        write_findings(study.findings, job.folder)
    return study
