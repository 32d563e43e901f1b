"""Small random datasets with unknown pixels of every kind."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data import ConceptReader, Sample
from net2vec_pl.data.reader import UNKNOWN, unknown_label
from support import unknown_oracles

SIZE = 16
CONCEPTS = (
    Concept(4, "cup", "object", ("object",), True),
    Concept(2, "cat", "object", ("object", "part"), True),
    Concept(7, "dog", "object", ("object",), True),
    Concept(9, "ear", "part", ("part",), True),
    Concept(5, "fin", "part", ("part",), True),
)
LAYERS = ("object", "object", "part")


class UnknownReader(ConceptReader):
    """Blocks of labels with blocks of unknown pixels over them; labels may lie over those again.

    Row 0 is unknown for objects from edge to edge, rows 1 and 2 know everything.

    Args:
        num_images: Images.
        garbage: Seed of labels that lie where all is unknown: no two seeds may differ in anything.
        unknown: Whether pixels are unknown at all.
        several: Whether what is unknown of a category is said of each of its concepts instead.
    """

    def __init__(
        self, num_images: int = 16, *, garbage: int = 0, unknown: bool = True, several: bool = False
    ) -> None:
        self.name = "unknown"
        self.categories = (Category("object", True), Category("part", True))
        self.vocabulary = Vocabulary(CONCEPTS)
        self.image_names = [f"{i}.png" for i in range(num_images)]
        self.is_train = np.arange(num_images) % 3 != 2
        self.annotated = np.ones((num_images, 2), dtype=bool)
        self.image_size = self.mask_size = (SIZE, SIZE)
        self.samples = [self._draw(row, garbage, unknown) for row in range(num_images)]
        if several:
            self.samples = [_one_by_one(sample) for sample in self.samples]

    def _draw(self, row: int, garbage: int, unknown: bool) -> Sample:
        rng = np.random.default_rng([row, 5])
        image = torch.from_numpy(rng.integers(0, 256, (3, 8, 8))).repeat_interleave(2, 1)
        image = image.repeat_interleave(2, 2).byte()
        maps = np.stack(
            [
                np.kron(rng.choice(values, (8, 8)), np.ones((2, 2), dtype=int))
                for values in ([0, 4, 2, 7], [0, 0, 0, 4, 7], [0, 9, 5, 2])
            ]
        )
        # What carries a signal: the first concept lies where the image is red.
        maps[0][image[0].numpy() > 200] = 4
        hidden = rng.random((3, SIZE, SIZE)) < 0.25
        hidden[:, : SIZE // 4] = True
        alone = rng.random((3, SIZE, SIZE)) < 0.1
        whose = rng.choice([4, 2, 7, 9, 5], (3, SIZE, SIZE))
        if unknown and row not in (1, 2):
            # Garbage is drawn first and covered by what says that it is none.
            junk = np.random.default_rng([row, garbage]).choice([0, 4, 2, 7, 9, 5], maps.shape)
            maps = np.where(hidden, junk, maps)
            maps[hidden] = UNKNOWN
            maps[alone] = [unknown_label(int(n)) for n in whose[alone]]
            if row == 0:
                maps[:2] = UNKNOWN
                maps[2][maps[2] == 2] = 0
        return Sample(image, torch.from_numpy(maps).int(), LAYERS, ())

    def __getitem__(self, row: int) -> Sample:
        return self.samples[row]

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])

    def truth(self, row: int, concept: int) -> unknown_oracles.Truth:
        """Return what is known of every pixel, by the oracle."""
        sample, of = self.samples[row], self.vocabulary[concept]
        return unknown_oracles.truth_of(
            sample.label_maps.numpy(),
            sample.map_categories,
            sample.image_labels,
            of.number,
            of.categories,
        )


def _one_by_one(sample: Sample) -> Sample:
    """Say of every concept of a category by itself what is unknown of all of them."""
    layers, categories = [sample.label_maps.clamp(min=0)], list(sample.map_categories)
    for concept in CONCEPTS:
        label = unknown_label(concept.number)
        mine = torch.tensor([c in concept.categories for c in sample.map_categories])
        blank = (sample.label_maps == UNKNOWN) & mine[:, None, None]
        where = (blank | (sample.label_maps == label)).any(0)
        layers.append((where * label).int()[None])
        categories.append("part")
    return replace(sample, label_maps=torch.cat(layers), map_categories=tuple(categories))


class Colours(nn.Module):
    """Six filters on a grid of half the image's size: three colours and their opposites."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Conv2d(3, 6, 2, stride=2)
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.bias.zero_()  # type: ignore[union-attr]
            for k in range(6):
                self.out.weight[k, k % 3] = (1 if k < 3 else -1) / 4

    def forward(self, x: Tensor) -> Tensor:
        answered: Tensor = self.out(x)
        return answered
