"""``report.html`` of a layer, made of what its job has found; and that of several layers."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

import net2vec_pl
from net2vec_pl.options import quoted
from net2vec_pl.page.figures import page_figure
from net2vec_pl.page.gallery import gallery
from net2vec_pl.page.made import how_made
from net2vec_pl.page.rows import concept_rows
from net2vec_pl.page.views import Views
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.report import gain
from net2vec_pl.report.layer_page import LayerPage, write_report
from net2vec_pl.report.page import Link, PageTable, write_page
from net2vec_pl.report.tables import Row, nan_mean
from net2vec_pl.runs import REPORT
from net2vec_pl.studies.study import Study, interval

_LAYERS_NOTE = (
    "multi_val: set IoU of several filters, single_val: of the best one, ap_val: average precision."
)


def leave_report(study: Study, tables: Mapping[str, Sequence[Row]]) -> None:
    """Write the page of a layer into its folder.

    Args:
        study: The layer, after its analyses.
        tables: ``concepts.csv``, ``classification.csv``, ``filters.csv``: those there are.
    """
    job, seen = study.job, gallery(study)
    views = Views(study, seen, concept_rows(tables, study.tables))
    page = LayerPage(
        title=f"{job.backbone.model} {job.backbone.layer} on {job.setup.reader.name}",
        findings=study.findings,
        key_numbers=_key_numbers(tables, study),
        concepts=views.concepts(),
        filters=views.filters(tables.get("filters.csv")),
        pictures=seen.pictures,
        spaces=views.spaces(),
        made=how_made(study, len(seen.pictures)),
        figures=[page_figure(job.folder / "figures", name) for name in study.figures],
        command=job.setup.command,
        score="largest response anywhere" if study.segmentation else "mean response",
    )
    write_report(job.folder / REPORT, page)


def leave_overview(folder: Path, jobs: Sequence[LayerJob], rows: Sequence[Row]) -> None:
    """Write the page of a run of several layers into its folder: their means, and where theirs are.

    Args:
        folder: The run folder.
        jobs: Of the layers.
        rows: ``layers.csv``.
    """
    first, page = jobs[0], folder / REPORT
    linked = [
        row | {"layer": Link.to_file(row["layer"], job.folder / REPORT, page)}
        for row, job in zip(rows, jobs, strict=True)
    ]
    write_page(
        page,
        "layers.html",
        title=f"{first.backbone.model} on {first.setup.reader.name}: {len(jobs)} layers",
        table=PageTable("Means over concepts, on val", linked, "layers.csv", _LAYERS_NOTE),
        compare=shlex.join(["python", "train.py", "task=compare", f"runs={quoted(folder)}"]),
        command=first.setup.command,
        version=net2vec_pl.__version__,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


def _key_numbers(tables: Mapping[str, Sequence[Row]], study: Study) -> dict[str, str]:
    numbers: dict[str, str] = {}
    if concepts := tables.get("concepts.csv"):
        won = gain(concepts)
        numbers |= {
            "mean set IoU on val, several filters": _mean(concepts, "multi_val", study, "several"),
            "mean set IoU on val, best single filter": _mean(
                concepts, "single_val", study, "single"
            ),
            "concepts that several filters segment better": f"{won.won} of {won.scored}",
        }
    if classified := tables.get("classification.csv"):
        numbers |= {
            "mean balanced accuracy, all filters": _mean(classified, "accuracy"),
            "mean balanced accuracy, best single filter": _mean(classified, "best_accuracy"),
        }
    return numbers | {"filters": str(study.job.backbone.shape[0])}


def _mean(rows: Sequence[Row], column: str, study: Study | None = None, measure: str = "") -> str:
    """Return the mean of a column, with its interval where the analyses have one."""
    gains = [] if study is None else study.tables.get("gains", [])
    for row in gains:
        if row["category"] == "all":
            return interval(np.array([row[measure], row[f"{measure}_low"], row[f"{measure}_high"]]))
    return f"{nan_mean(row[column] for row in rows):.3f}"
