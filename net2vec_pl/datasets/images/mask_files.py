"""Read mask files as people have them: label numbers, or one concept; what is ambiguous is refused.

This is the only place where a pixel of a mask file becomes a number. Alpha has one rule: a pixel
that is fully transparent has no label; of all others alpha is ignored. A palette's alpha belongs to
its colours, and an index counts whatever its colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, UInt8
from PIL import Image

from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError
from net2vec_pl.datasets.images.any_image import turned_upright
from net2vec_pl.datasets.images.decoding import decode, read_bytes
from net2vec_pl.errors import shorten

Labels: TypeAlias = Int32[np.ndarray, "h w"]
Colour: TypeAlias = tuple[int, int, int]

DOCS = "docs/datasets.md#mask-files"
_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF")
_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_INDEX_MODES = ("1", "L", "P", "LA", "PA", *_WIDE_MODES)
_COLOUR_MODES = ("RGB", "RGBA", "RGBX")
_PNG = b"\x89PNG\r\n\x1a\n"  # bytes 24 and 25 are the bit depth and the colour type
_BITS_PER_SAMPLE = 258  # the tag of TIFF


@dataclass(frozen=True)
class MaskCoding:
    """What the pixels of mask files of label numbers mean.

    Args:
        unknown: The numbers that say "unknown"; None is 255 in masks of 8 bits, which is what VOC,
            Cityscapes and most tools write, and nothing in masks of 16 bits.
        unknown_colours: The colours that say so, in masks with a colour table.
        colours: (r, g, b) -> number, for masks in colours. A palette's colours count too, then.
    """

    unknown: tuple[int, ...] | None = None
    unknown_colours: tuple[Colour, ...] = ()
    colours: Mapping[Colour, int] | None = None


INDEXED = MaskCoding()


def read_labels(path: Path, coding: MaskCoding = INDEXED) -> Labels:
    """Read a mask file of label numbers.

    Args:
        path: The file: grey of 8 or 16 bits, an index into a palette, one bit, or colours. It is
            turned as its EXIF tag says.
        coding: What its pixels mean.

    Returns:
        Label numbers, 0 where there is none, :data:`UNKNOWN` where they are unknown.

    Raises:
        UnreadableRowError: If it is absent, damaged, lossy, or its numbers cannot be known.
    """
    what = f"mask {path}"
    return labels_of(_opened(path), what, coding)


def read_binary(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask file of one concept: whatever is not black belongs to it.

    Args:
        path: The file. Where it is black everywhere but transparent in places, as black paint on a
            transparent sheet is, whatever is painted belongs to the concept.

    Raises:
        UnreadableRowError: If it is absent, damaged or lossy.
    """
    image = _opened(path)
    if image.mode in _WIDE_MODES:
        return _nonzero(image)
    if image.mode not in (*_INDEX_MODES, *_COLOUR_MODES):
        raise _of_mode(image, f"mask {path}")
    return _painted(image)


def labels_of(image: Image.Image, what: str, coding: MaskCoding = INDEXED) -> Labels:
    """Return the label numbers of a PIL image, as :func:`read_labels` does of a file.

    Args:
        image: The image.
        what: How to call it in a message.
        coding: What its pixels mean.

    Raises:
        UnreadableRowError: If it is lossy, or its numbers cannot be known.
    """
    _check_kind(image, what)
    if coding.colours is not None and image.mode in ("P", "PA", *_COLOUR_MODES):
        return _by_colour(image, what, coding)
    if image.mode in _COLOUR_MODES:
        raise UnreadableRowError(
            f"{what} is in colours ({_few_colours(image)}); give each colour a label with a table "
            f"of colours, or save label numbers as a grey or palette PNG: {DOCS}"
        )
    if image.mode not in _INDEX_MODES:
        raise _of_mode(image, what)
    values = np.asarray(image)
    if image.mode in ("LA", "PA"):
        values = np.where(values[..., 1] == 0, 0, values[..., 0])
    elif image.mode != "P" and isinstance(key := image.info.get("transparency"), int):
        values = np.where(values == key, 0, values)
    if values.min() < 0:
        raise UnreadableRowError(f"{what} holds {values.min()}; labels are 0 (nothing) or more")
    labels: Labels = values.astype(np.int32)
    eight_bits = image.mode in ("L", "P", "LA", "PA")
    unknown = ((255,) if eight_bits else ()) if coding.unknown is None else coding.unknown
    return np.where(np.isin(labels, unknown), np.int32(UNKNOWN), labels)


