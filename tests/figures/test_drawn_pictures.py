"""Strips, overlays and histograms show the images, masks and counts given, each in its place."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.path import Path as Outline
from PIL import ImageDraw

from net2vec_pl.figures.colours import distinct_colours
from net2vec_pl.figures.examples import example_strip, recall_curves, score_histograms
from net2vec_pl.figures.overlay import draw_overlay
from net2vec_pl.figures.synthesis import synthesis_grid

BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#888888"
RNG = np.random.default_rng(0)
Bits = npt.NDArray[np.bool_]


def outlined(axis: Axes, size: int) -> Bits:
    """The pixels that outlines enclose."""
    centres = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2)
    inside = np.zeros(size * size, dtype=np.bool_)
    for path in (path for lines in axis.collections for path in lines.get_paths()):
        for polygon in path.to_polygons():
            inside ^= Outline(polygon).contains_points(centres)
    return inside.reshape(size, size)


def test_a_strip_shows_every_image_with_its_own_masks_and_truth() -> None:
    images = RNG.integers(50, 256, (3, 3, 8, 8), dtype=np.uint8)
    masks = {name: RNG.random((3, 4, 4)) > 0.5 for name in ("embedding", "best filter")}
    truth = np.arange(3)[:, None, None] == np.arange(4)[None, :, None] + np.zeros(4)
    figure = example_strip(images, masks, ["a", "b", "c"], "sky", truth)
    assert figure.get_suptitle() == "sky (outlined: ground truth)"
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["image", *masks]
    lit = [np.ones((3, 4, 4), dtype=np.bool_), *masks.values()]
    for row, shown in enumerate(lit):
        for i, axis in enumerate(figure.axes[3 * row : 3 * row + 3]):
            light = np.where(shown[i].repeat(2, 0).repeat(2, 1), 1, 0.2)
            expected = (images[i] * light).astype(np.uint8).transpose(1, 2, 0)
            np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), expected)
            np.testing.assert_array_equal(outlined(axis, 8), truth[i].repeat(2, 0).repeat(2, 1))
    assert example_strip(images, masks, [], "sky").get_suptitle() == "sky"


def test_histograms_show_who_has_the_concept_in_blue_on_a_logarithmic_scale() -> None:
    edges, present, absent = np.linspace(0, 1, 4), np.array([0, 1, 2]), np.array([90, 9, 1])
    figure = score_histograms({"embedding": (edges, present, absent)}, "sky")
    (axis,) = figure.axes
    assert axis.get_yscale() == "symlog"
    for patch, counts, label, colour in zip(
        axis.patches,
        (absent, present),
        ("without the concept (100)", "with the concept (3)"),
        (GREY, BLUE),
        strict=True,
    ):
        values, at, _ = patch.get_data()  # type: ignore[attr-defined]
        np.testing.assert_array_equal(values, counts)
        np.testing.assert_array_equal(at, edges)
        assert (patch.get_label(), to_hex(patch.get_facecolor())) == (label, colour)


def test_recall_is_drawn_from_the_first_image_on_the_embedding_in_blue() -> None:
    found = {"embedding": np.array([1.0, 2, 2, 2]), "best filter": np.array([0.0, 0.5, 1, 2])}
    (axis,) = recall_curves(found, 2, "sky").axes
    assert axis.get_xscale() == "log"
    styles = {
        str(line.get_label()): (to_hex(line.get_color()), line.get_linestyle())
        for line in axis.lines
    }
    assert styles == {
        "embedding": (BLUE, "-"),
        "best filter": (ORANGE, "-"),
        "best possible": (GREY, ":"),
        "chance": (GREY, "--"),
    }
    for line in axis.lines:
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])


def test_a_grid_shows_every_variant_of_every_concept_over_its_caption() -> None:
    images = RNG.random((3, 2, 3, 4, 4), dtype=np.float32)
    captions = [[f"{name} {way}" for way in ("embedding", "filter")] for name in "abc"]
    figure = synthesis_grid(["a", "b", "c"], images, captions, "made")
    assert figure.get_suptitle() == "made"
    for i, axis in enumerate(figure.axes):
        concept, variant = divmod(i, 2)
        picture = images[concept, variant].transpose(1, 2, 0)
        np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), picture)
        assert axis.get_xlabel() == captions[concept][variant]
        assert axis.get_title(loc="left") == ("" if variant else "abc"[concept])


def test_an_overlay_numbers_its_areas_as_its_legend_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest area is named first; shares are of the whole picture."""
    written: list[tuple[tuple[int, int], str]] = []
    swatches: list[tuple[int, ...]] = []
    text, rectangle = ImageDraw.ImageDraw.text, ImageDraw.ImageDraw.rectangle

    def write(self: ImageDraw.ImageDraw, xy: Any, said: str, *args: Any, **kwargs: Any) -> None:
        written.append((xy, said))
        text(self, xy, said, *args, **kwargs)

    def fill(self: ImageDraw.ImageDraw, xy: Any, *args: Any, **kwargs: Any) -> None:
        swatches.append(kwargs["fill"])
        rectangle(self, xy, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", fill)
    labels = np.zeros((30, 50), dtype=np.uint8)
    labels[:10, :20] = 1  # 200 of 1500
    labels[12:, 25:] = 3  # 450
    colours = distinct_colours(3)
    image = RNG.integers(0, 256, (3, 300, 500), dtype=np.uint8)
    draw_overlay(image, labels, ["sky", "sea", "sand"], colours)
    assert [said for _, said in written] == ["3", "1", "3  sand  30.0%", "1  sky  13.3%"]
    for (x, y), said in written[:2]:
        assert labels[y // 10, x // 10] == int(said)
    assert swatches == [tuple(colours[i].tolist()) for i in (2, 0)]
