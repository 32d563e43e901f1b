"""``bank.md``: what a bank is, what it may be used for, how well it does and where it fails.

In the manner of model cards: Mitchell et al., *Model Cards for Model Reporting*, FAT* 2019,
https://arxiv.org/abs/1810.03993.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from net2vec_pl.probes import BankFile
from net2vec_pl.records import Finding, Record
from net2vec_pl.report.page import templates
from net2vec_pl.report.probes import KNOWN, nan_mean
from net2vec_pl.runs.files import whole
from net2vec_pl.units import told

CONTROLS = "Is it real?"  # the question of findings that a card tells too
_SHOWN = 5
_Cells = Mapping[str, Any]
# Choices that matter to classifiers of images.
_OF_IMAGES = ("classification.", "scaling", "precision")
# Column of the table -> heading; the first says which concepts do best.
_SEGMENTATION = {
    "multi_val": "embedding",
    "single_val": "best filter",
    "ap_val": "average precision",
}
_CLASSIFICATION = {
    "accuracy": "accuracy",
    "best_accuracy": "best filter",
    "ap": "average precision",
    "auc": "ROC AUC",
}


def write_card(
    path: Path,
    bank: BankFile,
    table: Sequence[Record],
    controls: Sequence[str] = (),
    native: Sequence[str] = (),
) -> None:
    """Write the card of a bank, whole or not at all.

    Args:
        path: Path of the card; the bank is taken to lie beside it, under the same name.
        bank: The bank, of concepts that are segmented or classified.
        table: See :func:`card_text`.
        controls: See :func:`card_text`.
        native: See :func:`card_text`.
    """
    text = card_text(bank, path.with_suffix(".safetensors").name, table, controls, native)
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def card_text(
    bank: BankFile,
    address: str,
    table: Sequence[Record] = (),
    controls: Sequence[str] = (),
    native: Sequence[str] = (),
) -> str:
    """Return the card of a bank as Markdown.

    Args:
        bank: The bank, of concepts that are segmented or classified.
        address: From where the reader loads it: a path, or an address on the Hub.
        table: A row per concept asked for, from :func:`~net2vec_pl.report.concept_table` or
            :func:`~net2vec_pl.report.classification_table`; empty where scores are not at hand.
        controls: What is known of controls such as shuffled masks, a sentence each.
        native: Scores on masks of another size, a sentence each.
    """
    segments = bank.segments
    headings = _SEGMENTATION if segments else _CLASSIFICATION
    first = next(iter(headings))
    rows = [record.cells() for record in table]
    ranked = sorted(_scored(rows, first), key=lambda row: -float(row[first]))
    worst = ranked[_SHOWN:][-_SHOWN:]
    weights = bank.header["model"].get("weights")
    environment = templates()
    environment.filters |= {"plain": _plain, "code": _code}
    return environment.get_template("card.md").render(
        bank=bank,
        header=bank.header,
        address=address,
        segments=segments,
        weights="random" if weights is None else Path(weights).name,
        deviations=[
            text
            for text in bank.header["deviations"]
            if (not text.startswith("classification.") if segments else text.startswith(_OF_IMAGES))
        ],
        example=ranked[0]["name"] if ranked else bank.vocabulary.names[0],
        means=_means(rows, headings) if rows else "",
        extremes={
            title: _table([_cells(row, headings) for row in some])
            for title, some in (("Best", ranked[:_SHOWN]), ("Worst", worst))
            if some
        },
        unscored=Counter(row["status"] for row in rows if not np.isfinite(row[first])),
        controls=controls,
        native=native,
        known=_known(rows),
        units=told(bank.units.plain, bank.weight.shape[1]),
    )


def control_statements(findings: Sequence[Finding]) -> list[str]:
    """Return what findings say of controls such as shuffled masks."""
    return [found.statement for found in findings if found.question == CONTROLS]


def _known(rows: Sequence[_Cells]) -> str:
    """Say how many concepts beat every reference level; empty where that was not asked."""
    asked = [row for row in rows if row.get("known")]
    if not asked:
        return ""
    return f"{sum(row['known'] == KNOWN for row in asked)} of {len(asked)}"


def _scored(table: Sequence[_Cells], score: str) -> list[_Cells]:
    return [row for row in table if np.isfinite(row[score])]


def _means(table: Sequence[_Cells], headings: Mapping[str, str]) -> str:
    """Tabulate mean scores by category, and over all if there are several."""
    first = next(iter(headings))
    categories = list(dict.fromkeys(row["category"] for row in table))
    means = []
    for category in categories if len(categories) == 1 else [*categories, "all"]:
        asked = [row for row in table if category in (row["category"], "all")]
        scored = _scored(asked, first)
        cells: dict[str, Any] = {
            "category": category,
            "concepts": len(asked),
            "scored": len(scored),
        }
        scores = {heading: nan_mean(r[key] for r in scored) for key, heading in headings.items()}
        means.append(cells | scores)
    return _table(means)


def _cells(row: _Cells, headings: Mapping[str, str]) -> _Cells:
    cells = {"concept": row["name"], "category": row["category"]}
    images = {f"{split} images": row[f"n_{split}"] for split in ("train", "val")}
    if "n_val_without" in row:
        images["val images without it"] = row["n_val_without"]
    return {**cells, **images} | {heading: row[key] for key, heading in headings.items()}


def _table(rows: Sequence[_Cells]) -> str:
    r"""Write rows as a table of Markdown, scores with three digits.

    Example:
        >>> print(_table([{"concept": "a|b", "IoU": 0.25}, {"concept": "sky", "IoU": np.nan}]))
        | concept | IoU |
        |---|---|
        | a\|b | 0.250 |
        | sky | – |
    """
    lines = [list(rows[0]), *(map(_cell, row.values()) for row in rows)]
    head, *body = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if np.isfinite(value) else "–"
    return _plain(value)


def _plain(text: Any) -> str:
    r"""Escape what Markdown, or a table of it, would read as a sign.

    Example:
        >>> print(_plain("traffic_light | *red* _dot_"))
        traffic_light \| \*red\* \_dot\_
    """
    signs = r"([\\`*<>\[\]|~&]|(?<![^\W_])_|_(?![^\W_]))"  # _ within a word is none
    return re.sub(signs, r"\\\1", " ".join(str(text).split()))


def _code(text: str) -> str:
    """Return text as a literal of Python."""
    return json.dumps(text, ensure_ascii=False)