def _opened(path: Path) -> Image.Image:
    """Decode a file and turn it upright, unless it is of a kind that holds no masks."""
    what, data = f"mask {path}", read_bytes(path, "mask")
    image = decode(data, path, "mask")
    _check_kind(image, what)
    _check_depth(image, data, what)
    return turned_upright(image)


def _check_kind(image: Image.Image, what: str) -> None:
    if image.format in _LOSSY:
        raise UnreadableRowError(
            f"{what} is a {image.format}, whatever its suffix: such files change values along "
            f"edges, so that its labels are not those that were drawn. Export masks as PNG: {DOCS}"
        )
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise UnreadableRowError(f"{what} has {frames} frames; a mask has one: {DOCS}")
    if min(image.size) < 1:
        raise UnreadableRowError(f"{what} has no pixels")


def _check_depth(image: Image.Image, data: bytes, what: str) -> None:
    """Refuse what PIL gives other values than the file holds."""
    bits, colour_type = (data[24], data[25]) if data.startswith(_PNG) else (8, -1)
    if colour_type == 0 and bits in (2, 4):
        raise UnreadableRowError(
            f"{what} is grey of {bits} bits, which some tools read as 0 to {2**bits - 1} and "
            f"others as 0 to 255; save it with 8 bits: {DOCS}"
        )
    tags = getattr(image, "tag_v2", {})
    wide = bits == 16 or max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8
    if wide and image.mode in ("LA", *_COLOUR_MODES):
        raise UnreadableRowError(
            f"{what} has several channels of 16 bits; save one channel of 16 bits, or colours of "
            f"8: {DOCS}"
        )


def _of_mode(image: Image.Image, what: str) -> UnreadableRowError:
    kind = "floats" if image.mode == "F" else f"of mode {image.mode}"
    return UnreadableRowError(
        f"{what} is {kind}; a mask is grey of 8 or 16 bits, a palette, one bit, or RGB: {DOCS}"
    )


def _painted(image: Image.Image) -> Bool[np.ndarray, "h w"]:
    """Return what is not black; of black paint on a transparent sheet, what is painted."""
    if image.mode == "P" and not any((image.getpalette() or [])[3:]):
        return _nonzero(image)  # its colours were lost
    rgba = np.asarray(image.convert("RGBA"))
    opaque = np.asarray(rgba[..., 3] > 0)
    light = np.asarray((rgba[..., :3] > 0).any(axis=2))
    return opaque & light if light.any() or opaque.all() else opaque


def _nonzero(image: Image.Image) -> Bool[np.ndarray, "h w"]:
    return np.asarray(np.asarray(image) != 0)


def _by_colour(image: Image.Image, what: str, coding: MaskCoding) -> Labels:
    """Look colours up in the table; those that it lacks are named."""
    assert coding.colours is not None
    rgba = np.asarray(image.convert("RGBA"))
    colours, place = np.unique(_joined(rgba[..., :3]), return_inverse=True)
    numbers = {_joined_one(colour): number for colour, number in coding.colours.items()}
    numbers |= {_joined_one(colour): UNKNOWN for colour in coding.unknown_colours}
    opaque = rgba[..., 3] > 0
    held = np.unique(place.reshape(opaque.shape)[opaque])
    absent = [_split(int(colours[one])) for one in held if int(colours[one]) not in numbers]
    if absent:
        raise UnreadableRowError(
            f"{what} has colours that the table does not have: {shorten(map(str, absent))}; it has "
            f"{shorten(map(str, coding.colours))}: {DOCS}"
        )
    found = np.array([numbers.get(int(colour), 0) for colour in colours], dtype=np.int32)
    if coding.unknown:
        found[np.isin(found, coding.unknown)] = UNKNOWN
    return np.where(opaque, found[place].reshape(opaque.shape), np.int32(0))


def _joined(rgb: UInt8[np.ndarray, "h w 3"]) -> Int32[np.ndarray, "h w"]:
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) + (green << 8) + blue


def _joined_one(colour: Colour) -> int:
    return (colour[0] << 16) + (colour[1] << 8) + colour[2]


def _split(joined: int) -> Colour:
    return joined >> 16, (joined >> 8) & 255, joined & 255


def _few_colours(image: Image.Image) -> str:
    colours = np.unique(_joined(np.asarray(image.convert("RGB"))))
    return shorten((str(_split(int(colour))) for colour in colours), shown=4)
