"""The main job: freeze a network, learn a vector per concept, compare it with the best filter."""

import logging
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from net2vec_pl import processes
from net2vec_pl.activations.cache import make_root
from net2vec_pl.report import (
    LastWords,
    concept_table,
    filter_table,
    layer_row,
    print_classified,
    print_summary,
    seed_table,
    write_csv,
)
from net2vec_pl.report.tables import Row
from net2vec_pl.tasks import build
from net2vec_pl.tasks.analyses import analyse, analyses_from, check_analyses
from net2vec_pl.tasks.answers import find_answers
from net2vec_pl.tasks.classification import Classified, classify
from net2vec_pl.tasks.folder import (
    BANK,
    CLASSIFIERS,
    finished,
    layer_folder,
    mean_score,
    run_folder,
)
from net2vec_pl.tasks.launch import launched
from net2vec_pl.tasks.layer import LayerJob, key_of
from net2vec_pl.tasks.segmentation import Segmented, bank_file, segment
from net2vec_pl.tasks.setup import set_up
from net2vec_pl.tasks.stages import Stages

_log = logging.getLogger(__name__)


def run(config: DictConfig) -> float:
    """Do the whole job of a configuration and leave a run folder.

    Args:
        config: The composed tree of conf/.

    Returns:
        Mean val set IoU over the probed concepts (and layers), for sweepers; mean accuracy where
        nothing is segmented.

    Raises:
        Net2VecError: If anything the user gave cannot be used.
    """
    build.quiet_lightning()
    options = build.options_from(config)
    analyses = analyses_from(config.analysis, options.targets)
    if config.run.resume and finished(Path(config.run.dir)):
        _log.info(
            "%s has finished: nothing is left to do, whatever else was asked for", config.run.dir
        )
        return mean_score(Path(config.run.dir))
    trainer = build.trainer_from(config.trainer, options.protocol.epochs, Path(), False, [])
    with launched(trainer), run_folder(config) as folder:
        if options.cache == "disk":
            processes.from_first(lambda: make_root(options.cache_dir))
        device = trainer.strategy.root_device
        setup = set_up(config, options, folder, device)
        check_analyses(analyses, setup, config.analysis)
        _log.info("device %s, %d process(es)", device, processes.count())
        stages = [
            Stages(
                layer_folder(folder, backbone, len(setup.backbones)),
                key_of(setup, backbone, config),
            )
            for backbone in setup.backbones
        ]
        found = zip(setup.backbones, stages, find_answers(setup, stages), strict=True)
        rows = [_layer(LayerJob(setup, config, *one), analyses) for one in found]
        if processes.is_first() and len(rows) > 1:
            write_csv(rows, folder / "layers.csv")
        for stage in stages:
            stage.finish()
    score = "multi_val" if "multi_val" in rows[0] else "accuracy"
    return float(np.mean([row[score] for row in rows]))


def _layer(job: LayerJob, analyses: list[str]) -> Row:
    """Do all that is done for one layer, and return its row in the table of layers."""
    targets = job.setup.options.targets
    classified = classify(job) if "classification" in targets else None
    segmented = segment(job) if "segmentation" in targets else None
    tables = {}
    if classified is not None:
        tables["classification.csv"] = classified.table
    if segmented is not None:
        tables |= _tables(job, segmented)
    if processes.is_first():
        for name, table in tables.items():
            write_csv(table, job.folder / name)
    analyse(job, analyses, segmented, classified)
    if processes.is_first():
        _write_banks(job, segmented, classified)  # the last: they say that the run has finished
        if classified is not None:
            print_classified(classified.table, LastWords())
        if segmented is not None:
            print_summary(tables["concepts.csv"], LastWords())
        _say(job)
    return layer_row(
        job.backbone.layer,
        job.backbone.shape,
        tables.get("concepts.csv"),
        tables.get("classification.csv"),
    )


def _tables(job: LayerJob, segmented: Segmented) -> dict[str, list[Row]]:
    scores, baseline = segmented.scores, segmented.baseline
    tables = {
        "concepts.csv": concept_table(job.setup.selection, baseline, scores[0]),
        "filters.csv": filter_table(job.answers.thresholds.cpu(), baseline, job.vocabulary),
    }
    if len(scores) > 1:
        tables["seeds.csv"] = seed_table(job.vocabulary, job.setup.seeds, scores)
    return tables


def _write_banks(job: LayerJob, segmented: Segmented | None, classified: Classified | None) -> None:
    if classified is not None:
        classified.bank_file(job).save(job.folder / CLASSIFIERS)
    if segmented is not None:
        bank_file(job, segmented.probe).save(job.folder / BANK)


def _say(job: LayerJob) -> None:
    console = LastWords()
    findings = job.folder / "findings.md"
    if findings.exists():
        console.print(findings.read_text(encoding="utf-8"), markup=False, highlight=False)
    console.print(f"Run folder: {job.folder}", soft_wrap=True, highlight=False, markup=False)
