"""``python -m benchmarks [PART ...]``: print the table; exit 1 if a promise is not kept."""

import logging
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import growth, layers, rows, sums
from benchmarks.material import Material, material

PARTS: dict[str, Callable[[Material], list[rows.Row]]] = {
    "fit": rows.fit_rows,
    "pixels": rows.pixel_rows,
    "curves": rows.curve_rows,
    "sums": sums.sum_rows,
    "baseline": rows.baseline_rows,
    "thresholds": rows.threshold_rows,
    "cache": rows.cache_rows,
    "job": rows.job_rows,
    "memory": rows.memory_rows,
    "layers": layers.layer_rows,
}


def main(chosen: list[str]) -> int:
    """Measure some parts, all of them if none is named; ``growth`` is measured when named alone."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    unknown = set(chosen) - {*PARTS, "growth"}
    if unknown:
        sys.stderr.write(f"error: unknown part {sorted(unknown)}; known: {[*PARTS, 'growth']}\n")
        return 1
    console = Console(width=140)
    console.print(
        f"{os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    with material() as m:
        console.print(f"data {m.reader.name}, weights {'real' if m.weights else 'random'}")
        if chosen == ["growth"]:
            console.print(growth.table(m))
            return 0
        found = [row for name in chosen or PARTS for row in PARTS[name](m)]
    table = Table("what: against whom", "ours", "theirs", "times less", "promised", "kept")
    for row in found:
        promised = "-" if row.bar is None else f"{'≥' if row.theirs else '≤'} {row.bar:g}"
        times = f"{row.ratio:.1f}" if row.theirs else ""
        kept = "yes" if row.holds else "NO"
        table.add_row(
            row.name,
            _spread(row.ours, row.unit),
            _spread(row.theirs, row.unit),
            times,
            promised,
            kept,
        )
    console.print(table)
    return 0 if all(row.holds for row in found) else 1


def _spread(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g} {unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
