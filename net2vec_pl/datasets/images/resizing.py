"""Bring an image and its masks to the sizes of a run, by one of three rules."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int32, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from net2vec_pl.data.reader import UNKNOWN
from net2vec_pl.datasets.images.any_image import fit
from net2vec_pl.errors import ConfigError, unknown

RULES = ("squash", "short_side_crop", "letterbox")


@dataclass(frozen=True)
class Resizing:
    """How images and masks of any size become those of a run.

    ``squash`` changes both sides independently. ``short_side_crop`` keeps proportions and cuts off
    what is too long, equally on both sides. ``letterbox`` keeps proportions and fills what is too
    short, equally on both sides: images with black, masks with :data:`UNKNOWN`.

    Args:
        rule: One of :data:`RULES`.
        image_size: (H, W) of images, in pixels.
        mask_size: (sh, sw) of masks; None keeps the scale of each mask and only crops or pads it.

    Raises:
        ConfigError: If there is no such rule.
    """

    rule: str
    image_size: tuple[int, int]
    mask_size: tuple[int, int] | None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ConfigError(unknown("value of data.resize", self.rule, RULES))

    def at_mask_size(self, size: tuple[int, int] | None) -> "Resizing":
        """Return the same rule for masks of another size."""
        return replace(self, mask_size=size)

    def image(self, image: UInt8[Tensor, "3 H W"]) -> UInt8[Tensor, "3 h w"]:
        """Resize an image, bilinear with antialiasing; one of the right size stays as it is."""
        return fit(self._framed(image, 0), self.image_size)

    def masks(self, labels: Int32[Tensor, "M H W"]) -> Int32[Tensor, "M sh sw"]:
        """Resize label maps by nearest neighbour (pixel centres), so no label is made up."""
        framed = self._framed(labels, UNKNOWN)
        if self.mask_size is None or tuple(framed.shape[1:]) == self.mask_size:
            return framed
        if not len(framed):  # torch resizes no empty stack
            return framed.new_zeros((0, *self.mask_size))
        nearest = interpolate(framed[None].double(), self.mask_size, mode="nearest-exact")
        return nearest[0].int()

    def _framed(self, pixels: Tensor, fill: int) -> Tensor:
        """Crop or pad to the proportions of the network's input, at the pixels' own scale."""
        height, width = pixels.shape[1:]
        wanted_height, wanted_width = self.image_size
        if self.rule == "squash" or height * wanted_width == width * wanted_height:
            return pixels
        wide = width * wanted_height > height * wanted_width
        if (self.rule == "short_side_crop") == wide:  # the width changes
            size = (height, max(round(height * wanted_width / wanted_height), 1))
        else:
            size = (max(round(width * wanted_height / wanted_width), 1), width)
        framed = torch.full((pixels.shape[0], *size), fill, dtype=pixels.dtype)
        cut_top, cut_left = max(height - size[0], 0) // 2, max(width - size[1], 0) // 2
        top, left = max(size[0] - height, 0) // 2, max(size[1] - width, 0) // 2
        source = pixels[:, cut_top : cut_top + size[0], cut_left : cut_left + size[1]]
        framed[:, top : top + source.shape[1], left : left + source.shape[2]] = source
        return framed
