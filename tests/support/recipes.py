"""A recipe of every figure that an analysis draws, of small random arrays."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import linkage

from net2vec_pl.figures.closed_form import learning_figure, selection_curves
from net2vec_pl.figures.examples import example_strip, recall_curves, score_histograms
from net2vec_pl.figures.intervals import gain_intervals
from net2vec_pl.figures.levels import reference_levels
from net2vec_pl.figures.sharing import concepts_per_filter, failure_scatter, overlap_with_chance
from net2vec_pl.figures.space import (
    category_figure,
    comparison_figure,
    dendrogram_figure,
    map_figure,
    similarity_figure,
)
from net2vec_pl.figures.subsets import cumulative_filters, filter_curve
from net2vec_pl.figures.synthesis import synthesis_grid

_RNG = np.random.default_rng(0)
_NAMES = [f"concept {c}" for c in range(12)]
_CATEGORIES = [("object", "part", "color")[c % 3] for c in range(12)]
_SIZES = [1, 2, 4, 8, 16]
_LABELS = ["conv1", "conv2", "conv3"]


def _bounds(*shape: int) -> np.ndarray:
    """Return values with a lower and an upper bound, along the first axis."""
    value = _RNG.uniform(0.1, 0.6, shape)
    return np.stack([value, value - 0.05, value + 0.05])


def _rising(*shape: int) -> np.ndarray:
    return np.sort(_RNG.random(shape), axis=-1)


_VECTORS = _RNG.normal(size=(12, 5))
_UNITS = _VECTORS / np.linalg.norm(_VECTORS, axis=1, keepdims=True)
_IMAGES = _RNG.integers(50, 256, (3, 3, 16, 16), dtype=np.uint8)

ONE_PANEL: dict[str, partial[Figure]] = {
    "levels": partial(
        reference_levels, _NAMES, _RNG.random(12), {n: _RNG.random(12) for n in ("own", "lda")}
    ),
    "intervals": partial(gain_intervals, _NAMES, _bounds(12), _bounds(12)),
    "filters_needed": partial(cumulative_filters, _SIZES, _rising(3, 5), [0.5, 0.8, 0.9]),
    "selection_alone": partial(
        selection_curves, _SIZES, {n: _rising(5) for n in ("largest", "forward")}, 0.4, {}, []
    ),
    "concepts_per_filter": partial(
        concepts_per_filter, {"conv1": {"0": 0.5, "1": 0.3, "2": 0.2}}
    ),
    "filter_overlap": partial(overlap_with_chance, _RNG.random(6), _RNG.random(6) / 9, 1.5),
    "failures": partial(
        failure_scatter, _RNG.integers(1, 900, 12), _RNG.normal(size=12), _RNG.random(12)
    ),
    "map": partial(map_figure, _RNG.normal(size=(12, 2)), _NAMES, _CATEGORIES, "t-SNE"),
    "similarity": partial(similarity_figure, _UNITS @ _UNITS.T, np.arange(12)[::-1], _NAMES),
    "tree": partial(dendrogram_figure, linkage(_VECTORS, "average", "cosine"), _NAMES),
    "category_matrix": partial(
        category_figure, np.eye(3), np.full((3, 3), 1 / 3), _LABELS, np.array([4, 5, 3]), 10
    ),
    "recall": partial(recall_curves, {"embedding": np.linspace(0.5, 9, 20)}, 9, "sky"),
}  # fmt: skip
PANELS: dict[str, partial[Figure]] = {
    "filter_curve": partial(
        filter_curve,
        _SIZES,
        np.stack([_rising(5), np.full(5, 0.05)]),
        None,
        {"object": np.stack([_rising(5), np.full(5, 0.05)])},
        floor=0.5,
    ),
    "selection": partial(
        selection_curves,
        _SIZES,
        {n: _rising(5) for n in ("largest", "forward")},
        0.4,
        {n: _rising(2, 5) for n in ("largest", "forward")},
        [0.5, 0.9],
    ),
    "learning": partial(
        learning_figure,
        np.array([0.1, 0.3, 1.0]),
        np.stack([_rising(3), np.full(3, 0.05)]),
        {"object": _rising(3), "part": _rising(3)},
        0.3,
    ),
    "comparisons": partial(
        comparison_figure,
        _RNG.random((2, 3)),
        _RNG.random((2, 3)) / 4,
        [[f"p = {p:.2g}" for p in row] for row in _RNG.random((2, 3))],
        ["segmentation - words", "segmentation - categories"],
        ["rank correlation", "alignment", "neighbours"],
    ),
    "scores": partial(
        score_histograms,
        {
            name: (np.linspace(0, 1, 9), _RNG.integers(0, 9, 8), _RNG.integers(0, 99, 8))
            for name in ("embedding", "best filter")
        },
        "sky",
    ),
    "examples": partial(
        example_strip,
        _IMAGES,
        {"embedding": _RNG.random((3, 8, 8)) > 0.5},
        ["99 %: 1.20", "50 %: 0.30", "1 %: -0.80"],
        "sky",
        _RNG.random((3, 8, 8)) > 0.7,
    ),
    "synthesis": partial(
        synthesis_grid,
        _NAMES[:4],
        _RNG.random((4, 2, 3, 16, 16)),
        [["embedding: 1.00", "filter: 0.50"]] * 4,
        "made to excite",
    ),
}
