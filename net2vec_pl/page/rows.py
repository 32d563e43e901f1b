"""What the tables of a run say of every concept, in one row each."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from net2vec_pl.report.tables import Row


def concept_rows(
    tables: Mapping[str, Sequence[Row]], analyses: Mapping[str, Sequence[Row]]
) -> list[Row]:
    """Join what the tables say of every concept; NaN where a table does not know one.

    Args:
        tables: ``concepts.csv``, ``classification.csv``.
        analyses: Tables of analyses, by name.
    """
    segmented, classified = (
        {row["name"]: row for row in tables.get(name, ())}
        for name in ("concepts.csv", "classification.csv")
    )
    intervals = {row["name"]: row for row in analyses.get("intervals", ())}
    needed = {row["name"]: row for row in analyses.get("filters_needed", ())}
    rows = []
    for name, first in (classified | segmented).items():
        row: Row = {key: first[key] for key in ("name", "category", "n_train", "n_val")}
        if segmented:
            row |= _columns(
                segmented.get(name), ("best_filter", "single_val", "multi_val", "ap_val", "norm")
            )
            row["gain"] = row["multi_val"] - row["single_val"]
        if intervals:
            row |= _columns(intervals.get(name), ("gain_low", "gain_high"))
        if needed:
            row |= {"filters_for_80%": needed.get(name, {}).get("for_80%", np.nan)}
        if classified:
            single = () if segmented else ("best_filter",)
            row |= _columns(classified.get(name), (*single, "accuracy", "best_accuracy", "auc"))
        rows.append(row | {"status": first["status"]})
    return rows


def _columns(row: Row | None, names: Iterable[str]) -> Row:
    return {name: np.nan if row is None else row[name] for name in names}
