import json

import pytest
import torch
from support import shipped
from torch import nn

from net2vec_pl.backbones.shapesnet import ShapesNet
from net2vec_pl.datasets.shapes.reader import FORMAT_VERSION, ShapesReader


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    return shipped.metadata_of("shapesnet")


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return shipped.trained("shapesnet")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv1", (32, 48, 48)),
        ("conv2", (48, 24, 24)),
        ("conv3", (64, 24, 24)),
        ("conv4", (96, 12, 12)),
        ("conv5", (128, 12, 12)),
    ],
)
def test_a_layer_is_read_by_its_name_after_its_relu(
    trained: nn.Module, layer: str, shape: tuple[int, int, int]
) -> None:
    seen: list[torch.Tensor] = []
    hook = trained.get_submodule(layer).register_forward_hook(lambda *a: seen.append(a[2]))
    trained(torch.randn(2, 3, 96, 96))
    hook.remove()
    assert seen[0].shape == (2, *shape)
    assert seen[0].min() == 0.0
    assert seen[0].max() > 0.0


def test_any_image_size_works(trained: nn.Module) -> None:
    assert trained(torch.zeros(1, 3, 61, 130)).shape == (1, 54)


def test_the_network_and_its_weights_stay_small() -> None:
    assert sum(p.numel() for p in ShapesNet().parameters()) < 250_000
    assert shipped.weights_of("shapesnet").stat().st_size < 1_000_000


def test_the_metadata_says_how_the_weights_were_made(metadata: dict[str, str]) -> None:
    scored = [c.name for c in ShapesReader(1).vocabulary if c.category != "color"]
    assert metadata["concepts"].split(",") == scored
    assert metadata["shapes_format"] == str(FORMAT_VERSION), "the pictures changed: make shapesnet"
    assert json.loads(metadata["settings"])["train_seed"] == 1000


def test_the_shipped_accuracy_holds_on_fresh_pictures(
    trained: nn.Module, metadata: dict[str, str]
) -> None:
    found = shipped.mean_precision(trained, metadata["concepts"].split(","))
    assert abs(found - float(metadata["mean_ap"])) < 0.06


def test_the_network_is_its_description_step_by_step() -> None:
    torch.manual_seed(0)
    network, image = ShapesNet().eval(), torch.randn(2, 3, 48, 48)
    state = network.state_dict()
    x = image
    for n, stride in enumerate((2, 1, 1, 1, 1), 1):
        weight = state[f"conv{n}.conv.weight"]
        padding = (weight.shape[-1] - 1) // 2
        x = nn.functional.conv2d(x, weight, stride=stride, padding=padding)
        norm = [state[f"conv{n}.norm.{key}"] for key in ("running_mean", "running_var")]
        scale = [state[f"conv{n}.norm.{key}"] for key in ("weight", "bias")]
        x = nn.functional.batch_norm(x, *norm, *scale).relu()
        if n in (1, 3):
            x = nn.functional.max_pool2d(x, 2)
    both = torch.cat([x.flatten(2).mean(2), x.flatten(2).max(2).values], 1)
    expected = both @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(network(image), expected)
