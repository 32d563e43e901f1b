"""Sizes of images and masks are read from options, and a wrong one is told."""

from typing import Any

import pytest

from net2vec_pl.config.sizes import sizes_from
from net2vec_pl.errors import ConfigError


def read(**given: Any) -> dict[str, Any]:
    """Read options that are the defaults but for those given."""
    options = {"resize": "squash", "image_size": None, "mask_size": None}
    return sizes_from(options | given, lambda: (518, 518))


def test_the_size_of_images_is_the_networks_own_unless_it_is_given() -> None:
    assert read() == {"resize": "squash", "image_size": (518, 518), "mask_size": None}
    assert read(image_size=96, mask_size=[40, 60], resize="letterbox") == {
        "resize": "letterbox",
        "image_size": (96, 96),
        "mask_size": (40, 60),
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resize": "crop"}, r"unknown value of data\.resize 'crop'.*letterbox"),
        ({"image_size": 0}, r"data\.image_size=0 must be a whole number from 1"),
        ({"image_size": "big"}, r"data\.image_size=big must be a whole number from 1"),
        ({"mask_size": [1, 2, 3]}, r"data\.mask_size=\[1, 2, 3\] must be a side or \[height"),
        ({"mask_size": [8, 0.5]}, r"data\.mask_size=0\.5 must be a whole number"),
    ],
)
def test_a_wrong_size_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(**given)
