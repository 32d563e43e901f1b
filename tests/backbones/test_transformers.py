"""Networks of other packages, with random weights: where each is read, and what never is."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from net2vec_pl.backbones import trace_layers
from net2vec_pl.backbones.layers import Trace, all_layers, resolve_layer

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own_network.md"
INNER = re.compile(r"\.(attn_drop|[qk]_norm|proj_[lw])$")


def torchvisions(name: str, **options: Any) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


def timms(name: str, **options: Any) -> nn.Module:
    network: nn.Module = pytest.importorskip("timm").create_model(name, **options)
    return network


def faces(name: str, **options: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    small = {"embed_dim": 12} if name == "Swin" else small
    config = getattr(transformers, f"{name}Config")(**small, **options)
    network: nn.Module = getattr(transformers, f"{name}Model")(config)
    return network


def detector(name: str) -> nn.Module:
    return torchvisions(name, weights_backbone=None, min_size=224, max_size=400)


# Name on the page -> the network, and the size of its images.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "torchvision vit_b_16": (lambda: torchvisions("vit_b_16"), (224, 224)),
    "torchvision swin_t": (lambda: torchvisions("swin_t"), (224, 224)),
    "torchvision swin_v2_t": (lambda: torchvisions("swin_v2_t"), (224, 224)),
    "torchvision maxvit_t": (lambda: torchvisions("maxvit_t"), (224, 224)),
    "torchvision convnext_tiny": (lambda: torchvisions("convnext_tiny"), (224, 224)),
    "torchvision deeplabv3_resnet50": (
        lambda: torchvisions("deeplabv3_resnet50", weights_backbone=None, aux_loss=True),
        (96, 160),
    ),
    "torchvision fasterrcnn_resnet50_fpn": (
        lambda: detector("fasterrcnn_resnet50_fpn"),
        (224, 224),
    ),
    "timm vit_tiny_patch16_224": (lambda: timms("vit_tiny_patch16_224"), (224, 224)),
    "timm vit_tiny_patch16_224, img_size=(96, 160)": (
        lambda: timms("vit_tiny_patch16_224", img_size=(96, 160)),
        (96, 160),
    ),
    "timm deit_tiny_distilled_patch16_224": (
        lambda: timms("deit_tiny_distilled_patch16_224"),
        (224, 224),
    ),
    "timm vit_small_patch14_reg4_dinov2, img_size=112": (
        lambda: timms("vit_small_patch14_reg4_dinov2", img_size=112),
        (112, 112),
    ),
    "timm vit_small_patch16_dinov3": (lambda: timms("vit_small_patch16_dinov3"), (224, 224)),
    "timm eva02_tiny_patch14_224": (lambda: timms("eva02_tiny_patch14_224"), (224, 224)),
    "timm swin_tiny_patch4_window7_224": (
        lambda: timms("swin_tiny_patch4_window7_224"),
        (224, 224),
    ),
    "timm cait_xxs24_224": (lambda: timms("cait_xxs24_224"), (224, 224)),
    "timm mvitv2_tiny": (lambda: timms("mvitv2_tiny"), (224, 224)),
    "timm volo_d1_224": (lambda: timms("volo_d1_224"), (224, 224)),
    "timm pit_ti_224": (lambda: timms("pit_ti_224"), (224, 224)),
    "timm convnext_atto": (lambda: timms("convnext_atto"), (224, 224)),
    "Hugging Face Dinov2Model": (lambda: faces("Dinov2", image_size=56, patch_size=14), (112, 112)),
    "Hugging Face CLIPVisionModel": (
        lambda: faces("CLIPVision", image_size=64, patch_size=16, intermediate_size=64),
        (64, 64),
    ),
    "Hugging Face SwinModel": (lambda: faces("Swin"), (224, 224)),
}  # fmt: skip


@cache
def traced(name: str) -> Trace:
    torch.manual_seed(0)
    build, size = NETWORKS[name]
    return trace_layers(build(), size)


@cache
def table() -> dict[str, list[str]]:
    rows = re.findall(r"^\| ([^|]*) \| `([^`]*)` \| ([^|]*) \| ([^|]*) \|$", PAGE.read_text(), re.M)
    return {name: cells for name, *cells in rows}


def test_the_page_lists_these_networks() -> None:
    assert list(table()) == list(NETWORKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_is_read_where_the_page_says_and_never_inside_of_a_block(name: str) -> None:
    found = traced(name)
    layer, info = resolve_layer(None, {}, found, name)
    filters, height, width = info.laid_out
    names = all_layers({}, found)
    several = f"{names[0]} to {names[-1]}"
    assert table()[name] == [layer, f"{filters} x {height} x {width}", several], name
    assert not [path for path, one in found.items() if one.is_map and INNER.search(path)]
    for short, path in found.names.items():
        assert found[path].is_map, short
