"""``report.html``: what one layer knows, as a page that one file holds.

The classes below say what is shown, as plain numbers and arrays; the template and the script beside
it in ``templates/`` say how.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from net2vec_pl.figures.style import colour_of
from net2vec_pl.records import Cell, Finding
from net2vec_pl.report.columns import concept_columns, filter_columns
from net2vec_pl.report.packing import (
    pack_cosines,
    pack_mask,
    pack_number,
    pack_picture,
    script_json,
)
from net2vec_pl.report.page import PageFigure, write_page


@dataclass(frozen=True)
class Example:
    """A val image that contains a concept, with the masks of the concept on it.

    Args:
        picture: Which of the page's pictures it is.
        masks: ``ground truth``, ``best filter``, ``embedding`` -> mask, at any resolution; a name
            is absent where there is no such mask. ``unknown`` is drawn as stripes over the others.
        caption: Such as the IoU of each mask.
    """

    picture: int
    masks: Mapping[str, Bool[np.ndarray, "h w"]]
    caption: str


@dataclass(frozen=True)
class Scores:
    """How images score along one direction of a layer.

    Args:
        edges: Edges of the bins of the histogram, rising.
        present: Images that contain the concept, per bin.
        absent: Images that do not.
        pictures: (picture, percentile of its score in [0, 100], score), by percentile; images that
            score 0 do not count.
    """

    edges: Float[np.ndarray, "e"]
    present: Int64[np.ndarray, "b"]
    absent: Int64[np.ndarray, "b"]
    pictures: Sequence[tuple[int, float, float]]


@dataclass(frozen=True)
class ConceptView:
    """All that the page shows of a concept.

    Args:
        row: Its numbers, by column; every concept has the same columns. ``name`` and ``category``
            are among them, ``status`` says why others are NaN.
        examples: Val images that contain it, from the best segmented to the worst, with masks.
        scores: ``embedding``, ``best filter`` -> how images score.
        curve: (number of filters F, set IoU on val) of banks trained with F filters; may be empty.
        filters: Space (see :class:`LayerPage`) -> (filter, weight), the largest weights first.
    """

    row: Mapping[str, Cell]
    examples: Sequence[Example] = ()
    scores: Mapping[str, Scores] = field(default_factory=dict)
    curve: Sequence[tuple[int, float]] = ()
    filters: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class FilterView:
    """All that the page shows of a filter.

    Args:
        row: Its numbers, by column; ``filter`` is among them.
        concepts: (concept, weight): those whose unit embeddings rely on it most, positive weights.
        pictures: (picture, largest activation), the largest first; none where it is 0.
    """

    row: Mapping[str, Cell]
    concepts: Sequence[tuple[int, float]] = ()
    pictures: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class Space:
    """The embeddings of one bank, seen from outside.

    Args:
        cosine: Cosine of every two of the page's concepts; NaN where one has no embedding.
        position: Position of every concept on the map; NaN where it has none.
        note: What made the map, or why there is none.
    """

    cosine: Float[np.ndarray, "C C"]
    position: Float[np.ndarray, "C 2"]
    note: str


@dataclass(frozen=True)
class LayerPage:
    """What ``report.html`` shows of a layer.

    Args:
        title: Such as ``vgg16 conv5_3 on broden``.
        findings: The most telling first.
        key_numbers: Label -> number as it is read, for the first screen.
        concepts: C of them, those without scores too.
        filters: By number; may be empty.
        pictures: Val images, RGB.
        spaces: ``segmentation``, ``classification`` -> embeddings; one at least.
        made: Label -> how the run was made; a list is shown as one.
        figures: Of ``figures/``.
        command: That made the run.
        score: What an image scores by, in words.
        units: What stands in place of filters, such as ``16 principal components``; empty where
            filters do.
    """

    title: str
    findings: Sequence[Finding]
    key_numbers: Mapping[str, str]
    concepts: Sequence[ConceptView]
    filters: Sequence[FilterView]
    pictures: Sequence[UInt8[np.ndarray, "3 H W"]]
    spaces: Mapping[str, Space]
    made: Mapping[str, str | Sequence[str]]
    figures: Sequence[PageFigure]
    command: str
    score: str = "largest response anywhere"
    units: str = ""


def write_report(path: Path, page: LayerPage) -> None:
    """Write the page, whole or not at all.

    Args:
        path: Path of the page, such as ``report.html``.
        page: What it shows.
    """
    questions: dict[str, list[str]] = {}
    for found in page.findings:
        questions.setdefault(found.question, []).append(found.statement)
    columns = page.concepts[0].row if page.concepts else {}
    content = script_json(_content(page))
    write_page(
        path, "report.html", page=page, questions=questions, columns=columns, content=content
    )


def _content(page: LayerPage) -> dict[str, Any]:
    """All that the script shows, as JSON knows it."""
    columns = concept_columns(page.concepts[0].row) if page.concepts else []
    of_filters = filter_columns(page.filters[0].row) if page.filters else []
    return {
        "categories": colour_of(str(view.row["category"]) for view in page.concepts),
        "columns": columns,
        "concepts": [_concept(view, columns) for view in page.concepts],
        "filterColumns": of_filters,
        "filters": [_filter(view, of_filters) for view in page.filters],
        "pictures": [pack_picture(picture) for picture in page.pictures],
        "score": page.score,
        "spaces": [{"name": name, **_space(space)} for name, space in page.spaces.items()],
    }


def _concept(view: ConceptView, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "row": _numbers(view.row[column["name"]] for column in columns),
        "examples": [
            {
                "picture": example.picture,
                "caption": example.caption,
                "masks": [(name, *pack_mask(mask)) for name, mask in example.masks.items()],
            }
            for example in view.examples
        ],
        "scores": [{"name": name, **_scores(scores)} for name, scores in view.scores.items()],
        "curve": _pairs(view.curve),
        "filters": {space: _pairs(weights) for space, weights in view.filters.items()},
    }


def _scores(scores: Scores) -> dict[str, Any]:
    return {
        "edges": _numbers(scores.edges),
        "present": scores.present.tolist(),
        "absent": scores.absent.tolist(),
        "pictures": [_numbers(shown) for shown in scores.pictures],
    }


def _filter(view: FilterView, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "row": _numbers(view.row[column["name"]] for column in columns),
        "concepts": _pairs(view.concepts),
        "pictures": _pairs(view.pictures),
    }


def _space(space: Space) -> dict[str, Any]:
    return {
        "cosine": pack_cosines(space.cosine),
        "position": [_numbers(point) for point in space.position],
        "note": space.note,
    }


def _numbers(values: Iterable[Any]) -> list[Any]:
    return [pack_number(value) for value in values]


def _pairs(pairs: Sequence[tuple[int, float]]) -> list[list[Any]]:
    return [_numbers(pair) for pair in pairs]
