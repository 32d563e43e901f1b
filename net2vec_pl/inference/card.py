"""A bank as a notebook shows it: what it is, and its best and worst concepts with masks."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from net2vec_pl.errors import Net2VecError
from net2vec_pl.figures.examples import dim_outside
from net2vec_pl.inference.results import Results

Segment = Callable[[UInt8[Tensor, "3 H W"], str], Bool[Tensor, "sh sw"]]
_SHOWN = 3  # best concepts, and worst
_HEIGHT = 120  # of a picture, in pixels of the page
_SEGMENTED = ("multi_val",)
_WORDS = {
    "multi_val": "set IoU",
    "single_val": "best filter",
    "ap_val": "average precision",
    "known": "known",
    "accuracy": "accuracy",
    "best_accuracy": "best filter",
    "auc": "ROC AUC",
}


def bank_card(title: str, results: Results, score: str, segment: Segment | None) -> str:
    """Write a bank as HTML that stands alone.

    Args:
        title: What it is.
        results: What its run found.
        score: The column that says which concepts do best.
        segment: Gives the mask of a concept on an image; None where the bank gives none, or no
            images are at hand.
    """
    table = results.tables["concepts" if score in _SEGMENTED else "classification"]
    rows = [row for row in table.cells() if np.isfinite(float(row[score]))]
    ranked = sorted(rows, key=lambda row: -float(row[score]))
    columns = [name for name in _WORDS if ranked and name in ranked[0]]
    head = ["", "concept", *(_WORDS[c] for c in columns), *(["true", "found"] * bool(segment))]
    body = [
        _row(
            [place, row["name"], *(row[c] for c in columns)],
            () if segment is None else _pictures(results, str(row["name"]), segment),
        )
        for place, some in (("best", ranked[:_SHOWN]), ("worst", ranked[_SHOWN:][-_SHOWN:]))
        for row in some
    ]
    heads = "".join(f"<th>{escape(word)}</th>" for word in head)
    return (
        f"<div><b>{escape(title)}</b><br>{escape(_means(ranked, score))}<table><thead><tr>{heads}"
        f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _means(ranked: list[dict[str, Any]], score: str) -> str:
    if not ranked:
        return "no concept could be scored"
    mean = np.mean([float(row[score]) for row in ranked])
    told = f"mean {_WORDS[score]} on val {mean:.3f} over {len(ranked)} concepts"
    known = [row["known"] == "yes" for row in ranked if row.get("known")]
    return f"{told}; {sum(known)} known" if known else told


def _row(cells: Iterable[Any], pictures: Iterable[str]) -> str:
    text = (f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell)) for cell in cells)
    return f"<tr>{''.join(f'<td>{one}</td>' for one in (*text, *pictures))}</tr>"


def _pictures(results: Results, name: str, segment: Segment) -> list[str]:
    """Show a val image, darkened outside its true mask, and outside the one found."""
    try:
        found = None if results.source is None else results.source.example(name)
    except (Net2VecError, OSError):  # images may have gone since
        found = None
    if found is None:
        return []
    image, mask = found
    return [_picture(image, one) for one in (mask, segment(image, name))]


def _picture(image: UInt8[Tensor, "3 H W"], mask: Bool[Tensor, "sh sw"]) -> str:
    shown = Image.fromarray(dim_outside(image.numpy(), mask.numpy()))
    file = BytesIO()
    shown.save(file, "JPEG", quality=80)
    data = b64encode(file.getvalue()).decode()
    return f'<img height="{_HEIGHT}" src="data:image/jpeg;base64,{data}">'
