"""The tables of the console, where there is more, or less, than the planted run has."""

import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import Console

from net2vec_pl.records.run import ClassifiedRow, ClassifierScores, ConceptRow
from net2vec_pl.report.console import Gain, gain, print_classified, print_summary

WON = "The combination of filters scores higher on val than the best single filter for"


def row(number: int, single: float, multi: float) -> ConceptRow:
    """Return a row of the table of concepts."""
    return ConceptRow(
        id=number,
        name=f"concept {number}",
        category="object",
        n_train=number,
        n_val=40 + number,
        alpha=0.5,
        best_filter=100 + number,
        single_train=math.nan,
        single_val=single,
        multi_train=math.nan,
        multi_val=multi,
        ap_val=multi / 2,
        norm=1.0,
        status="ok",
    )


def classified(category: str, *scores: float, **more: Any) -> ClassifiedRow:
    """Return a row of the table of classification.

    Args:
        category: Of the concept.
        scores: Accuracy of the top, the best and all filters, AP and AUC of all.
        more: What else the row has.
    """
    top, best, multi, ap, auc = scores
    return ClassifiedRow(
        id=1,
        name="a concept",
        category=category,
        n_train=1,
        n_val=more.pop("n_val", 11),
        n_val_without=more.pop("n_val_without", 12),
        n_val_annotated=12,
        top_filter=0,
        best_filter=0,
        multi=ClassifierScores(multi, ap, auc, math.nan, math.nan),
        top=ClassifierScores(top, *[math.nan] * 4),
        best=ClassifierScores(best, *[math.nan] * 4),
        norm=1.0,
        status="ok",
        **more,
    )


def lines(rows: list[Any], prints: Callable[[Any, Console], None]) -> list[list[str]]:
    """Return the cells of all printed lines."""
    console = Console(file=io.StringIO(), width=200)
    prints(rows, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    cells = [[c.strip() for c in re.split("[│┃]", line)] for line in text.splitlines()]
    return [[c for c in line if c] for line in cells]


def test_ten_concepts_are_shown_those_that_gain_most_first() -> None:
    # Gains of -5 to 6 hundredths, in another order than those of the scores.
    rows = [row(n, 0.5 - n / 50, 0.5 - n / 50 + (7 * n % 12 - 5) / 100) for n in range(12)]
    shown = [line for line in lines(rows, print_summary) if line and line[0].startswith("concept ")]
    order = sorted(range(12), key=lambda n: -(7 * n % 12))[:10]
    assert [line[0] for line in shown] == [f"concept {n}" for n in order]
    assert [line[2:4] for line in shown] == [[str(40 + n), str(100 + n)] for n in order]
    assert [line[-1] for line in shown] == [f"{(7 * n % 12 - 5) / 100:+.3f}" for n in order]
    text = [line[0] for line in lines(rows, print_summary) if line]
    assert "Set IoU on val: the 10 concepts that gain most from combining filters" in text
    assert f"{WON} 6 of 12 concepts (50%)." in text


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
    text = [line[0] for line in lines(rows, print_summary) if line]
    assert text[-1] == f"{WON} 1 of 2 concepts (50%)."


def test_where_nothing_is_scored_the_table_is_named_that_says_why() -> None:
    said = lines([row(1, math.nan, 0.5)], print_summary)
    assert said == [["No concept could be scored on val; concepts.csv says why."]]


def test_means_of_classification_are_over_what_was_scored() -> None:
    scores = [(0.5, 0.6, 0.9, 0.7, 0.8), (0.5, 0.5, 0.5, 0.1, 0.2), (math.nan,) * 5]
    images = [(30, 21), (40, 50), (3, 4)]
    rows = [
        classified("object", *of_concept, n_val=some, n_val_without=others)
        for of_concept, (some, others) in zip(scores, images, strict=True)
    ]
    rows.append(classified("scene", 0.9, 0.9, 1.0, 1.0, 1.0, n_val=12, n_val_without=90))
    rows.append(classified("color", *(math.nan,) * 5))
    printed = {line[0]: line[1:] for line in lines(rows, print_classified) if line}
    head = ["concepts", "scored", "top filter", "best filter", "all filters", "AP", "AUC"]
    assert printed["category"] == head
    assert printed["object"] == ["3", "2", "0.500", "0.550", "0.700", "0.400", "0.500"]
    assert printed["scene"] == ["1", "1", "0.900", "0.900", "1.000", "1.000", "1.000"]
    assert printed["color"] == ["1", "0", "-", "-", "-", "-", "-"]
    assert printed["all"] == ["5", "3", "0.633", "0.667", "0.800", "0.600", "0.667"]
    last = "Every concept scored has at least 12 val images with it and as many without."
    assert [*printed][-1] == last
    rows[1] = replace(rows[1], n_val_without=11)
    assert "at least 11 val images" in lines(rows, print_classified)[-1][0]
    said = lines(rows[-1:], print_classified)[-1]
    assert said == ["No classifier could be scored on val; classification.csv says why."]


def test_what_groups_alone_give_stands_beside_where_there_are_groups() -> None:
    rows = [
        classified("object", 0.5, 0.6, 0.9, 0.7, 0.8, group_auc=0.9),
        classified("object", 0.5, 0.6, 0.9, 0.7, 0.8, group_auc=0.6),
        classified("object", *(math.nan,) * 5, group_auc=math.nan),
        classified("scene", *(math.nan,) * 5, group_auc=math.nan),
    ]
    said = lines(rows, print_classified)[-1][0]
    assert said.endswith(" without. The group of an image alone has a mean AUC of 0.750.")
