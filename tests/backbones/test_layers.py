"""What a trace says of a layer beside its shape: its class, its stride, its sign."""

import pytest
import torch
from torch import Tensor, nn

from net2vec_pl.backbones import trace_layers
from net2vec_pl.backbones.layers import LayerInfo, all_layers, resolve_layer, stride
from net2vec_pl.backbones.registry import architecture, build_network
from net2vec_pl.errors import BackboneError

# Strides as the papers have them; the convolutions of some pad less than their kernel takes away.
STRIDES = {
    "alexnet": {"conv1": 4, "conv2": 8, "conv3": 16, "conv5": 16},
    "resnet18": {"conv1": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32},
    "squeezenet1_1": {"features.0": 2, "features.2": 4, "features.12": 16},
    "inception_v3": {"Conv2d_2b_3x3": 2, "Mixed_5d": 8, "Mixed_6e": 16, "Mixed_7c": 32},
}


@pytest.mark.parametrize("name", list(STRIDES))
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_strides_are_those_of_the_papers(name: str) -> None:
    network, paths = build_network(name), architecture(name).layers
    small, large = ((224, 224), (288, 288))
    traced, wider = trace_layers(network, small), trace_layers(network, large)
    for layer, expected in STRIDES[name].items():
        path = paths.get(layer, layer)
        assert stride(traced[path], small, wider[path], large) == (expected, expected), layer


def test_both_sides_of_an_image_have_their_own_stride() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1, stride=(2, 5)))
    traced, wider = trace_layers(network, (20, 30)), trace_layers(network, (40, 60))
    assert stride(traced["0"], (20, 30), wider["0"], (40, 60)) == (2, 5)


def test_a_map_that_does_not_grow_with_the_image_is_as_far_apart_as_it_divides_it() -> None:
    pooled = LayerInfo("pool", (8, 6, 6), 1)
    assert stride(pooled, (224, 112), pooled, (288, 176)) == (224 / 6, 112 / 6)


@pytest.mark.parametrize("size", [(224, 224), (96, 160), (160, 96)])
def test_a_map_with_its_filters_last_is_read_as_a_map(size: tuple[int, int]) -> None:
    torchvision = pytest.importorskip("torchvision")
    traced = trace_layers(torchvision.models.swin_t(weights=None), size)
    first, swapped = traced["features.0.0"], traced["features.0.1"]
    assert first.shape is not None
    assert first.is_map
    assert swapped.shape == (*first.shape[1:], first.shape[0])
    assert swapped.laid_out == first.laid_out == first.shape
    assert swapped.is_map
    assert not swapped.is_vector
    assert resolve_layer("features.0.1", {}, traced, "swin_t") == ("features.0.1", swapped)
    assert all_layers({}, traced) == ["stage.0", "stage.1", "stage.2", "stage.3", "norm"]
    assert resolve_layer(None, {}, traced, "swin_t")[0] == "norm"


def test_the_sign_is_that_of_the_answer_before_an_in_place_relu_writes_over_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.SiLU())
    traced = trace_layers(network, (16, 16))
    assert [info.rectified for info in traced.values()] == [False, True, True, True]
    assert [info.kind for info in traced.values()] == ["Conv2d", "ReLU", "MaxPool2d", "SiLU"]


