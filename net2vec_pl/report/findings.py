"""``findings.csv`` and ``findings.md``: what a run found, each number with its interval."""

from collections.abc import Sequence
from pathlib import Path

from net2vec_pl.records import Finding, write_csv


def write_findings(findings: Sequence[Finding], folder: Path) -> None:
    """Write the findings as a table and as a page, question by question.

    Args:
        findings: In the order in which they are told.
        folder: Where to.
    """
    write_csv(findings, folder / "findings.csv")
    lines = ["# Findings", ""]
    for question in dict.fromkeys(finding.question for finding in findings):
        lines += [f"## {question}", ""]
        lines += [f"* {found.statement}" for found in findings if found.question == question]
        lines.append("")
    (folder / "findings.md").write_text("\n".join(lines), encoding="utf-8")
