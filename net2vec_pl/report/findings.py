"""``findings.csv`` and ``findings.md``: what a run found, each number with its interval."""

from collections.abc import Sequence
from pathlib import Path

from net2vec_pl.report.tables import Row, write_csv


def write_findings(findings: Sequence[Row], folder: Path) -> None:
    """Write the findings as a table and as a page.

    Args:
        findings: Rows with ``question``, ``measure``, ``value``, ``low``, ``high``, ``n`` and
            ``statement``.
        folder: Where to.
    """
    write_csv(findings, folder / "findings.csv")
    lines = ["# Findings", ""]
    for question in dict.fromkeys(row["question"] for row in findings):
        lines += [f"## {question}", ""]
        lines += [f"* {row['statement']}" for row in findings if row["question"] == question]
        lines.append("")
    (folder / "findings.md").write_text("\n".join(lines), encoding="utf-8")
