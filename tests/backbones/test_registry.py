"""Every registered network: its paper names lead to real layers, read after their ReLU."""

from functools import cache

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from net2vec_pl.backbones import ARCHITECTURES, known_models, trace_layers
from net2vec_pl.backbones.layers import LayerInfo, Trace, all_layers
from net2vec_pl.backbones.registry import architecture, build_custom, build_network
from net2vec_pl.config.command_line import config_dir
from net2vec_pl.errors import BackboneError

# Published shapes at 224 (alexnet: 227), K x h x w.
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "alexnet": {"conv1": (64, 56, 56), "conv2": (192, 27, 27), "conv3": (384, 13, 13),
                "conv4": (256, 13, 13), "conv5": (256, 13, 13), "fc6": (4096,), "fc8": (1000,)},
    "vgg16": {"conv1_1": (64, 224, 224), "conv3_3": (256, 56, 56), "conv4_3": (512, 28, 28),
              "conv5_1": (512, 14, 14), "conv5_3": (512, 14, 14), "fc7": (4096,)},
    "googlenet": {"inception_4c": (512, 14, 14), "inception_4e": (832, 14, 14),
                  "inception_5b": (1024, 7, 7)},
    "resnet18": {"conv1": (64, 112, 112), "layer1": (64, 56, 56), "layer4": (512, 7, 7)},
    "resnet50": {"layer3": (1024, 14, 14), "layer4": (2048, 7, 7)},
    "resnet152": {"layer3": (1024, 14, 14), "layer4": (2048, 7, 7)},
    "mobilenet_v2": {"features.1": (16, 112, 112), "features.10": (64, 14, 14),
                     "features.14.conv.0": (576, 14, 14), "features.18": (1280, 7, 7)},
    "densenet161": {"conv1": (96, 112, 112), "denseblock3": (2112, 14, 14), "norm5": (2208, 7, 7)},
    "shapesnet": {"conv1": (32, 112, 112), "conv5": (128, 28, 28)},
    # Tokens: the class token and 28 x 28 patches.
    "shapesvit": {"block.0": (785, 96), "block.3": (785, 96), "norm": (785, 96)},
}  # fmt: skip
# Layers that are read without a ReLU of their own: logits, concatenations and a norm.
SIGNED = {"fc8", "norm5"}


@cache
def traced(name: str) -> Trace:
    size = 227 if name == "alexnet" else 224
    return trace_layers(build_network(name), (size, size))


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_paper_names_lead_to_layers_of_the_published_shape(name: str) -> None:
    layers = ARCHITECTURES[name].layers
    for layer, shape in SHAPES[name].items():
        assert traced(name)[layers.get(layer, layer)].shape == shape, layer
    assert set(layers.values()) <= set(traced(name))


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_all_layers_are_the_registrys_in_order_of_depth(name: str) -> None:
    layers = ARCHITECTURES[name].layers
    maps = [layer for layer in layers if not layer.startswith("fc")]
    assert all_layers(layers, traced(name)) == maps
    assert all_layers(layers, traced(name), vectors=True) == list(layers)
    sizes = [shape[1] for layer in maps if (shape := traced(name)[layers[layer]].shape)]
    assert len(maps) >= 5
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("mobilenet_v2", ["features.1", "features.3", "features.6", "features.13", "features"]),
        ("googlenet", ["conv1", "conv3", "inception3b", "inception4e", "inception5b"]),
    ],
)
def test_without_names_all_layers_are_the_last_ones_of_every_size(
    name: str, expected: list[str]
) -> None:
    assert all_layers({}, traced(name)) == expected


def test_without_names_the_inside_of_blocks_is_read_only_for_sizes_seen_nowhere_else() -> None:
    shapes = {"a.b.c": (8, 32, 32), "a.b": (8, 16, 16), "a": (8, 16, 16), "head": (5,)}
    found = Trace({path: LayerInfo(path, shape, 1) for path, shape in shapes.items()})
    assert all_layers({}, found) == ["a.b.c", "a"]
    assert all_layers({}, found, vectors=True) == ["a.b.c", "a", "head"]


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet18", "shapesnet"])
def test_paper_names_mean_activations_after_the_relu(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name).eval()
    seen: dict[str, torch.Tensor] = {}
    for layer, path in ARCHITECTURES[name].layers.items():
        network.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, layer=layer: seen.update({layer: out.detach().clone()})
        )
    network(torch.randn(1, 3, 96, 96))
    for layer, out in seen.items():
        assert layer in SIGNED or (out >= 0).all(), layer


