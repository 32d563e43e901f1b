"""A planted network that uses one of two concepts, which can be read from its layer alike.

The picture is a grid of tiles. Each colour channel of a tile has one of five brightnesses, or none;
a latent is a brightness of a channel. ``layer`` mixes the latents by a rotation into filters, so
that no filter is a concept. What follows takes the rotation back and reads some of the latents.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import net2vec_pl
from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample
from net2vec_pl.inference import Bank

TILE, SIDE = 2, 6
SIZE = TILE * SIDE
LATENTS = 15
USED, UNUSED = 4, 9  # latents: the brightest of the first and of the second channel
_LEVELS = (55, 105, 155, 205, 255)
CONCEPTS = {"used": USED, "unused": UNUSED}
CLASSES = (USED, 2, 3, 7, 8, 11, 12)  # the latent that each class reads


class UseReader(ConceptReader):
    """Pictures with the two concepts, each in most of them and never in the middle of some."""

    def __init__(self, num_images: int = 80) -> None:
        rng = np.random.default_rng(5)
        self.name = "use"
        self.categories = (Category("object", True), Category("part", True))
        self.vocabulary = Vocabulary(
            Concept(n + 1, name, kind.name, (kind.name,), True)
            for n, (name, kind) in enumerate(zip(CONCEPTS, self.categories, strict=True))
        )
        tiles = rng.integers(-1, 5, size=(num_images, 3, SIDE, SIDE))
        for n, concept in ((0, 0), (1, 1)):  # every other picture has its middle free of one
            middle = tiles[n::2, concept, 1:-1, 1:-1]
            middle[middle == 4] = 0
        self.tiles = tiles.repeat(TILE, 2).repeat(TILE, 3)
        self.image_names = [f"{n}.png" for n in range(num_images)]
        self.is_train = np.arange(num_images) % 4 < 2
        self.annotated = np.ones((num_images, 2), dtype=bool)
        self.image_size = self.mask_size = (SIZE, SIZE)

    def __getitem__(self, row: int) -> Sample:
        tiles = self.tiles[row]
        image = np.where(tiles >= 0, np.array([*_LEVELS, 0])[tiles], 0).astype(np.uint8)
        maps = np.stack([(tiles[c] == 4) * (c + 1) for c in range(2)]).astype(np.int32)
        return Sample(torch.from_numpy(image), torch.from_numpy(maps), ("object", "part"), ())

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])


class Rotated(nn.Module):
    """The latents of every pixel, mixed by a rotation."""

    def __init__(self, rotation: Tensor) -> None:
        super().__init__()
        self.mix = nn.Conv2d(LATENTS, LATENTS, 1, bias=False)
        self.mix.weight.data = rotation[:, :, None, None].contiguous()

    def forward(self, x: Tensor) -> Tensor:
        pixels = 255 * x
        latents = [
            (1 - (pixels[:, k // 5] - _LEVELS[k % 5]).abs() / 25).relu() for k in range(LATENTS)
        ]
        mixed: Tensor = self.mix(torch.stack(latents, 1))
        return mixed


class UseNetwork(nn.Module):
    """Class 0 is how much there is of the concept that is used; no class reads the other."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        rotation, _ = torch.linalg.qr(torch.randn(LATENTS, LATENTS, generator=generator))
        self.layer = Rotated(rotation)
        self.later = nn.Conv2d(LATENTS, len(CLASSES), 1, bias=False)
        self.later.weight.data = rotation.T[list(CLASSES)][:, :, None, None].contiguous()

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.later(self.layer(x)).mean((2, 3))
        return said


_OPTIONS = {"analysis.random_directions": 30, "analysis.images": 12}


def learned(analyses: list[str], layer: str = "layer", **options: Any) -> Bank:
    """Run on the planted network, with options of the analyses."""
    return net2vec_pl.learn(
        UseNetwork(),
        layer,
        data=UseReader(),
        scaling="unit",
        protocol="lda",
        analyses=analyses,
        beside=[],
        device="cpu",
        options={**_OPTIONS, **{f"analysis.{name}": value for name, value in options.items()}},
    )
