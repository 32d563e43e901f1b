"""Photographs lie as their masks do; training and predict decode the same pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.fake_data.mask_sets import write_sceneparse

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.broden.reader import BrodenReader
from net2vec_pl.datasets.files.layouts import choice_of
from net2vec_pl.datasets.images.any_image import read_any_image
from net2vec_pl.datasets.images.photographs import alike, read_photograph
from net2vec_pl.datasets.shapes import ShapesReader
from net2vec_pl.errors import DataError
from net2vec_pl.formats.broden_writer import write_broden


def stored(path: Path, orientation: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    """Save noise with an EXIF orientation, without loss."""
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_masks_a_photograph_is_what_predict_sees(tmp_path: Path, orientation: int) -> None:
    stored(tmp_path / "a.png", orientation)
    photograph = read_photograph(tmp_path / "a.png", None)
    assert torch.equal(photograph.pixels, read_any_image(tmp_path / "a.png"))
    assert not photograph.unsure


@pytest.mark.parametrize(
    ("orientation", "wanted", "turns", "unsure"),
    [
        (6, (6, 4), True, False),
        (6, (4, 6), False, False),
        (3, (4, 6), True, True),
        (1, (4, 6), False, False),
    ],
)
def test_masks_tell_how_it_lies(
    tmp_path: Path, orientation: int, wanted: tuple[int, int], turns: bool, unsure: bool
) -> None:
    pixels = stored(tmp_path / "a.png", orientation)
    found = read_photograph(tmp_path / "a.png", lambda size: size == wanted)
    want = {6: np.rot90(pixels, -1), 3: pixels[::-1, ::-1]}.get(orientation) if turns else pixels
    assert want is not None
    assert found.pixels.permute(1, 2, 0).tolist() == want.tolist()
    assert found.unsure == unsure


def test_one_that_fits_no_way_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "a.png", 1)
    with pytest.raises(UnreadableRowError, match=r"is 4x6 \(height x width\), but it is too small"):
        read_photograph(tmp_path / "a.png", lambda _: False, "it is too small")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((4, 6), (2, 3), True), ((375, 500), (188, 250), True), ((4, 6), (6, 4), False)],
)
def test_proportions_are_compared_to_a_pixel(
    one: tuple[int, int], other: tuple[int, int], same: bool
) -> None:
    assert alike(one, other) is same
    assert alike(other, one) is same


def test_brodens_square_photographs_are_turned_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_broden(ShapesReader(num_images=3), tmp_path / "broden")
    reader = BrodenReader(tmp_path / "broden")
    for row in range(2):
        path = tmp_path / "broden" / "images" / reader.image_names[row]
        pixels = stored(path, 6, reader.image_size)
        assert reader[row].image.permute(1, 2, 0).tolist() == np.rot90(pixels, -1).tolist()
        assert torch.equal(reader[row].image, read_any_image(path))
    assert len(caplog.messages) == 1
    assert "has an EXIF orientation, and its masks fit it turned as well as not" in caplog.text


# ---- folders that are in no layout of BRODEN's


def test_a_folder_that_is_not_brodens_is_told_what_it_is(tmp_path: Path) -> None:
    write_sceneparse(tmp_path / "masks")
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    coco: dict[str, list[int]] = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "coco" / "annotations" / "instances.json").write_text(json.dumps(coco))
    for name in ("cat", "dog"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        stored(tmp_path / "classes" / name / "a.png", 1)
    (tmp_path / "nothing").mkdir()
    for choice in ("masks", "coco", "classes"):
        assert choice_of(tmp_path / choice) == choice
        said = rf"index\.csv, .* absent\. It looks like data={choice} .*docs/datasets\.md#{choice}"
        with pytest.raises(DataError, match=said):
            BrodenReader(tmp_path / choice)
    assert choice_of(tmp_path / "nothing") is None
    with pytest.raises(DataError, match=r"docs/datasets\.md has the layouts"):
        BrodenReader(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no such folder\..*docs/datasets\.md#broden"):
        BrodenReader(tmp_path / "gone")
