"""Every kind of mask file gives the labels that were drawn, or is refused with the reason."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.images.mask_files import MaskCoding, read_binary, read_labels

DRAWN = np.array([[0, 1, 2], [3, 255, 0]], dtype=np.uint8)
READ = [[0, 1, 2], [3, -1, 0]]
VOC = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2, (128, 128, 0): 3}


def palette(values: np.ndarray, colours: list[int] | None = None) -> Image.Image:
    image = Image.fromarray(values, mode="P")
    image.putpalette(colours if colours is not None else [(7 * n) % 256 for n in range(768)])
    return image


def png(values: np.ndarray, bits: int, colour_type: int, channels: int = 1) -> bytes:
    """Write a PNG by hand, of depths that PIL does not write."""
    height, width = values.shape[:2]
    rows = b""
    for row in values.reshape(height, width * channels):
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header)
    if colour_type == 3:
        body += chunk(b"PLTE", bytes(3 * 2**bits))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def faulty(path: Path, coding: MaskCoding | None = None) -> str:
    with pytest.raises(UnreadableRowError) as caught:
        read_labels(path, coding or MaskCoding())
    return str(caught.value)


# ---- label numbers


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "two words é.png", "a.bmp", "a.tif", "a.gif"])
@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_numbers_come_back_and_255_is_unknown(tmp_path: Path, name: str, kind: str) -> None:
    image = Image.fromarray(DRAWN) if kind == "grey" else palette(DRAWN)
    image.save(tmp_path / name, optimize=False)
    labels = read_labels(tmp_path / name)
    assert labels.dtype == np.int32
    assert labels.tolist() == READ


@given(arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_sixteen_bits_come_back_whatever_they_are(values: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        Image.fromarray(values).save(Path(folder) / "a.png")
        assert read_labels(Path(folder) / "a.png").tolist() == values.tolist()


def test_sixteen_bits_of_a_tiff_and_255_in_them(tmp_path: Path) -> None:
    values = np.array([[0, 255, 40000], [65535, 1, 256]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert read_labels(tmp_path / "a.tiff").tolist() == values.tolist()
    said = MaskCoding(unknown=(65535,))
    assert read_labels(tmp_path / "a.tiff", said).tolist() == [[0, 255, 40000], [-1, 1, 256]]


def test_a_palette_may_have_lost_its_colours_and_may_be_transparent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(DRAWN % 4, 2, 3))
    assert read_labels(tmp_path / "a.png").tolist() == (DRAWN % 4).tolist()
    palette(DRAWN).save(tmp_path / "b.png", transparency=bytes([0, 0, 9]))
    assert read_labels(tmp_path / "b.png").tolist() == READ


def test_one_bit_is_label_1(tmp_path: Path) -> None:
    Image.fromarray(DRAWN > 1).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == (DRAWN > 1).astype(int).tolist()


@pytest.mark.parametrize(
    ("unknown", "read"),
    [
        ((0,), [[-1, 1, 2], [3, 255, -1]]),
        ((), [[0, 1, 2], [3, 255, 0]]),
        ((3, 255), [[0, 1, 2], [-1, -1, 0]]),
    ],
)
def test_unknown_may_be_said(tmp_path: Path, unknown: tuple[int, ...], read: list[object]) -> None:
    Image.fromarray(DRAWN).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", MaskCoding(unknown)).tolist() == read


def test_what_is_fully_transparent_has_no_label(tmp_path: Path) -> None:
    alpha = np.array([[255, 0, 1], [255, 255, 255]], dtype=np.uint8)
    Image.merge("LA", [Image.fromarray(DRAWN), Image.fromarray(alpha)]).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == [[0, 0, 2], [3, -1, 0]]
    Image.fromarray(DRAWN).save(tmp_path / "b.png", transparency=3)
    assert read_labels(tmp_path / "b.png").tolist() == [[0, 1, 2], [0, -1, 0]]


# ---- colours


def painted(numbers: np.ndarray, table: dict[tuple[int, int, int], int]) -> np.ndarray:
    colour = {number: colour for colour, number in table.items()}
    return np.array([[colour[n] for n in row] for row in numbers.tolist()], dtype=np.uint8)


def test_colours_are_looked_up(tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 2], [3, 3, 0]])
    rgb = painted(numbers, VOC)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    coding = MaskCoding(colours=VOC)
    assert read_labels(tmp_path / "a.png", coding).tolist() == numbers.tolist()
    alpha = np.array([[255, 0, 9], [255, 255, 255]], dtype=np.uint8)
    Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "b.png")
    assert read_labels(tmp_path / "b.png", coding).tolist() == [[0, 0, 2], [3, 3, 0]]
    Image.fromarray(rgb).quantize(8).save(tmp_path / "c.png")  # as tools that shrink files do
    assert read_labels(tmp_path / "c.png", coding).tolist() == numbers.tolist()


def test_a_colour_may_say_unknown_and_one_without_a_label_is_named(tmp_path: Path) -> None:
    rgb = painted(np.array([[0, 1], [2, 2]]), VOC)
    rgb[0, 0] = (224, 224, 192)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    coding = MaskCoding(unknown_colours=((224, 224, 192),), colours=VOC)
    assert read_labels(tmp_path / "a.png", coding).tolist() == [[-1, 1], [2, 2]]
    said = faulty(tmp_path / "a.png", MaskCoding(colours=VOC))
    assert "has colours that the table does not have: (224, 224, 192); it has (0, 0, 0), " in said
    said = faulty(tmp_path / "a.png")
    assert "is in colours ((0, 128, 0), (128, 0, 0), (224, 224, 192)); give each" in said
    assert "docs/datasets.md#mask-files" in said


# ---- one concept


def binary_forms() -> dict[str, tuple[Callable[[Path], None], list[list[int]]]]:
    black = np.zeros((2, 3, 3), dtype=np.uint8)
    alpha = np.array([[0, 255, 255], [0, 1, 0]], dtype=np.uint8)
    white = np.full((2, 3, 3), 255, dtype=np.uint8)
    shape = np.array([[0, 255, 1], [0, 7, 0]], dtype=np.uint8)
    want = [[0, 1, 1], [0, 1, 0]]
    return {
        "grey": (lambda p: Image.fromarray(shape).save(p), want),
        "one bit": (lambda p: Image.fromarray(shape > 0).save(p), want),
        "16 bits": (lambda p: Image.fromarray(shape.astype(np.uint16) << 8).save(p), want),
        "colours": (lambda p: Image.fromarray(np.dstack([shape, black[..., :2]])).save(p), want),
        "palette without colours": (lambda p: palette(shape, [0] * 768).save(p), want),
        "black on transparent": (
            lambda p: Image.fromarray(np.dstack([black, alpha])).save(p),
            want,
        ),
        "white on transparent": (
            lambda p: Image.fromarray(np.dstack([white, alpha])).save(p),
            want,
        ),
        "grey with holes": (
            lambda p: Image.merge("LA", [Image.fromarray(shape), Image.fromarray(alpha)]).save(p),
            want,
        ),
        "black all over": (
            lambda p: Image.fromarray(np.dstack([black, alpha * 0 + 255])).save(p),
            [[0, 0, 0], [0, 0, 0]],
        ),
    }


@pytest.mark.parametrize("form", [*binary_forms()])
def test_what_is_not_black_is_the_concept(tmp_path: Path, form: str) -> None:
    save, want = binary_forms()[form]
    save(tmp_path / "a.png")
    assert read_binary(tmp_path / "a.png").astype(int).tolist() == want


# ---- turned


def test_a_mask_is_turned_as_its_tag_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise
    for name in ("a.png", "a.tif"):
        Image.fromarray(DRAWN).save(tmp_path / name, exif=exif)
        assert read_labels(tmp_path / name).tolist() == np.rot90(np.array(READ), -1).tolist()
        assert read_binary(tmp_path / name).shape == (3, 2)


# ---- refused


def test_lossy_files_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    for name, form in (("a.jpg", "JPEG"), ("b.png", "JPEG"), ("c.webp", "WEBP")):
        Image.fromarray(DRAWN).save(tmp_path / name, format=form)
        said = faulty(tmp_path / name)
        assert f"is a {form}, whatever its suffix: such files change values along edges" in said
        with pytest.raises(UnreadableRowError, match="Export masks as PNG"):
            read_binary(tmp_path / name)


def test_frames_floats_and_absent_or_damaged_files_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(DRAWN), Image.fromarray(DRAWN[::-1])]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert "has 2 frames; a mask has one" in faulty(tmp_path / "a.tif")
    Image.fromarray(DRAWN.astype(np.float32)).save(tmp_path / "b.tif")
    assert "is floats; a mask is grey of 8 or 16 bits" in faulty(tmp_path / "b.tif")
    Image.new("CMYK", (3, 2)).save(tmp_path / "c.tif")
    assert "is of mode CMYK; a mask is" in faulty(tmp_path / "c.tif")
    assert "is absent" in faulty(tmp_path / "none.png")
    (tmp_path / "d.png").write_bytes(b"")
    assert "is empty" in faulty(tmp_path / "d.png")
    (tmp_path / "e.png").write_bytes(png(DRAWN, 8, 0)[:-24])
    assert "cannot be decoded" in faulty(tmp_path / "e.png")
    Image.fromarray(np.array([[-7, 1]], dtype=np.int32)).save(tmp_path / "f.tif")
    assert "holds -7; labels are 0 (nothing) or more" in faulty(tmp_path / "f.tif")


@pytest.mark.parametrize(("bits", "colour_type", "channels"), [(16, 2, 3), (16, 4, 2), (16, 6, 4)])
def test_several_channels_of_16_bits_are_refused(
    tmp_path: Path, bits: int, colour_type: int, channels: int
) -> None:
    values = np.zeros((2, 3, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png(values, bits, colour_type, channels))
    assert "has several channels of 16 bits" in faulty(tmp_path / "a.png", MaskCoding(colours=VOC))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_refused_for_tools_differ(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.png").write_bytes(png(DRAWN % 4, bits, 0))
    assert f"is grey of {bits} bits, which some tools read as 0 to" in faulty(tmp_path / "a.png")
