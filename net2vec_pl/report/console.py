"""The last words of a run: what gains most, the means, and where everything lies."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from net2vec_pl.report.tables import Row

_SHOWN = 10


class LastWords(Console):
    """A console on stdout whose reader may have gone: the run is done and has not failed."""

    def on_broken_pipe(self) -> None:
        """Write the rest to nowhere, where rich would exit."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class Gain:
    """How often several filters beat the best one, over concepts that both score on val.

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


def gain(rows: Sequence[Row]) -> Gain:
    """Compare the learned combination with the best single filter, on val.

    Example:
        >>> gain([{"multi_val": 0.4, "single_val": 0.1}, {"multi_val": np.nan, "single_val": 0.1}])
        Gain(won=1, scored=1)
    """
    scored = _scored(rows)
    return Gain(sum(row["multi_val"] > row["single_val"] for row in scored), len(scored))


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if np.isfinite(r["multi_val"]) and np.isfinite(r["single_val"])]


def print_summary(rows: Sequence[Row], console: Console) -> None:
    """Print the concepts that gain most, the means by category, and the share won.

    Args:
        rows: The concept table.
        console: Where to print.
    """
    scored = _scored(rows)
    if scored:
        console.print(_gainers(scored))
        console.print(_means(rows, scored))
        result = gain(rows)
        console.print(
            f"Several filters beat the best single one on val for "
            f"[bold]{result.won} of {result.scored}[/bold] concepts ({result.share:.0%})."
        )
    else:
        console.print("No concept could be scored on val; concepts.csv says why.")


def print_classified(rows: Sequence[Row], console: Console) -> None:
    """Print mean accuracies by category: one filter, and all.

    Args:
        rows: The table of classification.
        console: Where to print.
    """
    table = Table(title="Balanced accuracy on val, means over concepts, by category")
    table.add_column("category")
    for name in ("concepts", "scored", "top filter", "best filter", "all filters", "AP", "AUC"):
        table.add_column(name, justify="right")
    columns = ("top_accuracy", "best_accuracy", "accuracy", "ap", "auc")
    for category in [*dict.fromkeys(row["category"] for row in rows), "all"]:
        asked = [r for r in rows if category in (r["category"], "all")]
        if category == "all":
            table.add_section()
        scored = [r for r in asked if np.isfinite(r["accuracy"])]
        means = [f"{np.mean([r[c] for r in scored]):.3f}" if scored else "-" for c in columns]
        table.add_row(escape(category), str(len(asked)), str(len(scored)), *means)
    console.print(table)


def _gainers(scored: Sequence[Row]) -> Table:
    ordered = sorted(scored, key=lambda row: row["single_val"] - row["multi_val"])[:_SHOWN]
    table = Table(
        title=f"Set IoU on val: the {len(ordered)} concepts that gain most from several filters"
    )
    for name in ("concept", "category"):
        table.add_column(name)
    for name in ("images", "best filter", "single", "several", "gain"):
        table.add_column(name, justify="right")
    for row in ordered:
        table.add_row(
            escape(row["name"]),
            escape(row["category"]),
            str(row["n_val"]),
            str(row["best_filter"]),
            f"{row['single_val']:.3f}",
            f"{row['multi_val']:.3f}",
            f"{row['multi_val'] - row['single_val']:+.3f}",
        )
    return table


def _means(rows: Sequence[Row], scored: Sequence[Row]) -> Table:
    table = Table(title="Means over concepts, by category")
    table.add_column("category")
    for name in ("concepts", "scored", "single", "several", "AP", "won"):
        table.add_column(name, justify="right")
    categories = list(dict.fromkeys(row["category"] for row in rows))
    for category in [*categories, "all"]:
        asked = [r for r in rows if category in (r["category"], "all")]
        chosen = [r for r in scored if category in (r["category"], "all")]
        if category == "all":
            table.add_section()
        means = [
            f"{np.mean([r[key] for r in chosen]):.3f}" if chosen else "-"
            for key in ("single_val", "multi_val", "ap_val")
        ]
        won = f"{gain(chosen).share:.0%}" if chosen else "-"
        table.add_row(escape(category), str(len(asked)), str(len(chosen)), *means, won)
    return table
