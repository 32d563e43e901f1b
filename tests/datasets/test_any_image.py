"""Photographs of every mode and make show the pixels that a viewer would show."""

import contextlib
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.fake_data.photographs import picture, write_awkward, write_damaged

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.any_image import any_image_pixels, read_any_image


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_awkward_kind_shows_its_pixels(tmp_path: Path) -> None:
    known = write_awkward(tmp_path)
    assert len(known) > 35
    for name, (pixels, off) in known.items():
        found = read_any_image(tmp_path / name).permute(1, 2, 0).numpy()
        assert found.shape == pixels.shape, name
        worst = np.abs(found.astype(int) - pixels).max()
        assert worst <= off, f"{name} is off by {worst}"


def test_a_large_photograph_is_read_whole(tmp_path: Path) -> None:
    large = picture(100, 125, 32)
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=98, subsampling=0)
    found = read_any_image(tmp_path / "large.jpg").permute(1, 2, 0).numpy()
    assert found.shape == (3200, 4000, 3)
    assert np.abs(found[5::16, 3::16].astype(int) - large[5::16, 3::16]).max() <= 6


def test_what_is_no_photograph_says_so(tmp_path: Path) -> None:
    for name, message in write_damaged(tmp_path).items():
        with pytest.raises(UnreadableRowError, match=message) as caught:
            read_any_image(tmp_path / name)
        assert name in str(caught.value)


def test_a_file_that_may_not_be_read_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnreadableRowError, match="Permission denied"):
        read_any_image(tmp_path / "x.jpg")


def test_more_pixels_than_a_photograph_has_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Image.fromarray(picture()).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 40 // 2 - 1)
    with pytest.raises(UnreadableRowError, match="960 pixels"):
        read_any_image(tmp_path / "x.png")


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_tag_costs_no_photograph() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x9286] = 3, "said of it", b"said by others"
    tags = exif.tobytes()
    rows = picture()
    ways = [np.rot90(way, turn) for way in (rows, rows[::-1]) for turn in range(4)]
    for at in range(len(tags)):
        image = Image.fromarray(rows)
        image.info["exif"] = tags[:at] + bytes([tags[at] ^ 0xFF]) + tags[at + 1 :]
        pixels = any_image_pixels(image, "image").numpy().transpose(1, 2, 0)
        assert any(np.array_equal(pixels, way) for way in ways)


@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_is_a_message_or_a_picture(tmp_path: Path) -> None:
    draw = random.Random(0)
    image, path = Image.fromarray(picture()), tmp_path / "x"
    for form in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP", "PPM", "TGA", "ICO", "JPEG2000"):
        file = io.BytesIO()
        image.save(file, form)
        for _ in range(20):
            data = bytearray(file.getvalue())
            for _ in range(draw.choice([1, 4])):
                data[draw.randrange(min(len(data), draw.choice([64, 10**6])))] = draw.randrange(256)
            path.write_bytes(data[: draw.choice([len(data), draw.randrange(1, len(data))])])
            with contextlib.suppress(UnreadableRowError):  # and no other error
                assert read_any_image(path).numel() > 0


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(UnreadableRowError, match="mine has no pixels"):
        any_image_pixels(Image.new("RGB", (0, 3)), "mine")


def shown(values: list[float], mode: type, form: str | None = None) -> list[int]:
    image = Image.fromarray(np.array([values], dtype=mode))
    image.format = form
    pixels = any_image_pixels(image, "image")
    assert pixels.shape == (3, 1, len(values))
    assert (pixels == pixels[0]).all()
    found: list[int] = pixels[0, 0].tolist()
    return found


def test_values_of_more_than_eight_bits_are_brought_to_them_by_hand() -> None:
    # 16 bits by their range: 257 values to one, to the nearest.
    assert shown([0, 128, 129, 257, 65406, 65407, 65535], np.uint16) == [0, 0, 1, 1, 254, 255, 255]
    # Floats of [0, 1] by it, of [0, 255] as they are.
    assert shown([0, 0.25, 0.5, 1], np.float32) == [0, 64, 128, 255]
    assert shown([0.25, 0.5], np.float32) == [64, 128]
    assert shown([0, 1.6, 200, 255], np.float32) == [0, 2, 200, 255]
    # All others from their least to their greatest.
    assert shown([-1, 0, 1], np.float32) == [0, 128, 255]
    assert shown([0, 100, 510], np.float32) == [0, 50, 255]
    assert shown([-5, -5], np.float32) == [0, 0]
    # Whole numbers are never taken for shares.
    assert shown([0, 1], np.int32) == [0, 1]
    assert shown([0, 255], np.int32) == [0, 255]
    assert shown([0, 256, 1020], np.int32) == [0, 64, 255]
    assert shown([0, 257, 65535], np.int32, "PNG") == [0, 1, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_brought_upright_as_its_tag_says(orientation: int) -> None:
    rows = picture()
    # How the camera stored what stands upright, by the tag's definition: where row 0 and column 0
    # of the stored image lie in the picture.
    stored = {
        1: rows,  # top, left
        2: rows[:, ::-1],  # top, right
        3: rows[::-1, ::-1],  # bottom, right
        4: rows[::-1],  # bottom, left
        5: rows.swapaxes(0, 1),  # left, top
        6: rows[:, ::-1].swapaxes(0, 1),  # right, top
        7: rows[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: rows[::-1].swapaxes(0, 1),  # left, bottom
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    pixels = any_image_pixels(image, "image").numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(pixels, rows)


def test_what_is_transparent_shows_white() -> None:
    image = Image.fromarray(np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], dtype=np.uint8))
    assert any_image_pixels(image, "image")[:, 0].T.tolist() == [[255, 255, 255], [10, 20, 30]]
