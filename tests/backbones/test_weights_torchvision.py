"""torchvision's weights: every network is built, filled and fed as torchvision itself does it."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.transforms.functional import normalize

from net2vec_pl.backbones import InputScaling, NetworkSpec, build_backbone
from net2vec_pl.backbones.registry import architecture, build_network
from net2vec_pl.backbones.torchvision_weights import (
    builder_arguments,
    entry_of,
    file_name,
    kept_file,
    own_scaling,
)
from net2vec_pl.backbones.weights import weights_digest

NAMES = [
    (model, entry.name)
    for model in torchvision.models.list_models(module=torchvision.models)
    for entry in torchvision.models.get_model_weights(model)
]
# Each stands for what is special about its family, or for nothing special.
FEW = [
    ("inception_v3", "IMAGENET1K_V1"),  # transform_input
    ("googlenet", "DEFAULT"),  # transform_input, classifiers for training
    ("densenet121", "IMAGENET1K_V1"),  # old names
    ("mnasnet0_5", "IMAGENET1K_V1"),  # a version in the metadata
    ("squeezenet1_1", "IMAGENET1K_V1"),
    ("mobilenet_v2", "IMAGENET1K_V2"),
]


def entry_named(model: str, weights: str) -> WeightsEnum:
    return torchvision.models.get_model_weights(model)[weights]


def unfilled(model: str, entry: WeightsEnum, patch: pytest.MonkeyPatch, **kwargs: Any) -> nn.Module:
    """Return the network that torchvision builds for some weights, before it loads them."""
    with patch.context() as p:
        p.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: OrderedDict())
        p.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        network: nn.Module = torchvision.models.get_model(model, weights=entry, **kwargs)
        return network


def save_as_torchvision_does(model: str, entry: WeightsEnum, patch: pytest.MonkeyPatch) -> None:
    """Put a file of random weights, with the entries of the real one, where torch looks for it."""
    every = {"aux_logits": True} if model == "googlenet" else {}
    state = unfilled(model, entry, patch, **every).state_dict()
    if model.startswith("densenet"):
        # They are older than num_batches_tracked, and than what modules write about themselves.
        state = OrderedDict((k, v) for k, v in state.items() if not k.endswith("tracked"))
        for name in [n for n in state if re.search(r"denselayer\d+\.(norm|conv)[12]\.", n)]:
            old = re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name)
            state[old] = state.pop(name)
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
    kept_file(entry).parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, kept_file(entry))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    yield tmp_path / "hub" / "checkpoints"
    for file in tmp_path.rglob("*.pth"):  # up to 2.6 GB each
        file.unlink()


@torch.no_grad()
def assert_same_as_torchvision(
    model: str, weights: str, patch: pytest.MonkeyPatch, given: str | None = None
) -> None:
    torch.manual_seed(0)
    entry = entry_named(model, weights)
    save_as_torchvision_does(model, entry, patch)
    side = entry.meta["min_size"][0] if model.startswith(("vit", "maxvit")) else 96
    reference = torchvision.models.get_model(model, weights=entry).eval()
    layer = next(n for n, m in reference.named_modules() if isinstance(m, nn.Conv2d))
    backbone = build_backbone(
        name=model, weights=given or weights, layer=layer, image_size=(side, side)
    )
    assert backbone.digest == weights_digest(reference)

    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    seen: list[Tensor] = []
    stem = reference.get_submodule(backbone.module_path)
    stem.register_forward_hook(lambda *given: seen.append(given[2].clone()))
    preset = entry.transforms()
    reference(normalize(images / 255, preset.mean, preset.std))
    torch.testing.assert_close(backbone(images), seen[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("model", "weights"), FEW)
def test_activations_are_those_of_torchvisions_own_builder(
    model: str, weights: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_as_torchvision(model, weights, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "weights"), NAMES)
def test_activations_are_those_of_torchvisions_own_builder_for_every_name(
    model: str, weights: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same_as_torchvision(model, weights, monkeypatch)


# RegNets work out their widths with tensors, which cannot be done without memory.
@pytest.mark.parametrize(("model", "weights"), [n for n in NAMES if "regnet" not in n[0]])
def test_the_arguments_are_those_that_come_with_the_weights(
    model: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_named(model, weights)
    with torch.device("meta"):
        theirs = unfilled(model, entry, monkeypatch)
        ours = build_network(model, builder_arguments(entry))
    shapes = [{k: v.shape for k, v in n.state_dict().items()} for n in (ours, theirs)]
    assert shapes[0] == shapes[1]
    flags = [
        {k: v for k, v in vars(n).items() if isinstance(v, bool | int | str)}
        for n in (ours, theirs)
    ]
    assert flags[0] == flags[1]


@pytest.mark.parametrize(("model", "weights"), NAMES)
def test_the_scaling_is_that_of_the_weights(model: str, weights: str) -> None:
    preset = entry_named(model, weights).transforms()
    scaling = own_scaling(model, weights)
    assert (scaling.mean, scaling.std) == (tuple(preset.mean), tuple(preset.std))
    others = {"vgg16": "IMAGENET1K_FEATURES", "efficientnet_v2_l": "IMAGENET1K_V1"}
    usual = InputScaling.named("torchvision")
    assert (scaling == usual) == (others.get(model) != weights)


def test_weights_that_are_not_torchvisions_have_the_usual_scaling() -> None:
    for model, weights in (
        ("efficientnet_v2_l", None),
        ("efficientnet_v2_l", "mine.pth"),
        ("mine", "DEFAULT"),
    ):
        assert own_scaling(model, weights) == InputScaling.named("torchvision")


def test_a_file_called_as_torchvision_calls_it_is_its_weights(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_named("inception_v3", "DEFAULT")
    for path in (file_name(entry), f"/some/where/{file_name(entry)}"):
        assert entry_of("inception_v3", path) is entry
        assert entry_of("googlenet", path) is None
    given = str(hub / file_name(entry))
    assert_same_as_torchvision("inception_v3", "DEFAULT", monkeypatch, given)


def test_arguments_and_scaling_of_the_weights_stand_in_the_description() -> None:
    def plain(name: str, weights: str, **more: Any) -> dict[str, Any]:
        given = {"name": name, "weights": weights, "seed": 0, "scaling": "own"}
        return dict(NetworkSpec({**given, **more}).plain)

    own = {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert plain("efficientnet_v2_l", "DEFAULT")["scaling"] == own
    assert plain("efficientnet_v2_l", "DEFAULT", scaling="unit")["scaling"] == "unit"
    resnet = {"name": "resnet18", "weights": "DEFAULT", "seed": 0, "scaling": "torchvision"}
    assert plain("resnet18", "DEFAULT") == resnet
    assert plain("inception_v3", "DEFAULT")["kwargs"] == {
        "transform_input": True, "init_weights": True
    }  # fmt: skip
    assert plain("inception_v3", "DEFAULT", kwargs={"transform_input": False})["kwargs"] == {
        "transform_input": False, "init_weights": True
    }  # fmt: skip
    swag = {"image_size": 384}
    assert plain("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")["kwargs"] == swag
    assert "kwargs" not in plain("vit_b_16", "IMAGENET1K_V1")


def test_random_weights_keep_the_arguments_and_the_scaling_of_the_trained_ones() -> None:
    given = {"name": "inception_v3", "weights": "DEFAULT", "seed": 0, "scaling": "own"}
    blank = NetworkSpec(given).with_random_weights(3)
    assert blank.weights is None
    assert vars(blank.build((224, 224)))["transform_input"] is True
    large = NetworkSpec({**given, "name": "efficientnet_v2_l"})
    assert large.with_random_weights().plain["scaling"] == large.plain["scaling"]


def test_a_network_described_with_arguments_is_built_with_them() -> None:
    network, _ = NetworkSpec(
        {"name": "inception_v3", "weights": None, "seed": 0, "scaling": "own",
         "kwargs": {"init_weights": True, "num_classes": 7}}
    ).fill((96, 96))  # fmt: skip
    assert vars(network)["transform_input"] is False
    assert network.get_parameter("fc.weight").shape == (7, 2048)


def test_random_googlenets_convert_the_usual_scaling_too() -> None:
    given = {"aux_logits": False, "transform_input": True, "init_weights": True}
    assert architecture("googlenet").kwargs == given
    assert vars(build_network("googlenet"))["transform_input"] is True


# -------------------- segmentation and detection


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("deeplabv3_mobilenet_v3_large", "backbone.4"),
        ("fasterrcnn_resnet50_fpn", "backbone.body.maxpool"),
        ("retinanet_resnet50_fpn_v2", "backbone.body.maxpool"),
        ("ssdlite320_mobilenet_v3_large", "backbone.features.0.2"),
    ],
)
@torch.no_grad()
def test_networks_with_a_backbone_inside_answer_as_torchvisions_own_builder_makes_them(
    model: str, layer: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    entry = entry_named(model, "DEFAULT")
    save_as_torchvision_does(model, entry, monkeypatch)
    state = torch.load(kept_file(entry), weights_only=True)
    for name, value in state.items():
        if name.endswith("running_var"):
            value.fill_(1e-4)  # so that an epsilon of 1e-5 shows
    torch.save(state, kept_file(entry))
    size = {"min_size": 96, "max_size": 128} if "rcnn" in model or "retina" in model else {}
    reference = torchvision.models.get_model(model, weights=entry, **size).eval()
    seen: list[Tensor] = []
    reference.get_submodule(layer).register_forward_hook(lambda *given: seen.append(given[2]))

    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    backbone = build_backbone(name=model, weights="DEFAULT", layer=layer, image_size=(96, 128))
    usual = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    reference(normalize(images / 255, *usual) if "deeplab" in model else images / 255)
    torch.testing.assert_close(backbone(images), seen[0], rtol=1e-3, atol=1e-3)
    assert backbone.scaling.name == ("torchvision" if "deeplab" in model else "unit")


@pytest.mark.parametrize(
    ("model", "layer", "shape"),
    [
        ("fcn_resnet50", "backbone.layer4", (2048, 8, 12)),
        ("lraspp_mobilenet_v3_large", "backbone.16", (960, 4, 6)),
        ("maskrcnn_resnet50_fpn", "backbone.body.layer4", (2048, 2, 3)),
    ],
)
def test_such_networks_are_built_without_a_download_and_read_at_the_end_of_their_backbone(
    model: str, layer: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: pytest.fail("a download"))
    backbone = build_backbone(name=model, image_size=(64, 96))
    assert (backbone.layer, backbone.shape) == (layer, shape)
