"""A table comes back from CSV as it was, and says what is wrong with one that cannot."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.errors import RunFolderError
from net2vec_pl.records import Column, Estimate, Record, read_csv, write_csv
from net2vec_pl.records.run import ClassifiedRow, ClassifierScores, ConceptRow, LayerRow


@dataclass(frozen=True)
class Scores(Record):
    low: int
    mean: Estimate


@dataclass(frozen=True)
class Row(Record):
    name: str
    share: Estimate
    best: int | float
    right: bool
    needed: Annotated[float, Column("for_80%")]
    val: Annotated[Scores, Column("val_{}")]
    by_category: Annotated[Mapping[str, float], Column("in_{}")]
    seed: int | None = None


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)
ESTIMATES = st.builds(Estimate, NUMBERS, NUMBERS, NUMBERS)
ROWS = st.builds(
    Row, TEXTS, ESTIMATES, st.integers(), st.booleans(), NUMBERS,
    st.builds(Scores, st.integers(), ESTIMATES),
    st.fixed_dictionaries({"sky": NUMBERS, "sea": NUMBERS}), st.integers(),
)  # fmt: skip


@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_rows_come_back_as_they_were(
    rows: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    write_csv(rows, path)
    assert read_csv(Row, path) == rows


def test_columns_stand_in_the_order_of_fields_under_their_own_names() -> None:
    scores = Scores(1, Estimate(2.0, 1.0, 3.0))
    row = Row("a", Estimate(0.5), 3, True, 0.25, scores, {"x": 1.0})
    cells = row.cells()
    assert list(cells) == [
        "name", "share", "share_low", "share_high", "best", "right", "for_80%", "val_low",
        "val_mean", "val_mean_low", "val_mean_high", "in_x",
    ]  # fmt: skip
    assert (cells["val_mean_high"], cells["in_x"], cells["for_80%"]) == (3.0, 1.0, 0.25)
    assert math.isnan(float(cells["share_low"]))


def test_a_column_that_only_some_rows_have_is_empty_in_the_others(tmp_path: Path) -> None:
    rows = [LayerRow("a", 1, 2, 3, multi_val=0.5), LayerRow("b", 1, 2, 3)]
    write_csv(rows, tmp_path / "layers.csv")
    first, second = (tmp_path / "layers.csv").read_text().splitlines()[1:]
    assert (first, second) == ("a,1,2,3,0.5", "b,1,2,3,")
    write_csv(rows[1:], tmp_path / "layers.csv")
    assert read_csv(LayerRow, tmp_path / "layers.csv") == rows[1:]


def test_classifiers_have_their_columns_under_three_prefixes() -> None:
    scores = ClassifierScores(0.5, 0.4, 0.3, 0.2, 0.1)
    row = ClassifiedRow(
        1, "sky", "object", 2, 3, 40, 30, 4, math.nan, scores, scores, scores, 0.5, "ok"
    )
    columns = [
        "id", "name", "category", "n_train", "n_val", "n_val_without", "n_val_annotated",
        "top_filter", "best_filter",
        *(f"{prefix}{score}" for prefix in ("", "top_", "best_")
          for score in ("accuracy", "ap", "auc", "ap_annotated", "auc_annotated")),
        "norm", "status",
    ]  # fmt: skip
    assert list(row.cells()) == columns
    grouped = replace(row, group_auc=0.75, group_accuracy=0.625)
    assert list(grouped.cells()) == [*columns, "group_auc", "group_accuracy"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is damaged: it is empty"),
        ("layer,filters,height,width\n", "is damaged: it is empty"),
        ("layer,filters,height,width\na,1,2\n", "a row is cut off"),
        ("layer,filters,height\na,1,2\n", "no column 'width'"),
        ("layer,filters,height,width\na,many,2,3\n", "'many' is no number"),
    ],
)
def test_what_is_no_such_table_says_why(content: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "layers.csv").write_text(content)
    with pytest.raises(RunFolderError, match=fault):
        read_csv(LayerRow, tmp_path / "layers.csv")


def test_an_absent_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"absent.csv cannot be read"):
        read_csv(ConceptRow, tmp_path / "absent.csv")
