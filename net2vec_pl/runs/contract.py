"""What the files of a run folder say of its run; docs/architecture.md has the contract.

Only files are read, and nothing heavy is imported: whoever starts runs asks here how they ended.
"""

import csv
import math
from pathlib import Path
from statistics import fmean

BANK, CLASSIFIERS, REPORT = "bank.safetensors", "classification.safetensors", "report.html"
COUNTS = "val_counts.safetensors"
# What sweepers maximise: the first of these that the run has.
_SCORES = ("multi_val", "accuracy")
_HEADLINE = ("single_val", "multi_val", "ap_val", "best_accuracy", "accuracy", "auc")


def finished(folder: Path) -> bool:
    """Return whether a run has finished in a folder; its bank is written last."""
    classified = (folder / CLASSIFIERS).exists() and not (folder / "state").exists()
    return (folder / BANK).exists() or (folder / "layers.csv").exists() or classified


def headline(folder: Path) -> dict[str, float]:
    """Return the mean scores of a finished run, over its concepts, or over its layers' means.

    Returns:
        Column -> mean over what could be scored; nothing for a column that the run has not.
    """
    tables = [folder / "layers.csv"]
    if not tables[0].exists():
        tables = [folder / name for name in ("concepts.csv", "classification.csv")]
    means: dict[str, float] = {}
    for table in tables:
        if table.exists():
            with table.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            for name in _HEADLINE if rows else ():
                if name in rows[0] and name not in means:
                    values = [v for row in rows if not math.isnan(v := float(row[name] or "nan"))]
                    means[name] = fmean(values) if values else math.nan
    return means


def score(folder: Path) -> float:
    """Return what sweepers maximise: mean val set IoU of several filters, else mean accuracy.

    Returns:
        In [0, 1]; NaN if nothing could be scored.
    """
    means = headline(folder)
    return next((means[name] for name in _SCORES if name in means), math.nan)
