"""A dataset that draws itself: pictures with every kind of BRODEN's annotations, made from a seed.

Like BRODEN it is a union of sources that annotate different things. What a source does not annotate
is unknown there, not absent:

======= ===== ====== ==== ======== ===== =======
source  color object part material scene texture
======= ===== ====== ==== ======== ===== =======
scene   map   map    0..2          label
surface map               map
texture map                              labels
======= ===== ====== ==== ======== ===== =======
"""

import copy
from dataclasses import replace

import numpy as np
import torch

from net2vec_pl.data.reader import ConceptReader, Sample
from net2vec_pl.datasets.shapes.patterns import compose_surfaces, compose_texture
from net2vec_pl.datasets.shapes.picture import Picture, most_dots
from net2vec_pl.datasets.shapes.scenes import compose_scene
from net2vec_pl.datasets.shapes.vocabulary import CATEGORIES, NUMBERS, VOCABULARY
from net2vec_pl.errors import ConfigError

# Raised with every change that moves a pixel: it is part of the data's digest.
FORMAT_VERSION = 1

_SCENE, _LANDSCAPE, _SURFACE, _TEXTURE = range(4)
_SOURCES = ("scene", "scene", "surface", "texture")
_CUMULATIVE_SHARES = (0.54, 0.60, 0.84)  # the rest are textures
_ANNOTATED = np.array(
    [
        [category.name in kinds.split() for category in CATEGORIES]
        for kinds in (
            "color object part scene",
            "color object scene",
            "color material",
            "color texture",
        )
    ]
)

# Category of each layer of a picture; parts of parts are a second map of the parts.
_LAYERS = {
    "color": "color",
    "object": "object",
    "part": "part",
    "nested": "part",
    "material": "material",
}

# Steps of this share of a circle fall evenly: any run of rows holds the two splits in proportion.
_GOLDEN = 0.6180339887498949

_SMALLEST, _LARGEST = 32, 1024
_CACHE_BYTES = 64 * 2**20


class ShapesReader(ConceptReader):
    """Procedural pictures with masks; image i depends on the seed and on i alone.

    Drawn samples are kept, up to 64 MiB of them per process, because training reads every image
    once an epoch.

    Args:
        num_images: How many pictures, 1 or more.
        image_size: Side of the square pictures in pixels, 32 to 1024; masks have half of it, and
            :meth:`at_mask_size` has them at up to twice that side.
        seed: 0 or more.
        train_fraction: Share of the pictures in the train split, 0 to 1.

    Raises:
        ConfigError: If an argument is out of its range.

    Example:
        >>> reader = ShapesReader(num_images=3)
        >>> reader[0].image.shape
        torch.Size([3, 96, 96])
    """

    def __init__(
        self,
        num_images: int = 600,
        image_size: int = 96,
        seed: int = 0,
        train_fraction: float = 0.7,
    ) -> None:
        _check_range("num_images", num_images, 1, None)
        _check_range("image_size", image_size, _SMALLEST, _LARGEST)
        _check_range("seed", seed, 0, None)
        _check_range("train_fraction", train_fraction, 0.0, 1.0)
        self.name = "shapes"
        self.vocabulary = VOCABULARY
        self.categories = CATEGORIES
        self.seed = seed
        self.image_size = (image_size, image_size)
        self.mask_size = (image_size // 2, image_size // 2)
        rng = np.random.default_rng(seed)
        turns = rng.random() + _GOLDEN * np.arange(num_images)
        self.is_train = turns % 1.0 < train_fraction
        self._kinds = np.searchsorted(_CUMULATIVE_SHARES, rng.random(num_images), side="right")
        self.annotated = _ANNOTATED[self._kinds]
        self.image_names = [
            f"{_SOURCES[kind]}/{row:06d}.png" for row, kind in enumerate(self._kinds.tolist())
        ]
        self._cache: dict[int, Sample] = {}
        self._cache_rows = _CACHE_BYTES // _bytes(self.image_size, self.mask_size)

    def __getitem__(self, row: int) -> Sample:
        """Draw one picture, or return it as it was drawn before."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} rows")
        row %= len(self)
        sample = self._cache.get(row)
        if sample is None:
            sample = self._draw(row)
            if len(self._cache) < self._cache_rows:
                self._cache[row] = sample
        return replace(sample, image=sample.image.clone(), label_maps=sample.label_maps.clone())

    def at_mask_size(self, size: tuple[int, int] | None) -> "ShapesReader":
        """Return the same pictures with other masks of the same scenes.

        Args:
            size: (sh, sw), up to twice the picture's side; None for that, the finest there is.

        Raises:
            ConfigError: If masks cannot be had in that size.
        """
        finest = most_dots(self.image_size[0])
        size = size or (finest, finest)
        if size == self.mask_size:
            return self
        if not 1 <= min(size) <= max(size) <= finest:
            raise ConfigError(
                f"shapes of {self.image_size[0]} pixels are drawn in {finest}x{finest} dots, so "
                f"masks of {size[0]}x{size[1]} cannot be had; a larger data.image_size has more."
            )
        other = copy.copy(self)
        other.mask_size, other._cache = size, {}
        other._cache_rows = _CACHE_BYTES // _bytes(other.image_size, size)
        return other

    def fingerprint(self, row: int) -> bytes:
        """Name all that the row's content follows from."""
        split = "train" if self.is_train[row] else "val"
        size = self.image_size[0]
        return f"shapes {FORMAT_VERSION} {self.seed} {row} {size} {split}".encode()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_cache": {}}

    def _draw(self, row: int) -> Sample:
        rng = np.random.default_rng([self.seed, row])
        picture = _compose(int(self._kinds[row]), self.image_size[0], rng)
        annotated = {
            c.name for c, known in zip(CATEGORIES, self.annotated[row], strict=True) if known
        }
        layers = [layer for layer, category in _LAYERS.items() if category in annotated]
        maps = {layer: picture.label_map(layer, self.mask_size) for layer in layers}
        if "nested" in maps and not maps["nested"].any():
            del maps["nested"]
        return Sample(
            image=torch.from_numpy(picture.render(rng)),
            label_maps=torch.from_numpy(np.stack(list(maps.values()))),
            map_categories=tuple(_LAYERS[layer] for layer in maps),
            image_labels=tuple((kind, NUMBERS[name]) for kind, name in picture.image_labels),
        )


def _bytes(image: tuple[int, int], mask: tuple[int, int]) -> int:
    """Return what a sample takes at most: three bytes of colour a pixel, and four maps."""
    return 3 * image[0] * image[1] + 16 * mask[0] * mask[1]


def _compose(kind: int, size: int, rng: np.random.Generator) -> Picture:
    if kind == _SURFACE:
        return compose_surfaces(size, rng)
    if kind == _TEXTURE:
        return compose_texture(size, rng)
    return compose_scene(size, with_things=kind == _SCENE, rng=rng)


def _check_range(name: str, given: int | float, low: int | float, high: int | float | None) -> None:
    if given < low or (high is not None and given > high):
        allowed = f"{low} or more" if high is None else f"{low} to {high}"
        raise ConfigError(f"{name} of the shapes dataset is {given}; it must be {allowed}.")
