"""The way of a run: from a network and a dataset to tables, a page and a bank of embeddings.

Read :func:`do_job` first, then :func:`_layer`, which does all that is done for one layer. Every
step lives in the room of its name; ``docs/architecture.md`` lists them. The command line and
``net2vec_pl.learn`` both come in by :func:`run_job`.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from net2vec_pl import processes
from net2vec_pl.activations import MemoryCache
from net2vec_pl.activations.cache_folder import make_root
from net2vec_pl.page.layer import leave_overview, leave_report
from net2vec_pl.pipeline.activations import find_activations
from net2vec_pl.pipeline.classification import Classified, classify
from net2vec_pl.pipeline.launch import launched
from net2vec_pl.pipeline.layer import LayerJob, key_of
from net2vec_pl.pipeline.options import RunOptions
from net2vec_pl.pipeline.segmentation import Segmented, bank_file, segment
from net2vec_pl.pipeline.setup import Setup, Subject, set_up
from net2vec_pl.pipeline.side_by_side import num_cores, side_by_side
from net2vec_pl.pipeline.trainers import quiet_lightning, trainer_from
from net2vec_pl.pipeline.units import with_fitted_units
from net2vec_pl.records import write_csv
from net2vec_pl.report import (
    LayerTables,
    concept_table,
    control_statements,
    filter_table,
    layer_row,
    seed_table,
    write_card,
)
from net2vec_pl.report.native import native_statements
from net2vec_pl.runs import BANK, CLASSIFIERS, COUNTS, REPORT
from net2vec_pl.runs.folder import layer_folder
from net2vec_pl.runs.stages import Stages
from net2vec_pl.studies import Question, analyse
from net2vec_pl.studies.study import Study
from net2vec_pl.tracking import JobLog

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerResult:
    """What a job has made of one layer.

    Args:
        job: The layer.
        tables: Its tables.
        study: Its scores, and what the analyses found; None where a process of its own did the
            layer, whose memory is gone.
    """

    job: LayerJob
    tables: LayerTables
    study: Study | None = None


def run_job(
    subject: Subject,
    options: RunOptions,
    questions: Sequence[Question],
    take: AbstractContextManager[Path],
    open_log: Callable[[Path], AbstractContextManager[JobLog]],
    command: str,
    tell: Callable[[LayerResult], None] = lambda layer: None,
) -> list[LayerResult]:
    """Start the processes of a job, take its folder, open its log, and do it.

    Args:
        subject: The network and its layers, the dataset and its concepts.
        options: How the run does its work.
        questions: What it asks besides scores, of the targets that it has.
        take: Takes the run folder for this run alone.
        open_log: Opens the log in it.
        command: What started the run, for the page.
        tell: Called with each layer, in their order, as soon as it is done; in the first process.

    Returns:
        All layers.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    with quiet_lightning():
        trainer = trainer_from(options.trainer, options.protocol.epochs)
        with launched(trainer), take as folder, open_log(folder) as log:
            if options.cache == "disk":
                processes.from_first(lambda: make_root(options.cache_dir))
            device = trainer.strategy.root_device
            return do_job(subject, options, questions, folder, device, log, command, tell)


