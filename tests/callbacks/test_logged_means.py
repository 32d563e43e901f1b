"""What is logged of every epoch: means over seeds, then over concepts, by category."""

import math

import pytest
import torch

from net2vec_pl.callbacks import means_by_category
from net2vec_pl.concepts import Concept, Vocabulary

# "red" is a part too, but a color first.
CONCEPTS = [
    ("sky", ("object",)), ("red", ("color", "part")), ("sea", ("object",)), ("blue", ("color",)),
    ("dog", ("object",)),
]  # fmt: skip
VOCABULARY = Vocabulary(
    Concept(number, name, categories[0], categories, True)
    for number, (name, categories) in enumerate(CONCEPTS, 1)
)


def test_means_are_over_the_concepts_of_each_primary_category() -> None:
    means = means_by_category(torch.tensor([0.5, 0.25, 0.75, 0.0, 0.25]), VOCABULARY, "val/ap")
    assert means == {
        "val/ap": pytest.approx(1.75 / 5),
        "val/ap/object": pytest.approx(1.5 / 3),
        "val/ap/color": pytest.approx(0.125),
    }


def test_seeds_are_averaged_first_whatever_their_number() -> None:
    first, second = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.5, 0.5]])
    together = means_by_category(torch.cat([first, second]), VOCABULARY, "x")
    assert together == means_by_category((first + second) / 2, VOCABULARY, "x")
    assert together["x/object"] == pytest.approx(0.5)


def test_a_concept_without_a_value_is_left_out_of_the_means() -> None:
    nan = math.nan
    means = means_by_category(torch.tensor([1.0, nan, nan, nan, 0.5]), VOCABULARY, "x")
    assert means["x"] == means["x/object"] == 0.75
    assert math.isnan(means["x/color"])
