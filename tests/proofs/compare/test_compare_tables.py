"""Every table of a comparison, whole: rows, columns and numbers that were worked out."""

import pytest
from support import compared_tables as expected
from support.compared_runs import ALONE, CONV3, CONV4, CONV5, GROUPS, LEFT_OUT
from support.compared_tables import Row, assert_rows

from net2vec_pl.records import Record, read_csv
from net2vec_pl.records.compare import (
    CategoryRow,
    DifferenceRow,
    EmbeddingPairRow,
    LeftOutRow,
    PairRow,
)

from .conftest import Compared


def test_runs_are_told_over_their_own_concepts_and_exports_behind_them(all_runs: Compared) -> None:
    assert_rows(all_runs.table("runs"), expected.runs())


def test_categories_have_means_intervals_and_counts_of_every_setting(all_runs: Compared) -> None:
    rows: list[Row] = [row for group in GROUPS for row in expected.categories(group)]
    columns = dict.fromkeys(key for row in rows for key in row)
    assert_rows(
        all_runs.table("categories"), [{c: row.get(c, "") for c in columns} for row in rows]
    )


def test_a_few_numbers_of_categories_by_hand(all_runs: Compared) -> None:
    rows = {(r["setting"], r["category"]): r for r in all_runs.table("categories")}
    objects = rows[CONV3.label, "object"]  # of sky, sea, dog, hat
    assert float(objects["multi_val"]) == pytest.approx((0.30 + 0.2507 + 0.20 + 0.10) / 4)
    assert objects["won"] == "2"  # sea and hat: sky has a tie, dog loses
    assert objects["detected_by_single"] == "1.0"  # dog just so; sky's best on train fails
    assert objects["detected_by_multi"] == "4"
    assert objects["filters_needed"] == "4.0"  # of 3, 8, 4; hat was not asked
    whole = rows[CONV4.label, "all"]
    assert (whole["n_seeds"], whole["n_concepts"]) == ("2", "8")
    assert whole["filters_needed"] == "6.0"  # of 2, 3, 4, 5, 7, 9, 10, 11, from its second run
    assert (whole["detected_by_single"], whole["accuracy"]) == ("nan", "nan")
    assert rows[CONV5.label, "all"]["filters_needed_classification"] == "5.5"  # of 4, 11, 5, 6
    assert rows[CONV5.label, "scene"]["accuracy"] == "0.95"
    assert rows[ALONE.label, "all"]["won"] == "2"


def test_concepts_stand_beside_one_another_even_where_some_have_no_score(
    all_runs: Compared,
) -> None:
    assert_rows(all_runs.table("concepts_by_entry"), expected.concepts("multi_val"))
    accuracies = [
        {k: v for k, v in row.items() if k in [*row][:4] or k in expected.labels("made up")}
        for row in expected.concepts("accuracy")
    ]
    assert_rows(all_runs.table("concepts_by_entry_classification"), accuracies)


def test_pairs_have_differences_intervals_and_flips(all_runs: Compared) -> None:
    rows = [row for group in GROUPS for row in expected.pairs(group)]
    assert len(rows) == 3 * 3 + 2 + 3
    assert_rows(all_runs.table("pairs"), rows)


def test_embeddings_are_compared_two_by_two(all_runs: Compared) -> None:
    rows = [row for group in GROUPS for row in expected.distances(group)]
    assert len(rows) == 10 + 1 + 1
    assert_rows(all_runs.table("embedding_distances"), rows)


def test_what_differs_is_a_row_for_every_value(all_runs: Compared) -> None:
    rows = [
        {"what": what, "value": value, "n_entries": len(of), "entries": "; ".join(of)}
        | {"consequence": consequence}
        for what, values, consequence in expected.differences()
        for value, of in values.items()
    ]
    assert_rows(all_runs.table("differences"), rows)


def test_what_is_left_out_has_its_state_and_reason(all_runs: Compared) -> None:
    rows = [dict(zip(("folder", "state", "reason"), of, strict=True)) for of in LEFT_OUT]
    assert_rows(all_runs.table("left_out"), rows)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CategoryRow, "categories"),
        (PairRow, "pairs"),
        (EmbeddingPairRow, "embedding_distances"),
        (DifferenceRow, "differences"),
        (LeftOutRow, "left_out"),
    ],
)
def test_tables_are_read_back_as_records(kind: type[Record], name: str, all_runs: Compared) -> None:
    rows = read_csv(kind, all_runs.folder / f"{name}.csv")
    for row, told in zip(rows, all_runs.table(name), strict=True):
        cells = row.cells()
        assert [*cells] == [*told]
        assert [str(cells[c]) for c in told if told[c]] == [told[c] for c in told if told[c]]