def do_job(
    subject: Subject,
    options: RunOptions,
    questions: Sequence[Question],
    folder: Path,
    device: torch.device,
    log: JobLog,
    command: str,
    tell: Callable[[LayerResult], None],
) -> list[LayerResult]:
    """Learn a vector per concept at every layer, compare it with the best filter, and leave all.

    Args:
        subject: The network and its layers, the dataset and its concepts.
        options: How the run does its work.
        questions: What it asks besides scores, of the targets that it has.
        folder: The run folder, which this run has taken.
        device: Where the network runs.
        log: Where the fits are logged.
        command: The command that started the run, for the page.
        tell: Called with each layer, in their order, as soon as it is done; in the first process.

    Returns:
        All layers.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    setup = set_up(subject, options, folder, command, device)
    for question in questions:
        question.check(setup)
    _log.info("device %s, %d process(es)", device, processes.count())
    setup = with_fitted_units(setup, _stages(setup))
    stages = _stages(setup)
    found = zip(setup.backbones, stages, find_activations(setup, stages), strict=True)
    jobs = [LayerJob(setup, *one, log) for one in found]
    for question in questions:
        question.prepare(jobs)
    layers = _layers(jobs, questions, tell)
    if processes.is_first() and len(layers) > 1:
        rows = [layer_row(d.job.backbone.layer, d.job.backbone.shape, d.tables) for d in layers]
        if options.report:
            leave_overview(folder, jobs, rows)
        write_csv(rows, folder / "layers.csv")  # the last: it says that the run has finished
    for stage in stages:
        stage.finish()
    log.leave([stage.folder for stage in stages])
    return layers


def _stages(setup: Setup) -> list[Stages]:
    """Return the stages of every layer."""
    return [
        Stages(
            layer_folder(setup.folder, backbone.layer, len(setup.backbones)),
            key_of(setup, backbone),
        )
        for backbone in setup.backbones
    ]


def _layers(
    jobs: Sequence[LayerJob], questions: Sequence[Question], tell: Callable[[LayerResult], None]
) -> list[LayerResult]:
    """Do all that is done for each layer."""
    at_once = _at_once(jobs)
    if at_once > 1:
        _log.info("%d layers, %d at a time", len(jobs), at_once)
    work = side_by_side([partial(_layer, job, questions, at_once == 1) for job in jobs], at_once)
    layers = []
    # Several at a time have one bar, and their tables come when it is done.
    done = work if at_once == 1 else list(jobs[0].setup.progress("layers")(work))
    for job, (tables, study) in zip(jobs, done, strict=True):
        layers.append(LayerResult(job, tables, study))
        if processes.is_first():
            tell(layers[-1])
    return layers


def _at_once(jobs: Sequence[LayerJob]) -> int:
    """Return how many layers' jobs share the cores; see :mod:`net2vec_pl.pipeline.side_by_side`."""
    setup = jobs[0].setup
    in_memory = all(isinstance(job.activations.stream.source, MemoryCache) for job in jobs)
    ready = in_memory or "segmentation" not in setup.options.targets
    alone = processes.count() == 1 and setup.device.type == "cpu" and sys.platform == "linux"
    may_fork = setup.options.forks and jobs[0].log.forks
    return min(len(jobs), num_cores()) if alone and ready and may_fork else 1


def _layer(
    job: LayerJob, questions: Sequence[Question], alone: bool
) -> tuple[LayerTables, Study | None]:
    """Do all that is done for one layer."""
    job.setup.progress.enabled &= alone  # bars of several at a time would overwrite each other
    targets = job.setup.options.targets
    classified = classify(job) if "classification" in targets else None
    segmented = segment(job) if "segmentation" in targets else None
    tables = _tables(job, segmented, classified)
    if processes.is_first():
        tables.write(job.folder)
        if segmented is not None:
            segmented.val_counts.save(job.folder / COUNTS)
    study = analyse(job, questions, segmented, classified)
    if processes.is_first():
        if job.setup.options.report:
            leave_report(study, tables, job.folder / REPORT)
        _write_banks(job, study, tables)  # the last: they say that the run has finished
    return tables, study if alone else None


def _tables(
    job: LayerJob, segmented: Segmented | None, classified: Classified | None
) -> LayerTables:
    rows = () if classified is None else classified.table
    if segmented is None:
        return LayerTables(classification=rows)
    scores, baseline = segmented.scores, segmented.baseline
    return LayerTables(
        concept_table(job.setup.selection, baseline, scores[0], segmented.knowledge),
        filter_table(job.activations.thresholds.cpu(), baseline, job.vocabulary),
        seed_table(job.vocabulary, job.setup.seeds, scores) if len(scores) > 1 else (),
        segmented.probe_rows,
        rows,
        segmented.native_rows,
    )


def _write_banks(job: LayerJob, study: Study, tables: LayerTables) -> None:
    """Write the banks with their cards; the bank that segments is the last of all files."""
    if study.classification is not None:
        bank = study.classification.bank_file(job)
        write_card(job.folder / "classification.md", bank, tables.classification)
        bank.save(job.folder / CLASSIFIERS)
    if study.segmentation is not None:
        bank = bank_file(job, study.segmentation.probe)
        write_card(
            job.folder / "bank.md",
            bank,
            tables.concepts,
            control_statements(study.findings),
            native_statements(tables.native),
        )
        bank.save(job.folder / BANK)
