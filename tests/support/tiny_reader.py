"""A dataset small enough to count by hand."""

import numpy as np
import torch

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import ConceptReader, Sample


class TinyReader(ConceptReader):
    """Two images of 4 x 4 pixels with masks of 2 x 2, numbers above 255 and two layers of parts."""

    def __init__(self) -> None:
        self.name = "tiny"
        self.categories = (
            Category("object", pixels=True),
            Category("part", pixels=True),
            Category("scene", pixels=False),
        )
        self.vocabulary = Vocabulary(
            [
                Concept(7, "door", "part", ("part", "object"), pixels=True),
                Concept(300, "house", "object", ("object",), pixels=True),
                Concept(301, "street-s", "scene", ("scene",), pixels=False),
            ]
        )
        self.image_names = ["a/one.jpg", "b/two.png"]
        self.is_train = np.array([True, False])
        self.annotated = np.array([[True, True, True], [True, True, False]])
        self.image_size, self.mask_size = (4, 4), (2, 2)
        image = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
        one = torch.tensor([[[300, 300], [300, 7]], [[7, 0], [0, 0]], [[7, 7], [0, 0]]])
        self.samples = [
            Sample(image, one.int(), ("object", "part", "part"), (("scene", 301),)),
            Sample(image + 1, torch.tensor([[[300, 0], [0, 0]]]).int(), ("object",), ()),
        ]

    def __getitem__(self, row: int) -> Sample:
        return self.samples[row]

    def fingerprint(self, row: int) -> bytes:
        return bytes([row])
