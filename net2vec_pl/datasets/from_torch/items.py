"""What the items of a user's dataset hold: pixels of an image, label numbers of its masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from PIL import Image
from torch import Tensor

from net2vec_pl.data.reader import UNKNOWN, UnreadableRowError
from net2vec_pl.datasets.images.any_image import any_image_pixels
from net2vec_pl.datasets.images.mask_files import MaskCoding, labels_of
from net2vec_pl.datasets.images.photographs import alike
from net2vec_pl.errors import shorten

UNKNOWN_GIVEN = 255
"""What says "unknown" in a mask of label numbers as users give it."""

Labels: TypeAlias = Int32[np.ndarray, "h w"]

_PAIR = "a pair (image, mask) or (image, {name: mask})"
_CODING = MaskCoding((UNKNOWN_GIVEN,))


@dataclass(frozen=True)
class Item:
    """One item of a user's dataset, at its own size.

    Args:
        image: RGB, 0 to 255.
        masks: A mask of label numbers, or masks by name. 0 is nothing, unknown is :data:`UNKNOWN`.
    """

    image: UInt8[Tensor, "3 H W"]
    masks: Labels | dict[str, Labels]

    @property
    def all_masks(self) -> list[Labels]:
        """Its masks, named or not; there may be none."""
        return [*self.masks.values()] if isinstance(self.masks, dict) else [self.masks]

    @property
    def unknown(self) -> float:
        """Share of the mask pixels that are unknown."""
        shares = [float((mask == UNKNOWN).mean()) for mask in self.all_masks]
        return sum(shares) / max(len(shares), 1)


def read_item(given: Any) -> Item:
    """Return the pixels and the label numbers of what a dataset gave for a row.

    Args:
        given: A pair (image, mask) or (image, {name: mask}) of PIL images, arrays or tensors.

    Raises:
        UnreadableRowError: If it is anything else; the text says what was given.
    """
    image, mask = _pair(given)
    item = Item(image_pixels(image), _masks(mask))
    sizes = {labels.shape: None for labels in item.all_masks}
    if len(sizes) > 1:
        raise UnreadableRowError(f"its masks differ in size: {shorten(map(_size, sizes))}")
    for size in sizes:
        _check_proportions(tuple(item.image.shape[1:]), size)
    return item


def _pair(given: Any) -> tuple[Any, Any]:
    if isinstance(given, Mapping):
        raise UnreadableRowError(
            f"the item is a dict of {shorten(map(str, given))}, not {_PAIR}; wrap the dataset"
        )
    if not isinstance(given, tuple | list):
        raise UnreadableRowError(f"the item is {_kind(given)}, not {_PAIR}")
    if len(given) != 2:
        parts = ", ".join(map(_kind, given))
        raise UnreadableRowError(f"the item has {len(given)} parts ({parts}); give {_PAIR}")
    return given[0], given[1]


def _kind(given: Any) -> str:
    if isinstance(given, np.ndarray | Tensor):
        what = "tensor" if isinstance(given, Tensor) else "array"
        return f"{what} {str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    if isinstance(given, Image.Image):
        return f"PIL image of mode {given.mode}"
    return type(given).__name__


def image_pixels(given: Any) -> UInt8[Tensor, "3 H W"]:
    """Return the pixels of an image: PIL, or an array or tensor of uint8, or of 0 to 1.

    Args:
        given: The image; an array or tensor may have its channels first or last, or none.

    Raises:
        UnreadableRowError: If it is anything else; the text says what was given.
    """
    if isinstance(given, Image.Image):
        return any_image_pixels(given, "its image", upright=False)
    if not isinstance(given, np.ndarray | Tensor):
        raise UnreadableRowError(f"its image is {_kind(given)}; give a PIL image, array or tensor")
    values = _channels_first(_plain(given), given)
    if values.dtype.kind == "f":
        values = _from_unit(values)
    elif values.dtype != np.uint8:
        raise UnreadableRowError(
            f"its image is {_kind(given)}; give uint8, or floats from 0 to 1 as ToTensor does"
        )
    rgb = np.broadcast_to(values, (3, *values.shape[1:]))
    return torch.from_numpy(np.array(rgb, order="C"))


def _plain(given: np.ndarray | Tensor) -> np.ndarray:
    """Return an array; what numpy has no type for becomes 32-bit floats."""
    if isinstance(given, np.ndarray):
        return given
    values = given.detach().cpu().as_subclass(Tensor)
    return (values.float() if values.is_floating_point() else values).numpy()


def _channels_first(values: np.ndarray, given: Any) -> np.ndarray:
    if values.ndim == 2:
        values = values[None]
    if values.ndim == 3 and 0 not in values.shape:
        for channels in (3, 1):
            if values.shape[0] == channels:
                return values
            if values.shape[2] == channels:
                return values.transpose(2, 0, 1)
    raise UnreadableRowError(
        f"its image is {_kind(given)}; known shapes: (3, H, W), (H, W, 3), (1, H, W) and (H, W)"
    )


def _from_unit(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return (values.astype(np.float32) * 255).round().astype(np.uint8)
    span = f"its image holds floats from {low:.3g} to {high:.3g}; known are 0 to 1"
    if low >= 0 and high <= 255:
        raise UnreadableRowError(f"{span}, and uint8 from 0 to 255")
    raise UnreadableRowError(
        f"{span}. It looks normalised: give images as they are before Normalize, "
        "and say by scaling=... how the network wants them"
    )


def _masks(given: Any) -> Labels | dict[str, Labels]:
    if not isinstance(given, Mapping):
        return _labels(given, "its mask")
    for name in given:
        if not isinstance(name, str) or not name:
            raise UnreadableRowError(f"a key of its masks is {name!r}; keys are concepts' names")
    return {name: _labels(mask, f"its mask {name!r}") for name, mask in given.items()}


def _labels(given: Any, what: str) -> Labels:
    if isinstance(given, Image.Image):
        return labels_of(given, what, _CODING)
    if isinstance(given, np.ndarray | Tensor):
        values = _plain(given)
    elif isinstance(given, int | float | str | np.generic):
        raise UnreadableRowError(f"{what} is {given!r}, a label of the whole image; give a mask")
    else:
        raise UnreadableRowError(f"{what} is {_kind(given)}; give a mask of label numbers (H, W)")
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 0:
        raise UnreadableRowError(f"{what} is {values}, a label of the whole image; give a mask")
    if values.ndim != 2 or 0 in values.shape:
        hint = "; one mask a concept? Give {name: mask}" if values.ndim == 3 else ""
        raise UnreadableRowError(f"{what} is {_kind(given)}, not (H, W){hint}")
    return _whole_numbers(values, what)


def _whole_numbers(values: np.ndarray, what: str) -> Labels:
    if values.dtype.kind not in "biuf":
        raise UnreadableRowError(f"{what} holds {values.dtype}; give whole numbers or bool")
    with np.errstate(invalid="ignore"):
        labels: Labels = values.astype(np.int32)
    broken = values[labels != values]
    if len(broken):
        raise UnreadableRowError(
            f"{what} holds {float(broken[0]):.4g}; give whole numbers or bool. ToTensor "
            "divides masks by 255, PILToTensor leaves them; soft masks need a threshold"
        )
    if labels.min() < 0:
        raise UnreadableRowError(
            f"{what} holds {labels.min()}; labels are 0 (nothing) or more, 255 is unknown"
        )
    return np.where(labels == UNKNOWN_GIVEN, np.int32(UNKNOWN), labels)


def _check_proportions(image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    if alike(image, mask):
        return
    hint = " or turn both as EXIF says" if alike(image, mask[::-1]) else ""
    raise UnreadableRowError(
        f"its image is {_size(image)} and its mask {_size(mask)} (height x width), which differ in "
        f"proportions; crop and resize both alike{hint}"
    )


def _size(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
