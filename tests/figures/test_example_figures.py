"""Figures of examples and of synthesised images: what they hold, and that odd input gives one."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from net2vec_pl.figures.examples import (
    dim_outside,
    example_strip,
    recall_curves,
    score_histograms,
)
from net2vec_pl.figures.style import save_figure
from net2vec_pl.figures.synthesis import synthesis_grid


def pictures(n: int, size: int = 32) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def discs(n: int, size: int = 16) -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[:size, :size]
    return np.asarray(np.hypot(y - 8, x - 4 - np.arange(n)[:, None, None]) < 5)


def test_outside_a_mask_a_fifth_of_the_light_is_left() -> None:
    image = np.full((3, 4, 6), 200, dtype=np.uint8)
    dimmed = dim_outside(image, np.array([[True, False], [False, False]]))
    assert dimmed.shape == (4, 6, 3)
    assert (dimmed[:2, :3] == 200).all()
    assert (dimmed[2:] == 40).all()
    assert (dimmed[:, 3:] == 40).all()


def test_a_strip_has_a_row_for_the_images_and_one_for_every_mask(tmp_path: Path) -> None:
    figure = example_strip(
        pictures(4),
        {"embedding": discs(4), "filter 12": discs(4, 9)},
        [f"p {p}" for p in (0, 30, 60, 100)],
        "sky",
        truth=discs(4),
    )
    assert len(figure.axes) == 12
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == ["image", "embedding", "filter 12"]
    assert [axis.get_title() for axis in figure.axes[:4]] == ["p 0", "p 30", "p 60", "p 100"]
    assert all(len(axis.images) == 1 and len(axis.collections) == 1 for axis in figure.axes)
    save_figure(figure, tmp_path, "strip")
    assert (tmp_path / "strip.png").stat().st_size > 0


@pytest.mark.parametrize("full", [False, True])
def test_masks_that_are_empty_or_full_are_drawn_too(full: bool, tmp_path: Path) -> None:
    masks = np.full((2, 8, 8), full)
    figure = example_strip(pictures(2), {"embedding": masks}, ["a", "b"], "sky", truth=masks)
    save_figure(figure, tmp_path, "strip")
    assert [len(axis.collections) for axis in figure.axes] == [int(full)] * 4


def test_a_strip_of_no_images_says_so() -> None:
    figure = example_strip(pictures(0), {"embedding": discs(0)}, [], "sky")
    assert figure.axes[0].texts[0].get_text() == "no image to show"


def test_histograms_have_a_panel_a_direction_and_the_counts_in_the_legend(tmp_path: Path) -> None:
    edges, present, absent = np.linspace(0, 1, 4), np.array([0, 1, 2]), np.array([90, 9, 1])
    shown = (edges, present, absent)
    figure = score_histograms({"embedding": shown, "filter 12": shown}, "sky")
    assert [axis.get_title() for axis in figure.axes] == ["embedding", "filter 12"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["without the concept (100)", "with the concept (3)"]
    save_figure(figure, tmp_path, "histograms")


def test_histograms_of_nothing_are_empty_panels(tmp_path: Path) -> None:
    none = np.zeros(3, dtype=np.int64)
    save_figure(score_histograms({"a": (np.linspace(0, 1, 4), none, none)}, "x"), tmp_path, "a")
    save_figure(score_histograms({}, "x"), tmp_path, "b")


def test_recall_curves_are_shares_between_chance_and_the_best_possible() -> None:
    found = {"embedding": np.array([1.0, 2, 2, 2]), "filter 12": np.array([0.0, 0.5, 1, 2])}
    figure = recall_curves(found, 2, "sky")
    lines = {
        str(line.get_label()): np.asarray(line.get_ydata(), dtype=np.float64)
        for line in figure.axes[0].lines
    }
    np.testing.assert_allclose(lines["embedding"], [0.5, 1, 1, 1])
    np.testing.assert_allclose(lines["best possible"], [0.5, 1, 1, 1])
    np.testing.assert_allclose(lines["chance"], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(lines["filter 12"], [0, 0.25, 0.5, 1])


@pytest.mark.parametrize("found", [{}, {"a": np.zeros(3)}])
def test_recall_of_a_concept_without_images_says_so(
    found: dict[str, npt.NDArray[np.float64]],
) -> None:
    figure = recall_curves(found, 0, "sky")
    assert "no image" in figure.axes[0].texts[0].get_text()


def grid_of(count: int, variants: int = 2) -> tuple[list[str], npt.NDArray[np.float32]]:
    images = np.random.default_rng(0).random((count, variants, 3, 8, 8), dtype=np.float32)
    return [f"concept {at}" for at in range(count)], images


def test_synthesised_images_of_a_concept_stand_side_by_side(tmp_path: Path) -> None:
    names, images = grid_of(4)
    captions = [[f"e{at}", f"f{at}"] for at in range(4)]
    figure = synthesis_grid(names, images, captions, "conv5")
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_xlabel() for axis in shown] == [text for pair in captions for text in pair]
    assert [axis.get_title(loc="left") for axis in shown[::2]] == names
    np.testing.assert_allclose(
        np.asarray(shown[3].images[0].get_array(), dtype=np.float32),
        images[1, 1].transpose(1, 2, 0),
    )
    save_figure(figure, tmp_path, "grid")


def test_a_grid_of_very_many_concepts_shows_the_first_and_says_so() -> None:
    names, images = grid_of(60, variants=1)
    figure = synthesis_grid(names, images, [["x"]] * 60, "conv5")
    assert sum(bool(axis.images) for axis in figure.axes) == 24
    assert figure.get_suptitle() == "conv5 (the first 24 of 60)"


def test_a_grid_of_nothing_says_so(tmp_path: Path) -> None:
    figure = synthesis_grid(*grid_of(0), [], "conv5")
    assert figure.get_suptitle() == "conv5: no image to show"
    save_figure(figure, tmp_path, "grid")