def test_every_model_file_has_a_default_layer_that_exists() -> None:
    for path in sorted((config_dir() / "model").glob("*.yaml")):
        config = OmegaConf.load(path)
        if OmegaConf.is_missing(config, "name") or config.name == "custom":
            continue
        layer = architecture(config.name).layers.get(config.default_layer, config.default_layer)
        assert traced(config.name)[layer].is_map, path


def test_any_other_torchvision_model_is_built_by_its_name() -> None:
    assert "regnet_y_400mf" in known_models()
    assert traced("squeezenet1_1")["features.12"].is_map


def test_an_unknown_model_names_the_near_ones() -> None:
    with pytest.raises(BackboneError, match=r"unknown model 'vgg61'. Did you mean .*'vgg16'"):
        build_network("vgg61")


def relus(name: str) -> list[str]:
    features = build_network(name).get_submodule("features")
    return [f"features.{n}" for n, m in features.named_children() if isinstance(m, nn.ReLU)]


def test_convolutions_of_the_oldest_networks_are_read_at_their_own_relu() -> None:
    counts = (2, 2, 3, 3, 3)  # of each block of VGG-16
    blocks = [f"conv{b}_{n}" for b, count in enumerate(counts, 1) for n in range(1, count + 1)]
    expected = {
        "alexnet": dict(zip([f"conv{n}" for n in range(1, 6)], relus("alexnet"), strict=True))
        | {"fc6": "classifier.2", "fc7": "classifier.5", "fc8": "classifier.6"},
        "vgg16": dict(zip(blocks, relus("vgg16"), strict=True))
        | {"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6"},
    }
    for name, layers in expected.items():
        assert dict(ARCHITECTURES[name].layers) == layers


def test_layers_of_later_networks_are_the_ends_of_their_stages() -> None:
    repeats = [1, 1, 2, 3, 4, 3, 3, 1, 1]  # table 2 of MobileNetV2, the first convolution in front
    ends = [sum(repeats[: n + 1]) - 1 for n in range(1, len(repeats))]
    expected = {
        "mobilenet_v2": {f"features.{n}": f"features.{n}" for n in ends},
        "googlenet": {name: name for name in ("conv1", "conv2", "conv3")}
        | {
            f"inception_{n}": f"inception{n}"
            for n in ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
        },
        "densenet161": {"conv1": "features.relu0"}
        | {f"denseblock{n}": f"features.denseblock{n}" for n in (1, 2, 3, 4)}
        | {"norm5": "features.norm5"},
        "shapesnet": {f"conv{n}": f"conv{n}" for n in (1, 2, 3, 4, 5)},
        "shapesvit": {f"block.{n}": f"blocks.{n}" for n in range(4)} | {"norm": "norm"},
    }
    for name in ("resnet18", "resnet50", "resnet152"):
        expected[name] = {"conv1": "relu"} | {f"layer{n}": f"layer{n}" for n in (1, 2, 3, 4)}
    for name, layers in expected.items():
        assert dict(ARCHITECTURES[name].layers) == layers, name


class Built(nn.Module):
    """A network that is made by a method of its class."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.width = width

    @classmethod
    def from_pretrained(cls, width: int) -> "Built":
        return cls(10 * width)


def test_a_method_of_a_class_is_a_target() -> None:
    for target, width in ((f"{__name__}.Built", 3), (f"{__name__}.Built.from_pretrained", 30)):
        network = build_custom(target, {"width": 3})
        assert isinstance(network, Built)
        assert network.width == width
    with pytest.raises(BackboneError, match=r"_target_=torch.nn.Linear.forward, .*missing"):
        build_custom("torch.nn.Linear.forward", {})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.nn.Linaer.make", r"unknown name in torch.nn 'Linaer'|cannot import 'torch.nn.Lin"),
        ("torch.nn.Linear.make", r"unknown name in torch.nn.Linear 'make'"),
        (f"{__name__}.Bilt.from_pretrained", r"'Bilt'. Did you mean 'Built'"),
        (f"{__name__}.Built.from_pretraned", r"Did you mean 'from_pretrained'"),
        ("no_such_package.Net.make", r"cannot import 'no_such_package.Net'"),
        ("torch.no_such_module.Net", r"cannot import 'torch.no_such_module'"),
    ],
)
def test_a_wrong_method_says_what_is_wrong(target: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        build_custom(target, {})
