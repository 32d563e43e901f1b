"""``task=run``: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from pathlib import Path

from net2vec_pl import processes
from net2vec_pl.config import Config
from net2vec_pl.config.folder import command, taken
from net2vec_pl.config.plan import Plan
from net2vec_pl.job import LayerResult, run_job
from net2vec_pl.pipeline.devices import choose_gpu
from net2vec_pl.report import LastWords, print_classified, print_summary
from net2vec_pl.runs import REPORT, finished
from net2vec_pl.runs.folder import tidy
from net2vec_pl.tracking import job_log
from net2vec_pl.units import told

_log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Do the whole job of a configuration and leave a run folder.

    Args:
        config: The composed tree of conf/.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    plan = Plan(config)
    options, questions, tracking = plan.options, plan.questions, plan.tracking
    if config.run.resume and finished(folder := Path(config.run.dir)):
        _log.info("%s has already finished; nothing to do", folder)
        tidy(folder)
        return
    subject = plan.subject
    choose_gpu(options.trainer)
    layers = run_job(
        subject,
        options,
        questions,
        taken(config),
        lambda folder: job_log(tracking, plan.whole, folder),
        command(),
        _tell,
    )
    if processes.is_first() and len(layers) > 1 and options.report:
        _print_path("Report of all layers", layers[0].job.setup.folder / REPORT)


def _tell(layer: LayerResult) -> None:
    """Print the tables and findings of a layer, and where its files are."""
    console, folder, tables = LastWords(), layer.job.folder, layer.tables
    backbone = layer.job.backbone
    if words := told(backbone.units.plain, backbone.shape[0]):
        console.print(f"units: {words} in place of filters", markup=False, highlight=False)
    if tables.classification:
        print_classified(tables.classification, console)
    if tables.concepts:
        print_summary(tables.concepts, console, tables.probes, tables.native)
    findings = folder / "findings.md"
    if findings.exists():
        console.print(findings.read_text(encoding="utf-8"), markup=False, highlight=False)
    _print_path("Run folder", folder)
    if layer.job.setup.options.report:
        _print_path("Report", folder / REPORT)


def _print_path(what: str, path: Path) -> None:
    LastWords().print(f"{what}: {path}", soft_wrap=True, highlight=False, markup=False)
