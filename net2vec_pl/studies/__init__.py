"""What a run asks beyond scores: each analysis leaves tables, figures and findings."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from net2vec_pl import processes
from net2vec_pl.errors import ConfigError, unknown
from net2vec_pl.pipeline.classification import Classified
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.segmentation import Segmented
from net2vec_pl.pipeline.setup import Setup
from net2vec_pl.report.findings import write_findings
from net2vec_pl.studies.controls import controls, share_random_network
from net2vec_pl.studies.examples import examples
from net2vec_pl.studies.intervals import intervals
from net2vec_pl.studies.sharing import sharing
from net2vec_pl.studies.space import space
from net2vec_pl.studies.study import AnalysisOptions, Study
from net2vec_pl.studies.subsets import subsets
from net2vec_pl.studies.synthesis import synthesis

_log = logging.getLogger(__name__)

# In the order in which they run.
ANALYSES: dict[str, Callable[[Study], None]] = {
    "intervals": intervals,
    "subsets": subsets,
    "sharing": sharing,
    "space": space,
    "examples": examples,
    "synthesis": synthesis,
    "controls": controls,
}
# These work on masks.
_SEGMENTATION = ("intervals", "sharing", "examples", "controls")


def possible(options: AnalysisOptions, targets: tuple[str, ...]) -> AnalysisOptions:
    """Check the names of analyses before anything is computed.

    Args:
        options: Those asked for.
        targets: What is done: segmentation, classification.

    Returns:
        The options; names in the order in which they run, and those that need masks only where
        there are any.

    Raises:
        ConfigError: If a name is unknown.
    """
    for name in options.names:
        if name not in ANALYSES:
            raise ConfigError(unknown("analysis", name, ANALYSES))
    able = [name for name in ANALYSES if "segmentation" in targets or name not in _SEGMENTATION]
    if left_out := [name for name in options.names if name not in able]:
        _log.info("left out, for nothing is segmented: %s", ", ".join(left_out))
    return replace(options, names=[name for name in able if name in options.names])


def check_analyses(options: AnalysisOptions, setup: Setup) -> None:
    """Refuse what cannot be asked of these concepts and layers, before they are probed.

    Args:
        options: From :func:`possible`.
        setup: The concepts and layers.

    Raises:
        ConfigError: If more filters are asked for than a layer has, or a concept is unknown.
    """
    for backbone in setup.backbones if "subsets" in options.names else ():
        largest = max(options.sizes or [1])
        if largest > backbone.shape[0]:
            raise ConfigError(
                f"analysis.sizes={options.sizes}: {backbone.layer} has {backbone.shape[0]} "
                f"filters, {largest} cannot be kept."
            )
    selections = [setup.selection, *([setup.classified] if setup.classified else [])]
    known = {name for selection in selections for name in selection.vocabulary.names}
    for concept in options.concepts or ():
        if concept not in known:
            raise ConfigError(unknown("concept of analysis.concepts", concept, sorted(known)))


def share(jobs: Sequence[LayerJob], options: AnalysisOptions) -> None:
    """Do once what the analyses of all layers need, before the layers part.

    Args:
        jobs: Of all layers.
        options: From :func:`possible`.
    """
    if "controls" in options.names:
        share_random_network(jobs[0])


def analyse(
    job: LayerJob,
    options: AnalysisOptions,
    segmented: Segmented | None,
    classified: Classified | None,
) -> Study:
    """Run some analyses of a layer, and write down what they find.

    Args:
        job: The layer.
        options: From :func:`possible`.
        segmented: What was segmented.
        classified: What was classified.

    Returns:
        What they left: tables, findings, names of figures.
    """
    study = Study(job, options, segmented, classified)
    for name in options.names:
        _log.info("analysis: %s", name)
        ANALYSES[name](study)
    if processes.is_first() and study.findings:
        write_findings(study.findings, job.folder)
    return study
