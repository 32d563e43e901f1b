"""Three rules bring images and masks to their sizes; each is checked against a literal oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.datasets.images.resizing import RULES, Resizing
from net2vec_pl.errors import ConfigError


def framed(labels: np.ndarray, rule: str, wanted: tuple[int, int]) -> np.ndarray:
    """Crop or pad to proportions, one row or column after the other."""
    height, width = labels.shape
    if rule == "squash" or height * wanted[1] == width * wanted[0]:
        return labels
    too_wide = width * wanted[0] > height * wanted[1]
    other_width = max(round(height * wanted[1] / wanted[0]), 1)
    other_height = max(round(width * wanted[0] / wanted[1]), 1)
    if rule == "short_side_crop":
        if too_wide:
            left = (width - other_width) // 2
            return labels[:, left : left + other_width]
        top = (height - other_height) // 2
        return labels[top : top + other_height]
    if too_wide:
        out = np.full((max(other_height, height), width), -1)
        top = (other_height - height) // 2
        out[top : top + height] = labels
    else:
        out = np.full((height, max(other_width, width)), -1)
        left = (other_width - width) // 2
        out[:, left : left + width] = labels
    return out


def nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Take the pixel that holds the centre of each new one."""
    height, width = labels.shape
    rows = [(2 * i + 1) * height // (2 * size[0]) for i in range(size[0])]
    columns = [(2 * i + 1) * width // (2 * size[1]) for i in range(size[1])]
    return labels[np.ix_(rows, columns)]


SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(SIZES, SIZES, SIZES, st.sampled_from(RULES))
def test_masks_are_those_of_the_oracle(
    own: tuple[int, int], image: tuple[int, int], mask: tuple[int, int], rule: str
) -> None:
    labels = np.arange(own[0] * own[1]).reshape(own)
    resizing = Resizing(rule, image, mask)
    given_labels = torch.from_numpy(labels).int()[None]
    want = framed(labels, rule, image)
    assert resizing.masks(given_labels)[0].tolist() == nearest(want, mask).tolist()
    assert resizing.at_mask_size(None).masks(given_labels)[0].tolist() == want.tolist()
    assert resizing.masks(given_labels[:0]).shape == (0, *mask)


@given(SIZES, SIZES, st.sampled_from(RULES))
def test_images_get_their_size_and_no_other_brightness(
    own: tuple[int, int], size: tuple[int, int], rule: str
) -> None:
    grey = torch.full((3, *own), 93, dtype=torch.uint8)
    resized = Resizing(rule, size, None).image(grey)
    assert tuple(resized.shape) == (3, *size)
    if rule != "letterbox":
        assert {*resized.flatten().tolist()} == {93}


def test_an_image_of_the_right_size_stays_and_a_letterbox_is_black() -> None:
    picture = torch.randint(0, 256, (3, 4, 8), dtype=torch.uint8)
    for rule in RULES:
        assert torch.equal(Resizing(rule, (4, 8), None).image(picture), picture)
    boxed = Resizing("letterbox", (8, 8), None).image(picture)
    assert torch.equal(boxed[:, 2:6], picture)
    assert not boxed[:, :2].any()
    assert not boxed[:, 6:].any()
    assert torch.equal(Resizing("short_side_crop", (4, 4), None).image(picture), picture[..., 2:6])


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown value of data\.resize 'crop'"):
        Resizing("crop", (4, 4), None)
