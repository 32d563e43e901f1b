"""The tables of the console, where there is more, or less, than the planted run has."""

import io
import math
import re
from typing import Any

from rich.console import Console

from net2vec_pl.report.console import Gain, gain, print_classified, print_summary


def row(number: int, single: float, several: float, **others: Any) -> dict[str, Any]:
    """Return a row of the table of concepts."""
    scores = {"single_val": single, "multi_val": several, "ap_val": several / 2}
    name = {"name": f"concept {number}", "category": "object", "n_val": 40 + number}
    return name | {"n_train": number, "best_filter": 100 + number, "norm": 1.0} | scores | others


def lines(rows: list[dict[str, Any]], classified: bool = False) -> list[list[str]]:
    """Return the cells of all printed lines."""
    console = Console(file=io.StringIO(), width=200)
    (print_classified if classified else print_summary)(rows, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    cells = [[c.strip() for c in re.split("[│┃]", line)] for line in text.splitlines()]
    return [[c for c in line if c] for line in cells]


def test_ten_concepts_are_shown_those_that_gain_most_first() -> None:
    # Gains of -5 to 6 hundredths, in another order than those of the scores.
    rows = [row(n, 0.5 - n / 50, 0.5 - n / 50 + (7 * n % 12 - 5) / 100) for n in range(12)]
    shown = [line for line in lines(rows) if line and line[0].startswith("concept ")]
    order = sorted(range(12), key=lambda n: -(7 * n % 12))[:10]
    assert [line[0] for line in shown] == [f"concept {n}" for n in order]
    assert [line[2:4] for line in shown] == [[str(40 + n), str(100 + n)] for n in order]
    assert [line[-1] for line in shown] == [f"{(7 * n % 12 - 5) / 100:+.3f}" for n in order]
    text = [line[0] for line in lines(rows) if line]
    assert "Set IoU on val: the 10 concepts that gain most from several filters" in text
    won = "Several filters beat the best single one on val for 6 of 12 concepts (50%)."
    assert won in text


def test_a_tie_is_no_win_and_what_has_one_score_is_not_compared() -> None:
    rows = [
        row(1, 0.25, 0.25),
        row(2, 0.25, 0.5),
        row(3, math.nan, 0.5),
        row(4, 0.5, math.nan),
    ]
    assert gain(rows) == Gain(1, 2)
    assert gain(rows).share == 0.5
    assert math.isnan(gain(rows[2:]).share)
    text = [line[0] for line in lines(rows) if line]
    assert text[-1] == "Several filters beat the best single one on val for 1 of 2 concepts (50%)."


def test_where_nothing_is_scored_the_table_is_named_that_says_why() -> None:
    said = lines([row(1, math.nan, 0.5)])
    assert said == [["No concept could be scored on val; concepts.csv says why."]]


def test_means_of_classification_are_over_what_was_scored() -> None:
    names = ("top_accuracy", "best_accuracy", "accuracy", "ap", "auc")
    scores = [(0.5, 0.6, 0.9, 0.7, 0.8), (0.5, 0.5, 0.5, 0.1, 0.2), (math.nan,) * 5]
    rows = [{"category": "object", **dict(zip(names, s, strict=True))} for s in scores]
    rows.append({"category": "scene", **dict(zip(names, (0.9, 0.9, 1.0, 1.0, 1.0), strict=True))})
    printed = {line[0]: line[1:] for line in lines(rows, classified=True) if line}
    head = ["concepts", "scored", "top filter", "best filter", "all filters", "AP", "AUC"]
    assert printed["category"] == head
    assert printed["object"] == ["3", "2", "0.500", "0.550", "0.700", "0.400", "0.500"]
    assert printed["scene"] == ["1", "1", "0.900", "0.900", "1.000", "1.000", "1.000"]
    assert printed["all"] == ["4", "3", "0.633", "0.667", "0.800", "0.600", "0.667"]
