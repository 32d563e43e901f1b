"""The last words of a run: what gains most, the means, and where everything lies."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.records.run import ClassifiedRow, ConceptRow, NativeRow, ProbeRow
from net2vec_pl.report.native import NativeMeans, native_means
from net2vec_pl.report.probes import ProbeMeans, probe_means

_SHOWN = 10


class LastWords(Console):
    """A console on stdout whose reader may have gone: the run is done and has not failed."""

    def on_broken_pipe(self) -> None:
        """Write the rest to nowhere, where rich would exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class Gain:
    """How often the combination scores higher than the best single filter, on val.

    Args:
        won: Concepts with multi_val above single_val.
        scored: Concepts with both scores.
    """

    won: int
    scored: int

    @property
    def share(self) -> float:
        """Share of concepts won; NaN if none was scored."""
        return self.won / self.scored if self.scored else np.nan


def gain(rows: Sequence[ConceptRow]) -> Gain:
    """Compare the learned combination with the best single filter, on val."""
    scored = _scored(rows)
    return Gain(sum(row.multi_val > row.single_val for row in scored), len(scored))


def _scored(rows: Sequence[ConceptRow]) -> list[ConceptRow]:
    return [r for r in rows if np.isfinite(r.multi_val) and np.isfinite(r.single_val)]


def print_summary(
    rows: Sequence[ConceptRow],
    console: Console,
    probes: Sequence[ProbeRow] = (),
    native: Sequence[NativeRow] = (),
) -> None:
    """Print the concepts that gain most, the means, how many concepts are known, the share won.

    Args:
        rows: The concept table.
        console: Where to print.
        probes: The table of probes and reference levels.
        native: The table of scores on masks of another size.
    """
    scored = _scored(rows)
    if scored:
        console.print(_gainers(scored))
        console.print(_means(rows, scored))
        if probes:
            means = probe_means(probes)
            console.print(_beside(means))
            console.print(_known(means))
        if native:
            console.print(_native(native_means(native)))
        result = gain(rows)
        console.print(
            f"The combination of filters scores higher on val than the best single filter for "
            f"[bold]{result.won} of {result.scored}[/bold] concepts ({result.share:.0%})."
        )
    else:
        console.print("No concept could be scored on val; concepts.csv says why.")


def print_classified(rows: Sequence[ClassifiedRow], console: Console) -> None:
    """Print mean accuracies by category: of one filter, and of all; and on how many images.

    Args:
        rows: The table of classification.
        console: Where to print.
    """
    table = Table(title="Balanced accuracy on val, means over concepts, by category")
    table.add_column("category")
    for name in ("concepts", "scored", "top filter", "best filter", "all filters", "AP", "AUC"):
        table.add_column(name, justify="right")
    for category in [*dict.fromkeys(row.category for row in rows), "all"]:
        asked = [r for r in rows if category in (r.category, "all")]
        if category == "all":
            table.add_section()
        scored = [r for r in asked if np.isfinite(r.multi.accuracy)]
        columns = zip(*map(_accuracies, scored), strict=True)
        means = [f"{np.mean(column):.3f}" for column in columns] or ["-"] * 5
        table.add_row(escape(category), str(len(asked)), str(len(scored)), *means)
    console.print(table)
    console.print(_rest_on([r for r in rows if np.isfinite(r.multi.accuracy)]))


def _rest_on(scored: Sequence[ClassifiedRow]) -> str:
    """Say how many images the scores of classifiers rest on, and what groups alone give."""
    if not scored:
        return "No classifier could be scored on val; classification.csv says why."
    fewest = min(min(row.n_val, row.n_val_without) for row in scored)
    images = (
        f"Every concept scored has at least {fewest:.0f} val images with it and as many without."
    )
    groups = [row.group_auc for row in scored if row.group_auc is not None]
    if not groups:
        return images
    return f"{images} The group of an image alone has a mean AUC of {np.mean(groups):.3f}."


def _beside(means: Sequence[ProbeMeans]) -> Table:
    table = Table(title="Probes and reference levels: means over concepts, on val")
    table.add_column("")
    for name in ("set IoU", "known", "AP", "annotated", "argmax"):
        table.add_column(name, justify="right")
    for role in ("probe", "reference"):
        for mean in (m for m in means if m.role == role):
            scores = (mean.ap, mean.annotated, mean.argmax)
            known = str(mean.known) if role == "probe" else "-"
            cells = (f"{score:.3f}" if np.isfinite(score) else "-" for score in scores)
            table.add_row(escape(mean.name), f"{mean.val:.3f}", known, *cells)
        table.add_section()
    return table


def _known(means: Sequence[ProbeMeans]) -> str:
    """Say how many concepts are known, by the probe that knows most and by the run's own."""
    own, most = means[0], max((m for m in means if m.role == "probe"), key=lambda m: m.known)
    others = "" if most is own else f", {escape(own.name)} {own.known}"
    return (
        f"Concepts known: {escape(most.name)} [bold]{most.known} of {most.tested}[/bold]{others}. "
        "Their set IoU on val is above every reference level, by test."
    )


def _native(means: Sequence[NativeMeans]) -> Table:
    table = Table(title=f"On masks of {means[0].size}: means over concepts, on val")
    table.add_column("")
    categories = list(means[0].argmax)
    for name in ("set IoU", *(f"mIoU {escape(category)}" for category in categories)):
        table.add_column(name, justify="right")
    for mean in means:
        scores = (mean.iou, *(mean.argmax[category] for category in categories))
        table.add_row(escape(mean.probe), *(f"{score:.3f}" for score in scores))
    return table


def _accuracies(row: ClassifiedRow) -> tuple[float, ...]:
    return row.top.accuracy, row.best.accuracy, row.multi.accuracy, row.multi.ap, row.multi.auc


def _gainers(scored: Sequence[ConceptRow]) -> Table:
    ordered = sorted(scored, key=lambda row: row.single_val - row.multi_val)[:_SHOWN]
    table = Table(
        title=f"Set IoU on val: the {len(ordered)} concepts that gain most from combining filters"
    )
    for name in ("concept", "category"):
        table.add_column(name)
    levels = any(row.known for row in scored)
    names = ("images", "best filter", "single", "multi", "gain")
    for name in (*names, "level") if levels else names:
        table.add_column(name, justify="right")
    for row in ordered:
        more = (f"{row.reference_val:.3f}",) if levels else ()
        table.add_row(
            escape(row.name),
            escape(row.category),
            str(row.n_val),
            str(row.best_filter),
            f"{row.single_val:.3f}",
            f"{row.multi_val:.3f}",
            f"{row.multi_val - row.single_val:+.3f}",
            *more,
        )
    return table


def _means(rows: Sequence[ConceptRow], scored: Sequence[ConceptRow]) -> Table:
    table = Table(title="Means over concepts, by category")
    table.add_column("category")
    for name in ("concepts", "scored", "single", "multi", "AP", "won"):
        table.add_column(name, justify="right")
    categories = list(dict.fromkeys(row.category for row in rows))
    for category in [*categories, "all"]:
        asked = [r for r in rows if category in (r.category, "all")]
        chosen = [r for r in scored if category in (r.category, "all")]
        if category == "all":
            table.add_section()
        scores = zip(*((r.single_val, r.multi_val, r.ap_val) for r in chosen), strict=True)
        means = [f"{np.mean(column):.3f}" for column in scores] or ["-"] * 3
        won = f"{gain(chosen).share:.0%}" if chosen else "-"
        table.add_row(escape(category), str(len(asked)), str(len(chosen)), *means, won)
    return table
