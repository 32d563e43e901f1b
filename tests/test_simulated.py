"""Intervals hold the truth about as often as they say, and tests reject as often as they should.

Everything that a run prints with an interval or a p-value is drawn many times from a law whose
truth is known. The table stands in docs/method.md; to write it anew:

    NET2VEC_NEW_TABLE=1 python -m pytest tests/test_simulated.py -m slow
"""

import importlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "method.md"
START, END = "<!-- simulated: made by tests/test_simulated.py -->", "<!-- simulated: end -->"
RUNS = 2000
NAMES = sorted(path.stem for path in (ROOT / "tests" / "simulated").glob("[a-z]*.py"))
# Of three films, one of which has most pictures, hardly anything is known; the page says so.
TOO_LONG = ["coverage, mean gain, films of 86, 31 and 17, alike by 0.35"]
HEAD = "| of what | on which draws | share |\n|---|---|---|"


def rows(name: str) -> dict[str, float]:
    """Return the share of every case of a module."""
    cases = importlib.import_module(f"simulated.{name}").CASES
    return {label: float(case(RUNS)) for label, case in cases.items()}


def written() -> dict[str, float]:
    """Return the shares that the page has, by label."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index(START) : text.index(END)].splitlines()[4:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line]
    return {f"{what}, {drawn}": float(share.rstrip(" %")) / 100 for what, drawn, share in cells}


def line(label: str, share: float) -> str:
    kind, what, *drawn = label.split(", ")
    return f"| {kind}, {what} | {', '.join(drawn)} | {100 * share:.1f} % |"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_coverage_and_level_are_as_the_page_says(name: str) -> None:
    found = rows(name)
    if "NET2VEC_NEW_TABLE" in os.environ:
        text = PAGE.read_text(encoding="utf-8")
        shares = {**written(), **found}
        table = "\n".join([START, "", HEAD, *(line(*row) for row in sorted(shares.items())), END])
        start, end = text.index(START), text.index(END) + len(END)
        PAGE.write_text(text[:start] + table + text[end:], encoding="utf-8")
    page = written()
    for label, share in found.items():
        assert share == pytest.approx(page[label], abs=0.005), label
        low, high = (92, 98 if label in TOO_LONG else 97)
        if label.startswith("level"):
            low, high = 3, 7
        assert low <= round(100 * share) <= high, label


def test_the_page_has_a_row_for_every_case() -> None:
    labels = {
        label for name in NAMES for label in importlib.import_module(f"simulated.{name}").CASES
    }
    assert labels == {*written()}
