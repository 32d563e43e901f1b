"""What a probe combines: activations, or their roots with signs kept."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.functional.inputs import INPUTS, as_they_are, inverse_scale, signed_root

VALUES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30)


@given(values=VALUES)
def test_a_root_times_its_size_is_the_activation(values: list[float]) -> None:
    activation = torch.tensor(values)[None, :, None, None]
    root = signed_root(activation)
    torch.testing.assert_close(root * root.abs(), activation)
    expected = [math.copysign(math.sqrt(abs(x)), x) for x in activation.flatten().tolist()]
    assert root.flatten().tolist() == pytest.approx(expected, rel=1e-6)


@given(values=VALUES)
def test_roots_keep_the_order_of_activations(values: list[float]) -> None:
    activation = torch.tensor(sorted(values))[None, :, None, None]
    assert (signed_root(activation).flatten().diff() >= 0).all()


def test_zeros_and_no_images_have_roots() -> None:
    assert signed_root(torch.zeros(1, 2, 1, 1)).tolist() == torch.zeros(1, 2, 1, 1).tolist()
    assert signed_root(torch.zeros(0, 2, 3, 1)).shape == (0, 2, 3, 1)


def test_the_given_activations_stay_as_they_were() -> None:
    activation = torch.tensor([-4.0, 9.0])[None, :, None, None]
    for transform in INPUTS.values():
        transform(activation)
    assert activation.flatten().tolist() == [-4, 9]
    assert as_they_are(activation) is activation


def test_every_input_has_a_name() -> None:
    assert list(INPUTS.items()) == [("raw", as_they_are), ("root", signed_root)]


def test_a_filter_that_never_varies_is_multiplied_with_nothing() -> None:
    assert inverse_scale(torch.tensor([4.0, 0.0, 0.5])).tolist() == [0.25, 0, 2]
