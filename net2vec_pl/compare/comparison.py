"""Compare runs that have finished, and leave tables, figures and a page."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from matplotlib.figure import Figure

from net2vec_pl.analysis.neighbourhood import FEWEST
from net2vec_pl.compare import draw, tables, tell
from net2vec_pl.compare.check import differences
from net2vec_pl.compare.collect import collect
from net2vec_pl.compare.entry import SCORES, SEGMENTATION
from net2vec_pl.compare.over_images import counted
from net2vec_pl.compare.settings import Group, grouped
from net2vec_pl.errors import ConfigError, RunFolderError
from net2vec_pl.figures.style import save_figure
from net2vec_pl.records import Finding, Record, write_csv
from net2vec_pl.records.compare import CategoryRow, EntryRow, ExportedRow, LeftOutRow
from net2vec_pl.report import LastWords
from net2vec_pl.report.findings import write_findings
from net2vec_pl.report.page import Link, PageFigure, PageTable, write_page
from net2vec_pl.runs import REPORT
from net2vec_pl.version import __version__

_log = logging.getLogger(__name__)
PAGE = "comparison.html"


@dataclass
class Report:
    """What a comparison leaves in its folder: tables of all groups, figures and parts of the page.

    Args:
        folder: Where to.
        tables: Rows by name of the table.
        parts: Tables and figures of the page, by group.
        findings: Rows of ``findings.csv``.
    """

    folder: Path
    tables: dict[str, list[Record]] = field(default_factory=dict)
    parts: dict[str, list[PageTable | PageFigure]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, group: Group, name: str, rows: Sequence[Record], title: str) -> None:
        """Add a group's rows to a table, and to the page."""
        if rows:
            self.tables.setdefault(name, []).extend(rows)
            page = PageTable(title, tell.readable(rows), f"{name}.csv", tell.NOTES[name])
            self.parts.setdefault(group.name, []).append(page)

    def draw(self, group: Group, name: str, figure: Figure, title: str) -> None:
        """Write a figure, and add it to the page."""
        folder = self.folder / "figures"
        number = list(self.parts).index(group.name) if group.name in self.parts else len(self.parts)
        file = name if number == 0 else f"{name}_{number + 1}"
        save_figure(figure, folder, file)
        part = PageFigure.load(folder, file, title, f"{title}; the tables have its numbers")
        self.parts.setdefault(group.name, []).append(part)


def compare(
    given: Sequence[str], taken: Callable[[], AbstractContextManager[Path]], command: str
) -> None:
    """Compare runs that have finished, and leave tables, figures and a page.

    Args:
        given: Folders of runs or of sweeps, patterns, and exports of W&B's table of runs.
        taken: Takes the folder for the comparison, once there is something to compare.
        command: The command that started it, for the page.

    Raises:
        Net2VecError: If no run is found.
    """
    if not given or not all(given):
        raise ConfigError("runs is empty; name folders of runs or of a sweep: runs=multirun/NAME.")
    found = collect(given)
    groups = grouped(found.entries)
    with taken() as folder:
        if (folder / PAGE).exists():
            raise RunFolderError(f"{folder} already holds a comparison; choose another run.dir.")
        report = Report(folder)
        categories = [row for group in groups for row in _compare(group, report)]
        differing = differences(groups)
        runs: list[EntryRow | ExportedRow] = [*tables.entry_rows(groups), *found.exported]
        report.tables["runs"] = [*runs]
        report.tables["left_out"] = [*found.left_out]
        report.tables["differences"] = [row for d in differing for row in d.rows()]
        for name, rows in report.tables.items():
            if rows:
                write_csv(rows, folder / f"{name}.csv")
        if report.findings:
            write_findings(report.findings, folder)
        statements = [difference.statement for difference in differing]
        _page(report, groups, runs, found.left_out, statements, command)
        console = LastWords()
        tell.print_comparison(categories, statements, found.left_out, console)
        console.print(str(folder / PAGE), soft_wrap=True, highlight=False, markup=False)


def _compare(group: Group, report: Report) -> list[CategoryRow]:
    """Make every table and figure of a group, and return its means."""
    over_images = counted(group.scores(SEGMENTATION))
    categories = tables.category_rows(group, over_images)
    pairs = tables.pair_rows(group, over_images)
    report.findings += tell.findings(group, categories, pairs)
    report.parts[group.name] = []
    if categories:
        report.draw(group, "depth", draw.curves(group, categories), "Means over concepts")
    report.add(group, "categories", categories, "Settings by category")
    for target in SCORES:
        _concepts(group, target, report)
    report.add(group, "pairs", pairs, "Settings two by two")
    for target in SCORES:
        _embeddings(group, target, report)
    return categories


def _concepts(group: Group, target: str, report: Report) -> None:
    scores = group.scores(target)
    if scores is None:
        return
    suffix = "" if target == SEGMENTATION else f"_{target}"
    if scores.concepts:
        report.draw(
            group, f"concepts{suffix}", draw.heat_map(scores, target), f"Concepts, {target}"
        )
        if (figure := draw.scatters(scores, target)) is not None:
            report.draw(group, f"scatter{suffix}", figure, "Settings that differ most")
    report.add(
        group,
        f"concepts_by_entry{suffix}",
        tables.concept_rows(group, target),
        "Concepts by setting",
    )


def _embeddings(group: Group, target: str, report: Report) -> None:
    found = tables.embedded(group, target)
    if found is None:
        return
    report.findings += tell.embedding_findings(group, target, found)
    if len(found.pairs.compared) >= FEWEST:
        title = f"How alike embeddings are, {target}"
        report.draw(group, f"distances_{target}", draw.distances(found), title)
    rows = tables.distance_rows(group, target, found)
    report.add(group, "embedding_distances", rows, f"Embeddings two by two, {target}")


def _page(
    report: Report,
    groups: Sequence[Group],
    runs: Sequence[EntryRow | ExportedRow],
    left_out: Sequence[LeftOutRow],
    statements: Sequence[str],
    command: str,
) -> None:
    n_settings = sum(len(group.settings) for group in groups)
    write_page(
        report.folder / PAGE,
        "compare.html",
        headline=f"Runs on {' and '.join(names)}" if (names := list(report.parts)) else "Runs",
        counts=f"Settings: {n_settings}. Entries: {len(runs)}.",
        findings=[finding.statement for finding in report.findings],
        differences=statements,
        left_out=PageTable("Left out", [row.cells() for row in left_out], "left_out.csv"),
        groups=[{"name": name, "parts": parts} for name, parts in report.parts.items()],
        runs=PageTable(
            "All entries, each over its own concepts",
            _with_links(runs, report.folder / PAGE),
            "runs.csv",
        ),
        command=command,
        version=__version__,
        made=f"{datetime.now():%Y-%m-%d %H:%M}",
    )


def _with_links(runs: Sequence[EntryRow | ExportedRow], page: Path) -> list[dict[str, tell.Shown]]:
    """Let entries lead to the reports of their runs, where these have one."""
    rows = tell.readable(runs, left_out=())
    for row, run in zip(rows, runs, strict=True):
        if isinstance(run, EntryRow) and (path := Path(run.folder) / REPORT).exists():
            row["entry"] = Link.to_file(run.entry, path, page)
    return rows
