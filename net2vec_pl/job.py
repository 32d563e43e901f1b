"""The way of a run: from a network and a dataset to tables, a page and a bank of embeddings.

Read :func:`do_job` first, then :func:`_layer`, which does all that is done for one layer. Every
step lives in the room of its name; ``docs/architecture.md`` lists them.
"""

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from net2vec_pl import processes
from net2vec_pl.activations import MemoryCache
from net2vec_pl.page.layer import leave_overview, leave_report
from net2vec_pl.pipeline.activations import find_activations
from net2vec_pl.pipeline.classification import Classified, classify
from net2vec_pl.pipeline.layer import LayerJob, key_of
from net2vec_pl.pipeline.options import RunOptions
from net2vec_pl.pipeline.segmentation import Segmented, bank_file, segment
from net2vec_pl.pipeline.setup import Subject, set_up
from net2vec_pl.pipeline.side_by_side import num_cores, side_by_side
from net2vec_pl.records import write_csv
from net2vec_pl.records.run import LayerRow
from net2vec_pl.report import (
    LastWords,
    LayerTables,
    concept_table,
    filter_table,
    layer_row,
    print_classified,
    print_summary,
    seed_table,
    write_card,
)
from net2vec_pl.runs import BANK, CLASSIFIERS, REPORT
from net2vec_pl.runs.folder import layer_folder
from net2vec_pl.runs.stages import Stages
from net2vec_pl.studies import Question, analyse
from net2vec_pl.studies.controls import QUESTION as IS_IT_REAL
from net2vec_pl.studies.study import Study
from net2vec_pl.tracking import JobLog

_log = logging.getLogger(__name__)


def do_job(
    subject: Subject,
    options: RunOptions,
    questions: Sequence[Question],
    folder: Path,
    device: torch.device,
    log: JobLog,
    command: str,
) -> None:
    """Learn a vector per concept at every layer, compare it with the best filter, and leave all.

    Args:
        subject: The network and its layers, the dataset and its concepts.
        options: How the run does its work.
        questions: What it asks besides scores, of the targets that it has.
        folder: The run folder, which this run has taken.
        device: Where the network runs.
        log: Where the fits are logged.
        command: The command that started the run, for the page.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    setup = set_up(subject, options, folder, command, device)
    for question in questions:
        question.check(setup)
    _log.info("device %s, %d process(es)", device, processes.count())
    stages = [
        Stages(layer_folder(folder, backbone.layer, len(setup.backbones)), key_of(setup, backbone))
        for backbone in setup.backbones
    ]
    found = zip(setup.backbones, stages, find_activations(setup, stages), strict=True)
    jobs = [LayerJob(setup, *one, log) for one in found]
    for question in questions:
        question.prepare(jobs)
    rows = _layers(jobs, questions)
    if processes.is_first() and len(rows) > 1:
        if options.report:
            leave_overview(folder, jobs, rows)
            _print_path("Report of all layers", folder / REPORT)
        write_csv(rows, folder / "layers.csv")  # the last: it says that the run has finished
    for stage in stages:
        stage.finish()
    log.leave([stage.folder for stage in stages])


def _layers(jobs: Sequence[LayerJob], questions: Sequence[Question]) -> list[LayerRow]:
    """Do all that is done for each layer; return their rows in the table of layers."""
    at_once = _at_once(jobs)
    if at_once > 1:
        _log.info("%d layers, %d at a time", len(jobs), at_once)
    work = side_by_side([partial(_layer, job, questions, at_once == 1) for job in jobs], at_once)
    rows = []
    # Several at a time have one bar, and their tables come when it is done.
    done = work if at_once == 1 else list(jobs[0].setup.progress("layers")(work))
    for job, tables in zip(jobs, done, strict=True):
        if processes.is_first():
            _tell(job, tables)
        rows.append(layer_row(job.backbone.layer, job.backbone.shape, tables))
    return rows


def _at_once(jobs: Sequence[LayerJob]) -> int:
    """Return how many layers' jobs share the cores; see :mod:`net2vec_pl.pipeline.side_by_side`."""
    setup = jobs[0].setup
    in_memory = all(isinstance(job.activations.stream.source, MemoryCache) for job in jobs)
    ready = in_memory or "segmentation" not in setup.options.targets
    alone = processes.count() == 1 and setup.device.type == "cpu" and sys.platform == "linux"
    return min(len(jobs), num_cores()) if alone and ready and jobs[0].log.forks else 1


def _layer(job: LayerJob, questions: Sequence[Question], alone: bool) -> LayerTables:
    """Do all that is done for one layer."""
    job.setup.progress.enabled &= alone  # bars of several at a time would overwrite each other
    targets = job.setup.options.targets
    classified = classify(job) if "classification" in targets else None
    segmented = segment(job) if "segmentation" in targets else None
    tables = _tables(job, segmented, classified)
    if processes.is_first():
        tables.write(job.folder)
    study = analyse(job, questions, segmented, classified)
    if processes.is_first():
        if job.setup.options.report:
            leave_report(study, tables)
        _write_banks(job, study, tables)  # the last: they say that the run has finished
    return tables


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
    )


def _write_banks(job: LayerJob, study: Study, tables: LayerTables) -> None:
    """Write the banks with their cards; the bank that segments is the last of all files."""
    if study.classification is not None:
        bank = study.classification.bank_file(job)
        write_card(job.folder / "classification.md", bank, tables.classification)
        bank.save(job.folder / CLASSIFIERS)
    if study.segmentation is not None:
        said = [found.statement for found in study.findings if found.question == IS_IT_REAL]
        bank = bank_file(job, study.segmentation.probe)
        write_card(job.folder / "bank.md", bank, tables.concepts, said)
        bank.save(job.folder / BANK)


def _tell(job: LayerJob, tables: LayerTables) -> None:
    console = LastWords()
    if tables.classification:
        print_classified(tables.classification, console)
    if tables.concepts:
        print_summary(tables.concepts, console, tables.probes)
    findings = job.folder / "findings.md"
    if findings.exists():
        console.print(findings.read_text(encoding="utf-8"), markup=False, highlight=False)
    _print_path("Run folder", job.folder)
    if job.setup.options.report:
        _print_path("Report", job.folder / REPORT)


def _print_path(what: str, path: Path) -> None:
    LastWords().print(f"{what}: {path}", soft_wrap=True, highlight=False, markup=False)
