"""``report.html`` of a layer, made of what its job has found; and that of several layers."""

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from net2vec_pl.options import quoted
from net2vec_pl.page.figures import page_figures
from net2vec_pl.page.gallery import gallery
from net2vec_pl.page.made import how_made
from net2vec_pl.page.rows import concept_rows
from net2vec_pl.page.views import Views
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.records import Estimate
from net2vec_pl.records.run import LayerRow, NativeRow, ProbeRow
from net2vec_pl.records.studies import GainRow, IntervalRow, NeededRow
from net2vec_pl.report import LayerTables, gain
from net2vec_pl.report.layer_page import LayerPage, write_report
from net2vec_pl.report.native import native_means
from net2vec_pl.report.page import Link, PageTable, write_page
from net2vec_pl.report.probes import nan_mean, probe_means
from net2vec_pl.runs import REPORT
from net2vec_pl.studies.study import Study, interval
from net2vec_pl.units import told
from net2vec_pl.version import __version__

_LAYERS_NOTE = (
    "multi_val: set IoU of the combination, single_val: of the best single filter, ap_val: average "
    "precision, known: concepts that beat every reference level."
)


def leave_report(study: Study, tables: LayerTables, path: Path) -> None:
    """Write the page of a layer.

    Args:
        study: The layer, after its analyses.
        tables: The tables of the layer.
        path: Path of the page.
    """
    job, seen = study.job, gallery(study)
    intervals, needed = (
        study.table(IntervalRow, "intervals"),
        study.table(NeededRow, "filters_needed"),
    )
    views = Views(study, seen, concept_rows(tables, intervals, needed))
    page = LayerPage(
        title=f"{job.backbone.model} {job.backbone.layer} on {job.setup.reader.name}",
        findings=study.findings,
        key_numbers=_key_numbers(tables, study),
        concepts=views.concepts(),
        filters=views.filters(tables.filters),
        pictures=seen.pictures,
        spaces=views.spaces(),
        made=how_made(study, len(seen.pictures)),
        figures=page_figures(study),
        command=job.setup.command,
        score="largest response anywhere" if study.segmentation else "mean response",
        units=told(job.backbone.units.plain, job.backbone.shape[0]),
    )
    write_report(path, page)


def leave_overview(folder: Path, jobs: Sequence[LayerJob], rows: Sequence[LayerRow]) -> None:
    """Write the page of a run of several layers into its folder: their means, and where theirs are.

    Args:
        folder: The run folder.
        jobs: Jobs of the layers.
        rows: ``layers.csv``.
    """
    first, page = jobs[0], folder / REPORT
    linked = [
        {**row.cells(), "layer": Link.to_file(row.layer, job.folder / REPORT, page)}
        for row, job in zip(rows, jobs, strict=True)
    ]
    write_page(
        page,
        "layers.html",
        title=f"{first.backbone.model} on {first.setup.reader.name}: {len(jobs)} layers",
        table=PageTable("Means over concepts, on val", linked, "layers.csv", _LAYERS_NOTE),
        compare=shlex.join(["python", "train.py", "task=compare", f"runs={quoted(folder)}"]),
        command=first.setup.command,
        version=__version__,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


def _key_numbers(tables: LayerTables, study: Study) -> dict[str, str]:
    numbers: dict[str, str] = {}
    if concepts := tables.concepts:
        numbers |= _known(tables.probes) | _native(tables.native)
        won, means = gain(concepts), _means(study)
        multi = _estimate(means.multi) if means else _mean(row.multi_val for row in concepts)
        single = _estimate(means.single) if means else _mean(row.single_val for row in concepts)
        numbers |= {
            "mean set IoU on val, combination": multi,
            "mean set IoU on val, best single filter": single,
            "concepts that the combination segments better": f"{won.won} of {won.scored}",
        }
    if classified := tables.classification:
        numbers |= {
            "mean balanced accuracy, all filters": _mean(row.multi.accuracy for row in classified),
            "mean balanced accuracy, best single filter": _mean(
                row.best.accuracy for row in classified
            ),
        }
    return numbers | {"filters": str(study.job.backbone.shape[0])}


def _known(probes: Sequence[ProbeRow]) -> dict[str, str]:
    """Say how many concepts the run's own probe knows, and the one that knows most."""
    if not probes:
        return {}
    means = [mean for mean in probe_means(probes) if mean.role == "probe"]
    own, best = means[0], max(means, key=lambda mean: mean.known)
    numbers = {f"concepts known by {own.name}": f"{own.known} of {own.tested}"}
    if best is not own:
        numbers[f"concepts known by {best.name}"] = f"{best.known} of {best.tested}"
    return numbers


def _native(rows: Sequence[NativeRow]) -> dict[str, str]:
    """Say the mIoU of the run's own probe and of the best, by category, on masks of another size.

    The best has the highest mean over categories.
    """
    if not rows:
        return {}
    means = native_means(rows)
    best = max(means, key=lambda mean: nan_mean(mean.argmax.values()))
    return {
        f"mIoU by argmax on masks of {mean.size}, {mean.probe}": ", ".join(
            f"{category} {score:.3f}" for category, score in mean.argmax.items()
        )
        for mean in (means[0], best)
    }


def _means(study: Study) -> GainRow | None:
    """Return the means over all concepts with their intervals, where the analyses have them."""
    return next((row for row in study.table(GainRow, "gains") if row.category == "all"), None)


def _estimate(found: Estimate) -> str:
    return interval(np.array([found.value, found.low, found.high]))


def _mean(values: Iterable[float]) -> str:
    return f"{nan_mean(values):.3f}"
