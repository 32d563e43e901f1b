"""What the tables of a run say of every concept, in one row each."""

from collections.abc import Iterable, Sequence

import numpy as np

from net2vec_pl.records import Cell, Record
from net2vec_pl.records.studies import IntervalRow, NeededRow
from net2vec_pl.report import LayerTables

_SHARE = "80%"  # of the gain over the reference level


def concept_rows(
    tables: LayerTables, intervals: Sequence[IntervalRow], needed: Sequence[NeededRow]
) -> list[dict[str, Cell]]:
    """Join what the tables say of every concept; NaN where a table does not know one.

    Args:
        tables: The tables of the layer.
        intervals: ``intervals.csv``; empty if it was not asked for.
        needed: ``filters_needed.csv``, likewise.
    """
    segmented = {row.name: row for row in tables.concepts}
    classified = {row.name: row for row in tables.classification}
    gains, filters = {row.name: row for row in intervals}, {row.name: row for row in needed}
    groups = any(row.group_auc is not None for row in tables.classification)
    by_group = ("group_auc",) if groups else ()
    rows = []
    for name, first in (classified | segmented).items():
        row = _cells(first, ("name", "category", "n_train", "n_val"))
        if segmented:
            scores = segmented.get(name)
            row |= _cells(scores, ("best_filter", "single_val", "multi_val", "ap_val", "norm"))
            if scores is not None and scores.known is not None:
                row |= _cells(scores, ("known", "reference", "reference_val"))
                row |= _cells(scores, ("over_reference_low", "over_reference_high"))
            row["gain"] = np.nan if scores is None else scores.multi_val - scores.single_val
        if gains:
            row |= _cells(gains.get(name), ("gain_low", "gain_high"))
        if filters:
            of_concept = filters.get(name)
            row["filters_for_80%"] = np.nan if of_concept is None else of_concept.needed[_SHARE]
        if classified:
            single = () if segmented else ("best_filter",)
            columns = ("accuracy", "best_accuracy", "auc", *by_group, "n_val_without")
            row |= _cells(classified.get(name), (*single, *columns))
        rows.append(row | {"status": first.status})
    return rows


def _cells(record: Record | None, columns: Iterable[str]) -> dict[str, Cell]:
    cells = {} if record is None else record.cells()
    return {name: cells.get(name, np.nan) for name in columns}