class Odd(nn.Module):
    """Gives complex numbers, none at all, and whole ones, on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Identity() for _ in range(4))

    def forward(self, image: Tensor) -> Tensor:
        self.parts[0](image.to(torch.complex64))
        self.parts[1](image[:, :0])
        self.parts[2]((image, image))
        out: Tensor = self.parts[3](image.long())
        return out


def test_an_answer_without_a_sign_stops_no_trace() -> None:
    traced = trace_layers(Odd(), (4, 4))
    assert traced.fault == ""
    assert list(traced) == ["parts.0", "parts.1", "parts.2", "parts.3"]
    assert not traced["parts.0"].rectified


def test_a_trace_draws_nothing_from_the_generator_of_others() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trace_layers(network, (4, 4))
    assert torch.equal(torch.rand(2), expected)


def test_a_named_layer_behind_a_fault_is_not_called_unknown() -> None:
    traced = trace_layers(build_network("alexnet"), (24, 24))
    assert traced.fault
    with pytest.raises(BackboneError, match="alexnet fails in its forward pass before 'conv5'"):
        resolve_layer("conv5", architecture("alexnet").layers, traced, "alexnet")


class Nothing(nn.Module):
    """Gives no tensor."""

    def forward(self, image: Tensor) -> str:
        return str(image.shape)


class Noted(nn.Module):
    """Gives no tensor, a tuple, a vector, maps, a vector as a map, and runs a layer again."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1)
        self.pair, self.pool = nn.Identity(), nn.AdaptiveAvgPool2d(1)
        self.flat, self.second = nn.Flatten(), nn.Conv2d(3, 4, 1)
        self.none = Nothing()

    def forward(self, image: Tensor) -> Tensor:
        self.none(self.first(image))
        self.pair((image, image))
        self.second(image)
        self.flat(self.pool(image))
        return self.first(image)  # type: ignore[no-any-return]


def test_a_trace_notes_shape_calls_and_kind_in_the_order_in_which_modules_finish_last() -> None:
    network = Noted().train()
    traced = trace_layers(network, (4, 6))
    assert not network.training
    assert [(i.module_path, i.shape, i.calls, i.kind) for i in traced.values()] == [
        ("none", None, 1, "Nothing"),
        ("pair", (3, 4, 6), 1, "Identity"),
        ("second", (4, 4, 6), 1, "Conv2d"),
        ("pool", (3, 1, 1), 1, "AdaptiveAvgPool2d"),
        ("flat", (3,), 1, "Flatten"),
        ("first", (2, 4, 6), 2, "Conv2d"),
    ]
    assert [i.is_map for i in traced.values()] == [False, True, True, False, False, True]
    assert [i.is_vector for i in traced.values()] == [False, False, False, True, True, False]


def test_a_trace_moves_no_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).train()
    trace_layers(network, (4, 4))
    assert network.state_dict()["1.running_mean"].tolist() == [0, 0]


def test_a_layer_without_a_map_is_refused_with_what_it_gives_and_what_would_take_it() -> None:
    traced = trace_layers(Noted(), (4, 6))
    end = (
        " for an image, not an activation map (filters, height, width). "
        "The last layer that does: 'first'."
    )
    for name, given, hint in (
        ("none", "no tensor", ""),
        ("flat", "an output of shape (3,)", " target=classification takes it."),
        ("pool", "an output of shape (3, 1, 1)", " target=classification takes it."),
    ):
        with pytest.raises(BackboneError) as caught:
            resolve_layer(name, {}, traced, "noted")
        assert str(caught.value) == f"layer {name!r} of noted gives {given}{end}{hint}"
    assert resolve_layer("flat", {}, traced, "noted", vectors=True) == ("flat", traced["flat"])
    assert resolve_layer("pool", {}, traced, "noted", vectors=True) == ("pool", traced["pool"])
    with pytest.raises(BackboneError, match="gives no tensor"):
        resolve_layer("none", {}, traced, "noted", vectors=True)
    assert resolve_layer(None, {}, traced, "noted", vectors=True) == ("first", traced["first"])
    assert resolve_layer("conv9", {"conv9": "second"}, traced, "noted") == (
        "conv9",
        traced["second"],
    )


def test_a_fault_names_the_last_layers_that_were_reached() -> None:
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5)), nn.Linear(9, 2))
    traced = trace_layers(network, (4, 4))
    with pytest.raises(BackboneError, match=r"The last it reached: 2, 3, 4\.$"):
        resolve_layer(None, {}, traced, "mine")
