from io import BytesIO

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from scipy.cluster.hierarchy import linkage

from net2vec_pl.figures.space import (
    category_figure,
    comparison_figure,
    dendrogram_figure,
    map_figure,
    similarity_figure,
)


def points(concepts: int) -> tuple[np.ndarray, list[str], list[str]]:
    position = np.random.default_rng(0).normal(size=(concepts, 2))
    names = [f"concept {c}" for c in range(concepts)]
    return position, names, [("object", "part", "color")[c % 3] for c in range(concepts)]


def notes(figure: Figure) -> list[Annotation]:
    return [child for child in figure.axes[0].get_children() if isinstance(child, Annotation)]


def is_drawn(figure: Figure) -> bool:
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.tell() > 1000


def test_a_small_map_names_every_concept_and_counts_categories() -> None:
    position, names, categories = points(9)
    figure = map_figure(position, names, categories, "t-SNE")
    assert [note.get_text() for note in notes(figure)] == names
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "object (3)",
        "part (3)",
        "color (3)",
    ]
    assert figure.axes[0].get_title() == "9 concepts: t-SNE"
    assert is_drawn(figure)


def test_a_large_map_shows_all_points_and_says_how_many_are_named() -> None:
    position, names, categories = points(1200)
    figure = map_figure(position, names, categories, "t-SNE")
    shown = sum(len(np.asarray(c.get_offsets())) for c in figure.axes[0].collections)
    named = len(notes(figure))
    assert shown == 1200
    assert 20 < named < 400
    assert f"names of {named} of them" in figure.axes[0].get_title()


def test_names_on_a_map_do_not_overlap() -> None:
    figure = map_figure(*points(300), "")
    figure.draw_without_rendering()
    boxes = [note.get_window_extent() for note in notes(figure)]
    apart = [not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert len(apart) > 100
    assert all(apart)


def test_concepts_without_a_place_are_counted() -> None:
    position, names, categories = points(9)
    position[:2] = np.nan
    figure = map_figure(position, names, categories, "")
    assert figure.axes[0].get_title() == "7 concepts (2 without a place left out)"
    assert len(notes(figure)) == 7


@pytest.mark.parametrize("concepts", [0, 5])
def test_a_map_of_nothing_is_still_a_figure(concepts: int) -> None:
    position, names, categories = points(concepts)
    figure = map_figure(np.full_like(position, np.nan), names, categories, "")
    assert not notes(figure)
    assert is_drawn(figure)


def test_similarities_are_drawn_in_the_order_given() -> None:
    cosine = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.1], [0.9, 0.1, 1.0]])
    axes = similarity_figure(cosine, np.array([1, 0, 2]), ["a", "b", "c"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "c"]
    drawn = axes.images[0].get_array()
    np.testing.assert_array_equal(drawn, [[1, 0.2, 0.1], [0.2, 1, 0.9], [0.1, 0.9, 1]])


@pytest.mark.parametrize(("concepts", "labels"), [(80, 80), (81, 41), (1200, 80)])
def test_similarities_of_many_concepts_name_some(concepts: int, labels: int) -> None:
    names = [f"{c}" for c in range(concepts)]
    axes = similarity_figure(np.eye(concepts), np.arange(concepts), names).axes[0]
    assert len(axes.get_yticklabels()) == labels
    assert ("one name in" in axes.get_title()) == (concepts > 80)


def test_a_small_tree_names_its_leaves() -> None:
    merges = linkage(np.array([[0.0], [0.1], [5.0], [5.3]]), "average")
    figure = dendrogram_figure(merges, ["cat", "dog", "house", "a" * 60])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert set(labels) == {"cat", "dog", "house", "a" * 27 + "…"}
    assert is_drawn(figure)


def test_a_large_tree_shows_its_top_and_counts_the_rest() -> None:
    position, names, _ = points(1200)
    figure = dendrogram_figure(linkage(position, "average"), names)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == 80
    more = [int(label.split(" and ")[1].split()[0]) for label in labels if " and " in label]
    assert 80 + sum(more) == 1200
    assert "80 topmost" in figure.axes[0].get_title()


def test_a_tree_like_a_ladder_does_not_exhaust_the_stack() -> None:
    ladder = linkage(1.1 ** np.arange(3000.0)[:, None] / 1.1**2990, "single")
    assert is_drawn(dendrogram_figure(ladder, [str(c) for c in range(3000)]))


def test_no_tree_is_still_a_figure() -> None:
    figure = dendrogram_figure(np.zeros((0, 4)), ["a", "b"])
    assert figure.axes[0].get_title() == "No tree of 2 concepts"
    assert is_drawn(figure)


def test_category_matrix_shows_shares_chances_and_counts() -> None:
    share = np.array([[0.75, 0.25], [np.nan, np.nan]])
    chance = np.array([[0.4, 0.6], [np.nan, np.nan]])
    figure = category_figure(share, chance, ["object", "part"], np.array([5, 0]), 3)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["0.75\n(0.40)", "0.25\n(0.60)", "-", "-"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["object (5)", "part (0)"]
    assert is_drawn(figure)


def test_comparison_has_a_panel_a_score_with_bar_chance_and_number() -> None:
    value = np.array([[17314.0, 0.8], [np.nan, -0.2]])
    chance = np.array([[20000.0, 0.1], [np.nan, 0.0]])
    p = [["p <= 0.01", "p = 0.01"], ["", "p = 0.9"]]
    figure = comparison_figure(value, chance, p, ["one", "two"], ["distance", "CKA"])
    assert [axes.get_title() for axes in figure.axes] == ["distance", "CKA"]
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [
        ["17314  (p <= 0.01)", "no score"],
        ["0.800  (p = 0.01)", "-0.200  (p = 0.9)"],
    ]
    widths = [bar.get_width() for bar in figure.axes[1].patches]  # type: ignore[attr-defined]
    assert widths == [0.8, -0.2]
    lines = [c for c in figure.axes[1].collections if isinstance(c, LineCollection)]
    assert [segment[0][0] for segment in lines[0].get_segments()] == [0.1, 0.0]
    assert figure.axes[0].get_xlim()[1] > 20000
    assert is_drawn(figure)


def test_a_comparison_without_scores_is_still_a_figure() -> None:
    nothing = np.full((1, 2), np.nan)
    assert is_drawn(comparison_figure(nothing, nothing, [["", ""]], ["one"], ["a", "b"]))
