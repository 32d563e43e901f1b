"""A reader that contradicts itself ends in a message, in whatever format it is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from net2vec_pl.concepts import Category, Concept, Vocabulary
from net2vec_pl.data.reader import UNKNOWN, ConceptReader, Sample, unknown_label
from net2vec_pl.errors import DataError
from net2vec_pl.formats import check_reader, checked_sample, write_coco
from net2vec_pl.formats.broden_writer import write_broden


class OneImage(ConceptReader):
    """One image of 4 x 4 pixels with one map of 2 x 2."""

    def __init__(self) -> None:
        self.name = "one"
        self.categories = (
            Category("object", True),
            Category("part", True),
            Category("scene", False),
        )
        self.vocabulary = Vocabulary(
            [
                Concept(7, "door", "part", ("part",), True),
                Concept(9, "house", "object", ("object",), True),
                Concept(11, "street-s", "scene", ("scene",), False),
            ]
        )
        self.image_names = ["one.png"]
        self.is_train = np.array([True])
        self.annotated = np.array([[True, False, True]])
        self.image_size, self.mask_size = (4, 4), (2, 2)
        self.sample = Sample(
            torch.zeros(3, 4, 4, dtype=torch.uint8),
            torch.tensor([[[9, 0], [UNKNOWN, unknown_label(9)]]]).int(),
            ("object",),
            (("scene", 11),),
        )

    def __getitem__(self, row: int) -> Sample:
        return self.sample

    def fingerprint(self, row: int) -> bytes:
        return b""


def with_sample(**change: Any) -> OneImage:
    reader = OneImage()
    for name, value in change.items():  # past the types that tests check
        object.__setattr__(reader.sample, name, value)
    return reader


def with_number(number: int, category: str = "object") -> OneImage:
    return with_sample(
        label_maps=torch.full((1, 2, 2), number, dtype=torch.int32), map_categories=(category,)
    )


WRONG: dict[str, tuple[Callable[[], OneImage], str]] = {
    "misspelt category": (
        lambda: with_sample(map_categories=("objects",)),
        "unknown category in map_categories 'objects'. Did you mean 'object'?",
    ),
    "unknown number": (
        lambda: with_number(8),
        "map of object holds the label number 8, which the vocabulary does not know. Known: 7, 9",
    ),
    "unknown number in doubt": (lambda: with_number(unknown_label(8)), "the label number 8"),
    "number of another category": (
        lambda: with_number(7),
        "map of object holds 7 (door), a concept of part",
    ),
    "category without maps": (lambda: with_number(11, "scene"), "pixels=False"),
    "not annotated": (
        lambda: with_number(7, "part"),
        "labels of part, for which annotated says it was not annotated",
    ),
    "image of floats": (
        lambda: with_sample(image=torch.zeros(3, 4, 4)),
        "its image is torch.float32 of shape (3, 4, 4); it must be torch.uint8",
    ),
    "image of another size": (
        lambda: with_sample(image=torch.zeros(3, 4, 5, dtype=torch.uint8)),
        "shape (3, 4, 5); it must be torch.uint8 of shape (3, 4, 4)",
    ),
    "an array": (lambda: with_sample(image=np.zeros(3)), "is a ndarray, not a torch tensor"),
    "maps of long numbers": (
        lambda: with_sample(label_maps=torch.zeros(1, 2, 2, dtype=torch.int64)),
        "its label_maps is torch.int64",
    ),
    "maps of another size": (
        lambda: with_sample(label_maps=torch.zeros(1, 4, 4, dtype=torch.int32)),
        "must be torch.int32 of shape (1, 2, 2)",
    ),
    "a map without a category": (
        lambda: with_sample(map_categories=()),
        "label_maps is torch.int32 of shape (1, 2, 2); it must be torch.int32 of shape (0,",
    ),
    "unknown label of the image": (
        lambda: with_sample(image_labels=(("scene", 12),)),
        "image_labels of scene holds the label number 12",
    ),
    "label of the image is 0": (
        lambda: with_sample(image_labels=(("scene", 0),)),
        "image_labels of scene holds the label number 0",
    ),
    "misspelt label category": (
        lambda: with_sample(image_labels=(("scenes", 11),)),
        "unknown category in image_labels 'scenes'",
    ),
}


@pytest.mark.parametrize("write", [write_broden, write_coco])
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_sample_is_refused_and_leaves_nothing(
    fault: str, write: Callable[[ConceptReader, Path], None], tmp_path: Path
) -> None:
    make, message = WRONG[fault]
    with pytest.raises(DataError) as caught:
        write(make(), tmp_path / "out")
    assert message in str(caught.value)
    assert "row 0 (one.png) of one: " in str(caught.value)
    assert "docs/datasets.md#a-reader-of-your-own" in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_a_right_sample_comes_back() -> None:
    reader = OneImage()
    assert checked_sample(reader, 0) is reader.sample
    check_reader(reader)


ATTRIBUTES: dict[str, tuple[str, Any, str]] = {
    "is_train": ("is_train", np.array([1]), "is_train of one is int64 of shape (1,)"),
    "annotated": ("annotated", np.array([[True]]), "must be bool of shape (1, 3)"),
    "names": ("image_names", ["a", "a"], "is_train of one is bool of shape (1,)"),
    "categories": ("categories", (Category("object", True),) * 3, "lists object twice"),
    "vocabulary": (
        "vocabulary",
        Vocabulary([Concept(1, "a", "objekt", ("objekt",), True)]),
        "unknown category of concept a 'objekt'. Did you mean 'object'?",
    ),
}


@pytest.mark.parametrize("fault", ATTRIBUTES)
def test_attributes_that_contradict_each_other(fault: str) -> None:
    name, value, message = ATTRIBUTES[fault]
    reader = OneImage()
    setattr(reader, name, value)
    with pytest.raises(DataError) as caught:
        check_reader(reader)
    assert message in str(caught.value)


def test_two_images_of_one_name() -> None:
    reader = OneImage()
    reader.image_names = ["a", "a"]
    reader.is_train, reader.annotated = reader.is_train.repeat(2), reader.annotated.repeat(2, 0)
    with pytest.raises(DataError, match="image_names of one lists a twice"):
        check_reader(reader)


def test_samples_are_not_changed_by_the_check() -> None:
    reader = OneImage()
    before = replace(reader.sample, label_maps=reader.sample.label_maps.clone())
    checked_sample(reader, 0)
    assert torch.equal(before.label_maps, reader.sample.label_maps)
