"""Pages of layers that never were, of any size."""

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from net2vec_pl.analysis.space import cosines, unit_rows
from net2vec_pl.records import Finding
from net2vec_pl.report.layer_page import (
    ConceptView,
    Example,
    FilterView,
    LayerPage,
    Scores,
    Space,
)

AWKWARD = ("</script><b>sky</b>", "\"sea\" & 'sand'", "blue-green/teal", "Öl – 油", "50% a#b=c")
CATEGORIES = ("object", "part", "material", "color", "scene", "texture")
SPACES = ("segmentation", "classification")
_SIDE = 112


def layer_page(
    concepts: int = 30,
    filters: int = 16,
    pictures: int = 12,
    examples: int = 2,
    names: Sequence[str] = AWKWARD,
) -> LayerPage:
    """Make up a page; the last tenth of its concepts has no scores and no embedding.

    Args:
        concepts: How many.
        filters: How many; at least 8.
        pictures: Val images, at least 1.
        examples: Of every concept that has scores.
        names: Of the first concepts.
    """
    draw = np.random.default_rng(0)
    known = [*names, *(f"concept {i}" for i in range(len(names), concepts))][:concepts]
    weight = {name: embeddings(concepts, filters, seed) for seed, name in enumerate(SPACES)}
    scored = np.isfinite(weight["segmentation"]).all(axis=1)
    return LayerPage(
        title="madeupnet conv5 on nothing",
        findings=[
            Finding("Are several filters needed?", "", nan, nan, nan, 0, "By 0.3 [0.2, 0.4]."),
            Finding("Are several filters needed?", "", nan, nan, nan, 0, "For 74% [60%, 84%]."),
            Finding("Is it <real>?", "", nan, nan, nan, 0, "It leads by 0.1 [0.05, 0.15]."),
        ],
        key_numbers={"mean set IoU": "0.207 [0.197, 0.224]", "filters": f"{filters}"},
        concepts=[
            concept_view(draw, c, name, weight, pictures, examples)
            if scored[c]
            else left_out(c, name)
            for c, name in enumerate(known)
        ],
        filters=[
            filter_view(draw, k, known, weight["segmentation"][:, k], pictures)
            for k in range(filters)
        ],
        pictures=[picture(draw) for _ in range(pictures)],
        spaces={name: space(rows) for name, rows in weight.items()},
        made={"digest": "0123abcd", "deviations": ["tau 0.01", "2 epochs"], "skipped": []},
        figures=[],
        command="python train.py model=madeupnet 'names=[a & b]'",
    )


def embeddings(concepts: int, filters: int, seed: int) -> Float[np.ndarray, "C K"]:
    """Draw embeddings, near the middle of their category; the last tenth is NaN."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(len(CATEGORIES), filters))
    weight = draw.normal(size=(concepts, filters)) + middle[np.arange(concepts) % len(CATEGORIES)]
    weight[concepts - concepts // 10 :] = np.nan
    return weight


def space(weight: Float[np.ndarray, "C K"]) -> Space:
    """Look at embeddings from outside; their first two dimensions serve as a map."""
    units = unit_rows(weight)
    cosine = np.full((len(weight), len(weight)), np.nan)
    cosine[np.ix_(units.valid, units.valid)] = cosines(units.rows)
    return Space(cosine, weight[:, :2], "The first two of their dimensions.")


def picture(draw: np.random.Generator) -> UInt8[np.ndarray, "3 H W"]:
    """Draw blocks, a square and some noise, which pack about as well as a photograph."""
    coarse = draw.integers(0, 256, size=(3, 14, 14)).repeat(8, 1).repeat(8, 2)
    y, x = draw.integers(0, 80, size=2)
    coarse[:, y : y + 32, x : x + 32] = draw.integers(0, 256, size=(3, 1, 1))
    noise = draw.integers(-12, 13, size=coarse.shape)
    return (coarse + noise).clip(0, 255).astype(np.uint8)


def mask(draw: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Draw an ellipse with a ragged edge."""
    (y, x), (b, a) = draw.uniform(30, 80, size=2), draw.uniform(12, 40, size=2)
    rows, columns = np.ogrid[:_SIDE, :_SIDE]
    edge = 1 + draw.normal(0, 0.1, size=(14, 14)).repeat(8, 0).repeat(8, 1)
    ellipse: Bool[np.ndarray, "h w"] = ((rows - y) / b) ** 2 + ((columns - x) / a) ** 2 < edge
    return ellipse


def numbers(c: int, name: str, *scores: float, **others: Any) -> dict[str, Any]:
    """Make a row of a table of concepts."""
    row = {"id": c + 1, "name": name, "category": CATEGORIES[c % len(CATEGORIES)], "n_val": 40 + c}
    return row | dict(zip(("single_val", "multi_val", "ap_val"), scores, strict=True)) | others


def left_out(c: int, name: str) -> ConceptView:
    """Make the view of a concept of which nothing is known."""
    nothing = (np.nan, np.nan, np.nan)
    return ConceptView(numbers(c, name, *nothing, best_filter=np.nan, status="no val images"))


def concept_view(
    draw: np.random.Generator,
    c: int,
    name: str,
    weight: dict[str, Float[np.ndarray, "C K"]],
    pictures: int,
    examples: int,
) -> ConceptView:
    """Make the view of a concept that has everything."""
    single, several = draw.uniform(0, 0.3), draw.uniform(0.05, 0.5)
    order = np.argsort(-np.abs(weight["segmentation"][c]))[:8].tolist()
    return ConceptView(
        row=numbers(c, name, single, several, several, best_filter=order[0], status="ok"),
        examples=[example(draw, pictures) for _ in range(examples)],
        scores={of: scores(draw, pictures) for of in ("embedding", "best filter")},
        curve=[(2**i, several * i / 9) for i in range(10)],
        filters={of: [(k, float(rows[c, k])) for k in order] for of, rows in weight.items()},
    )


def example(draw: np.random.Generator, pictures: int) -> Example:
    """Make an image with three masks."""
    masks = {of: mask(draw) for of in ("ground truth", "best filter", "embedding")}
    return Example(int(draw.integers(pictures)), masks, "IoU: best filter 0.12, embedding 0.34")


def scores(draw: np.random.Generator, pictures: int) -> Scores:
    """Make scores that are higher for the images that have the concept."""
    edges = np.linspace(-3, 9, 31)
    present = np.histogram(draw.normal(4, 1.5, size=60), edges)[0]
    absent = np.histogram(draw.normal(1, 1.5, size=900), edges)[0]
    shown = [(int(draw.integers(pictures)), float(p), p / 15) for p in range(0, 101, 20)]
    return Scores(edges, present, absent, shown)


def filter_view(
    draw: np.random.Generator,
    k: int,
    names: Sequence[str],
    weight: Float[np.ndarray, "C"],
    pictures: int,
) -> FilterView:
    """Make the view of a filter; its row says what its weights say."""
    order = [c for c in np.argsort(-np.nan_to_num(weight))[:6].tolist() if weight[c] > 0]
    row = {"filter": k, "threshold": 3 + k / 7, "best_concept": names[order[0]] if order else ""}
    return FilterView(
        row=row | {"single_val": 0.2, "n_concepts": len(order)},
        concepts=[(c, float(weight[c])) for c in order],
        pictures=[(int(draw.integers(pictures)), 9.0 - i) for i in range(6)],
    )
