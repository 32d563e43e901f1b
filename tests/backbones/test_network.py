"""A network is frozen at the layers asked for, in their order."""

import logging

import pytest

from net2vec_pl.backbones import NetworkSpec, network
from net2vec_pl.backbones.registry import Architecture
from net2vec_pl.errors import ConfigError

SIZE = (32, 32)
SHAPESNET = NetworkSpec({"name": "shapesnet", "weights": None, "seed": 0, "scaling": "half"})


def test_layers_come_in_the_order_given() -> None:
    backbones = SHAPESNET.freeze(["conv3", "conv1", "conv5"], SIZE)
    assert [b.layer for b in backbones] == ["conv3", "conv1", "conv5"]
    assert [b.shape[0] for b in backbones] == [64, 32, 128]
    assert [b.layer for b in SHAPESNET.freeze(["conv2"], SIZE)] == ["conv2"]
    (last,) = SHAPESNET.freeze([None], SIZE)
    assert last.module_path.startswith("conv5")
    with pytest.raises(ConfigError, match="conv1 is named more than once"):
        SHAPESNET.freeze(["conv1", "conv2", "conv1"], SIZE)


def test_all_layers_say_what_they_leave_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = Architecture(layers={"conv1": "conv1", "pool": "pool1", "head": "head"})
    monkeypatch.setattr(network, "architecture", lambda _name: names)
    with caplog.at_level(logging.INFO):
        backbones = SHAPESNET.freeze(["all"], SIZE)
    assert [b.layer for b in backbones] == [f"conv{n}" for n in range(1, 6)]
    assert caplog.messages == ["layer=all skips layers without an activation map: pool, head"]


def test_random_weights_take_the_place_of_others_and_keep_their_seed() -> None:
    trained = NetworkSpec({**SHAPESNET.plain, "weights": "shipped", "seed": 7})
    blank = trained.with_random_weights()
    assert (blank.weights, blank.seed, blank.name) == (None, 7, "shapesnet")
    assert trained.with_random_weights(3).seed == 3
    assert trained.weights == "shipped"


@pytest.mark.parametrize(
    ("name", "weights", "size"),
    [
        ("shapesnet", "shipped", (96, 96)),
        ("resnet18", "DEFAULT", (224, 224)),
        ("resnet18", None, (224, 224)),
        ("efficientnet_b3", "DEFAULT", (300, 300)),
        ("inception_v3", "IMAGENET1K_V1", (299, 299)),
        ("fcn_resnet50", "DEFAULT", (224, 224)),
        ("timm/vit_small_patch14_dinov2.lvd142m", None, (518, 518)),
    ],
)
def test_a_network_knows_the_size_it_is_made_for(
    name: str, weights: str | None, size: tuple[int, int]
) -> None:
    spec = NetworkSpec({"name": name, "weights": weights, "seed": 0, "scaling": "own"})
    assert spec.own_size == size
