"""Input scaling: the constants of each name, and scalings of one's own."""

import pytest
from omegaconf import OmegaConf

from net2vec_pl.backbones import InputScaling
from net2vec_pl.errors import ConfigError

# As torchvision's documentation and Net2Vec's code have them, red first.
CONSTANTS = {
    "torchvision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "paper": ((124.6901 / 255, 118.6897 / 255, 109.5388 / 255), (0.224, 0.224, 0.224)),
    "half": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("name", list(CONSTANTS))
def test_a_name_stands_for_its_constants(name: str) -> None:
    scaling = InputScaling.parse(name)
    assert scaling == InputScaling.named(name) == InputScaling(name, *CONSTANTS[name])


def test_a_scaling_of_ones_own_keeps_mean_and_divisor_apart() -> None:
    given = {"mean": [0, 0.1, 0.2], "std": [1, 0.5, 0.25]}
    expected = InputScaling("custom", (0.0, 0.1, 0.2), (1.0, 0.5, 0.25))
    assert InputScaling.parse(given) == expected
    assert InputScaling.parse(OmegaConf.to_container(OmegaConf.create(given))) == expected


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"mean": [0, 0, 0]},
        {"mean": [0, 0, 0], "std": [1, 1, 0]},
        {"mean": [0, 0, 0], "std": [1, 1, -1]},
        {"mean": [0, 0], "std": [1, 1]},
        {"mean": [0, 0, 0], "std": ["a", 1, 1]},
        {"mean": [0, 0, 0], "std": [1, 1, 1], "name": "x"},
    ],
)
def test_anything_else_is_refused(given: object) -> None:
    with pytest.raises(ConfigError) as caught:
        InputScaling.parse(given)
    assert str(caught.value) == (
        f"model.scaling={given} must be one of own, torchvision, paper, half, unit or "
        "{mean: [r, g, b], std: [r, g, b]} with std above 0."
    )


def test_the_plain_form_is_the_name_of_a_known_scaling_and_numbers_otherwise() -> None:
    assert InputScaling.named("half").plain() == "half"
    for name in ("custom", "half"):
        own = InputScaling(name, (0.0, 0.1, 0.2), (1.0, 0.5, 0.25))
        assert own.plain() == {"mean": [0.0, 0.1, 0.2], "std": [1.0, 0.5, 0.25]}
        assert InputScaling.parse(own.plain()) == InputScaling.of("custom", own.mean, own.std)
