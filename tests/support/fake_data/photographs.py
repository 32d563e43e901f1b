"""Photographs as people have them: of every mode, depth and make, and damaged."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Wide = npt.NDArray[np.uint16]
_JPEG: dict[str, Any] = {"quality": 98, "subsampling": 0}
# How pixels must be stored for an EXIF orientation to bring them upright.
_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: x.transpose(1, 0, 2)[::-1],
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: x.transpose(1, 0, 2)[:, ::-1],
}


def picture(rows: int = 3, columns: int = 5, block: int = 8) -> Pixels:
    """Draw blocks of random colours, which a JPEG keeps and no turn leaves the same."""
    colours = np.random.default_rng(0).integers(20, 236, (rows, columns, 3), dtype=np.uint8)
    return colours.repeat(block, 0).repeat(block, 1)


def on_white(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Lay a picture on white."""
    share = alpha[..., None] / 255
    return np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)


def write_awkward(folder: Path) -> dict[str, tuple[Pixels, int]]:
    """Write photographs of awkward kinds.

    Returns:
        Name of the file -> the pixels that it shows, and by how much they may be off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, tuple[Pixels, int]] = {}

    def add(name: str, image: Image.Image, pixels: Pixels, off: int = 0, **options: Any) -> None:
        image.save(folder / name, **options)
        known[name] = pixels, off

    rgb = picture()
    colour = Image.fromarray(rgb)
    grey = rgb[..., 0]
    threefold = grey[..., None].repeat(3, 2)
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:8], alpha[8:16] = 0, 100
    see_through = on_white(rgb, alpha)
    add("grey.png", Image.fromarray(grey), threefold)
    both = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    add("grey and alpha.png", both, on_white(threefold, alpha), 1)
    add("rgba.png", Image.fromarray(np.dstack([rgb, alpha])), see_through, 1)
    add("rgba.webp", Image.fromarray(np.dstack([rgb, alpha])), see_through, 1, lossless=True)
    add("bits.png", Image.fromarray(grey > 128), np.where(threefold > 128, 255, 0).astype(np.uint8))
    table = colour.quantize(15)
    hole = np.asarray(table) == 2
    add("palette.png", table, np.where(hole[..., None], 255, rgb).astype(np.uint8), transparency=2)
    add("palette.gif", table, np.where(hole[..., None], 255, rgb).astype(np.uint8), transparency=2)
    further = [Image.fromarray(255 - rgb)]
    for suffix, options in (("gif", {}), ("webp", {"lossless": True}), ("png", {})):
        name = f"animated.{suffix}"
        add(name, colour, rgb, save_all=True, append_images=further, duration=50, **options)
    add("progressive.jpg", colour, rgb, 6, progressive=True, **_JPEG)
    add("UPPER.JPG", colour, rgb, 6, **_JPEG)
    add("name with = and schön.png", colour, rgb)
    add("lab.tif", colour.convert("LAB"), rgb, 4)
    add("ycbcr.tif", colour.convert("YCbCr"), rgb, 3)
    add("one.png", Image.fromarray(rgb[:1, :1]), rgb[:1, :1])
    thin = picture(1, 500, 4)[:3]
    add("thin.png", Image.fromarray(thin), thin)
    _add_inks(rgb, add, folder, known)
    _add_deep(grey, add, folder, known)
    _add_turned(rgb, add)
    return known


def _add_inks(
    rgb: Pixels,
    add: Callable[..., None],
    folder: Path,
    known: dict[str, tuple[Pixels, int]],
) -> None:
    inks = np.asarray(Image.fromarray(rgb).convert("CMYK"))
    add("cmyk of Adobe.jpg", Image.fromarray(inks, "CMYK"), rgb, 6, **_JPEG)
    # PIL stores values inverted and says so in a segment of Adobe's; others do neither.
    path = folder / "cmyk of others.jpg"
    Image.fromarray(255 - inks, "CMYK").save(path, **_JPEG)
    data = path.read_bytes()
    at = data.index(b"\xff\xee")
    (length,) = struct.unpack(">H", data[at + 2 : at + 4])
    path.write_bytes(data[:at] + data[at + 2 + length :])
    known[path.name] = rgb, 6


def _add_deep(
    grey: Pixels,
    add: Callable[..., None],
    folder: Path,
    known: dict[str, tuple[Pixels, int]],
) -> None:
    threefold = grey[..., None].repeat(3, 2)
    deep = grey.astype(np.uint16) * 257
    add("16 bits.png", Image.fromarray(deep), threefold)
    add("16 bits.tif", Image.fromarray(deep), threefold)
    add("16 bits.pgm", Image.fromarray(deep), threefold)
    for suffix, write in (("png", _deep_png), ("tif", _deep_tiff)):
        path = folder / f"16 bits a channel.{suffix}"
        path.write_bytes(write(picture().astype(np.uint16) * 257))
        known[path.name] = picture(), 1
    share = grey.astype(np.float32) / 255
    add("floats to 1.tif", Image.fromarray(share), threefold)
    add("floats to 255.tif", Image.fromarray(grey.astype(np.float32)), threefold)
    low, high = int(grey.min()), int(grey.max())
    stretched = np.round((threefold.astype(float) - low) * 255 / (high - low)).astype(np.uint8)
    nothing = np.where(np.arange(grey.size).reshape(grey.shape) == 0, np.nan, grey)
    blank = stretched.copy()
    blank[0, 0] = 0
    add("floats below 0.tif", Image.fromarray((nothing - 300).astype(np.float32)), blank, 1)
    large = grey.astype(np.int32) * 1000 - 70000
    add("32 bits.tif", Image.fromarray(large), stretched, 1)


def _add_turned(rgb: Pixels, add: Callable[..., None]) -> None:
    for orientation, stored in _STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = Image.fromarray(np.ascontiguousarray(stored(rgb)))
        add(f"turned {orientation}.jpg", turned, rgb, 6, exif=exif, **_JPEG)
        if orientation in (5, 6):
            for suffix, options in (("png", {}), ("tif", {}), ("webp", {"lossless": True})):
                add(f"turned {orientation}.{suffix}", turned, rgb, exif=exif, **options)


def _deep_png(pixels: Wide) -> bytes:
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _deep_tiff(pixels: Wide) -> bytes:
    height, width = pixels.shape[:2]
    data = pixels.astype("<u2").tobytes()
    bits_at = 8 + 2 + 9 * 12 + 4
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, bits_at + 6), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + directory
        + bytes(4)
        + struct.pack("<3H", *3 * [16])
        + data
    )


def write_damaged(folder: Path) -> dict[str, str]:
    """Write what looks like photographs and is none.

    Returns:
        Name of the file -> what a message should say of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(30, 30)).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no photograph at all\n" * 20)
    (folder / "empty.tif").touch()
    (folder / "folder.jpg").mkdir()
    os.symlink("nowhere.jpg", folder / "dangling.jpg")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    return {
        "truncated.png": "cannot be decoded",
        "text.jpg": "cannot be decoded",
        "empty.tif": "is empty",
        "folder.jpg": "cannot be read: Is a directory",
        "dangling.jpg": "is absent",
        "phone.heic": "cannot be decoded",
    }
