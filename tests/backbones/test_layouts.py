"""Layers of transformers: laid out as a literal loop lays them out, or refused."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support.token_networks import Size, TinySwin, TinyViT
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling, read_layers, trace_layers
from net2vec_pl.backbones.choosing import Given, Sizes, choose_layouts
from net2vec_pl.backbones.layers import all_layers, resolve_layer
from net2vec_pl.backbones.layouts import Tokens, channels_last, class_token, maps, vector
from net2vec_pl.backbones.outputs import meant_key, tensor_of, tensors_of
from net2vec_pl.backbones.patches import Patches, known_patches
from net2vec_pl.errors import BackboneError

UNIT = InputScaling.named("unit")
INNER = ("q_norm", "k_norm", "attn_drop")


def frozen(network: nn.Module, layer: str | None, size: Size, **options: Any) -> FrozenBackbone:
    return FrozenBackbone(network, layer, UNIT, size, model="mine", **options)


def images(size: Size, count: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=random)


def given(network: nn.Module, path: str, x: Tensor) -> Tensor:
    """Return what a module gives, by a hook of the test's own."""
    seen: list[Tensor] = []
    handle = network.get_submodule(path).register_forward_hook(lambda _m, _i, o: seen.append(o))
    with torch.no_grad():
        network.eval()(x.float() / 255)
    handle.remove()
    return seen[-1]


# -------------------- each layout against a literal loop


def test_tokens_are_laid_out_row_by_row_behind_the_prefix() -> None:
    output = torch.randn(2, 2 + 3 * 5, 4)
    laid_out = Tokens(prefix=2, grid=(3, 5))(output)
    assert laid_out.shape == (2, 4, 3, 5)
    for n, k, row, column in torch.cartesian_prod(*map(torch.arange, (2, 4, 3, 5))).tolist():
        assert laid_out[n, k, row, column] == output[n, 2 + row * 5 + column, k]


def test_filters_that_come_last_are_brought_to_the_front() -> None:
    output = torch.randn(2, 3, 5, 4)
    laid_out = channels_last(output)
    for n, k, row, column in torch.cartesian_prod(*map(torch.arange, (2, 4, 3, 5))).tolist():
        assert laid_out[n, k, row, column] == output[n, row, column, k]


def test_maps_stay_and_vectors_are_maps_of_one_cell() -> None:
    output = torch.randn(2, 4, 3, 5)
    assert maps(output) is output
    assert torch.equal(vector(output[:, :, 0, 0]), output[:, :, :1, :1])
    assert torch.equal(class_token(output.flatten(2).mT), output[:, :, :1, :1])


# -------------------- tokens of whole networks


@pytest.mark.parametrize("is_fixed", [False, True])
@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_blocks_are_read_as_maps_and_their_inside_never_is(
    size: Size, prefix: int, is_fixed: bool
) -> None:
    network = TinyViT(prefix, size if is_fixed else None)
    backbone, grid = frozen(network, None, size), (size[0] // 8, size[1] // 8)
    assert (backbone.layer, backbone.shape) == ("norm", (12, *grid))
    x = images(size)
    for layer, path in (("norm", "norm"), ("block.1", "blocks.1"), ("blocks.0", "blocks.0")):
        tokens = given(network, path, x)
        expected = tokens[:, prefix:].transpose(1, 2).reshape(3, 12, *grid)
        torch.testing.assert_close(frozen(network, layer, size)(x), expected)
    traced = trace_layers(network, size)
    inner = [info for path, info in traced.items() if path.endswith(INNER)]
    assert len(inner) == 9
    assert not any(info.is_map or info.is_vector for info in inner)
    assert traced["patch_embed"].is_map
    with pytest.raises(BackboneError, match=r"\(2, \d+, 6\).* nearest .*: 'blocks\.1\.attn'\.$"):
        resolve_layer("blocks.1.attn.k_norm", {}, traced, "mine")


def test_tokens_of_a_turned_image_come_out_turned() -> None:
    network, x = TinyViT(), images((48, 80))
    upright = frozen(network, "block.2", (48, 80))(x)
    turned = frozen(network, "block.2", (80, 48))(x.rot90(dims=(2, 3)))
    torch.testing.assert_close(turned, upright.rot90(dims=(2, 3)))


def test_patches_in_an_order_of_their_own_are_refused() -> None:
    size = (64, 64)
    network = TinyViT(0, size, shuffled=True)
    assert not trace_layers(network, size)["blocks.2"].is_map
    with pytest.raises(BackboneError, match="not an activation map"):
        frozen(network, "blocks.2", size)


def test_the_default_is_the_last_block_where_no_norm_follows() -> None:
    traced = trace_layers(TinyViT(end=False), (64, 64))
    assert traced.names == {f"block.{n}": f"blocks.{n}" for n in range(3)}
    assert resolve_layer(None, {}, traced, "mine")[0] == "blocks.2"
    assert all_layers({}, traced) == ["block.0", "block.1", "block.2"]
    assert all_layers({}, trace_layers(TinyViT(), (64, 64)))[-2:] == ["block.2", "norm"]


def test_windows_are_no_maps_and_stages_have_names() -> None:
    size, network = (32, 48), TinySwin()
    traced = trace_layers(network, size)
    assert traced.names == {
        "block.0": "layers.0.blocks.0",
        "block.1": "layers.0.blocks.1",
        "block.2": "layers.1.blocks.0",
        "block.3": "layers.1.blocks.1",
        "stage.0": "layers.0",
        "stage.1": "layers.1",
    }
    assert all_layers({}, traced) == ["stage.0", "stage.1", "norm"]
    for path, info in traced.items():
        assert info.is_map is not (".attn" in path or ".fold" in path or path == "head"), path
    with pytest.raises(BackboneError, match="whose first axis does not go over the images"):
        resolve_layer("layers.0.blocks.0.fold", {}, traced, "mine")
    backbone, x = frozen(network, "stage.0", size), images(size)
    assert backbone.shape == (12, 16, 24)
    torch.testing.assert_close(backbone(x), given(network, "layers.0", x).permute(0, 3, 1, 2))


def test_the_class_token_is_a_vector_and_the_patches_are_the_map() -> None:
    size, network = (64, 64), TinyViT(prefix=3)
    x = images(size)
    tokens = given(network, "blocks.1", x)
    backbone = frozen(network, "block.1:class", size, vectors=True)
    assert (backbone.module_path, backbone.shape) == ("blocks.1:class", (12, 1, 1))
    torch.testing.assert_close(backbone(x)[:, :, 0, 0], tokens[:, 0])
    again = frozen(network, backbone.module_path, size, vectors=True)
    assert torch.equal(again(x), backbone(x))
    patches = frozen(network, "block.1", size, vectors=True)(x)
    torch.testing.assert_close(patches.mean((2, 3)), tokens[:, 3:].mean(1))
    with pytest.raises(BackboneError, match=r"not an activation map.* target=classification takes"):
        frozen(network, "block.1:class", size)
    with pytest.raises(BackboneError, match="it has no 'class'"):
        frozen(TinyViT(prefix=0), "block.1:class", size, vectors=True)


def test_layers_of_several_layouts_are_read_in_one_pass() -> None:
    size = (64, 64)
    first = frozen(TinyViT(), "patch_embed", size)
    backbones = [first, first.at("block.0"), first.at("norm")]
    x = images(size, 9)
    for backbone, together in zip(backbones, read_layers(backbones, x), strict=True):
        assert torch.equal(together, frozen(TinyViT(), backbone.layer, size)(x))
    assert [b.layer for b in first.at_all()] == ["block.0", "block.1", "block.2", "norm"]


def test_a_response_at_tokens_has_the_gradient_of_its_image() -> None:
    size, network = (64, 64), TinyViT()
    backbone = frozen(network, "block.0", size)
    x = (images(size).float() / 255).requires_grad_()
    (found,) = torch.autograd.grad(backbone.respond(x)[:, 1, 2, 3].sum(), x)
    assert found[:, :, 16:24, 24:32].abs().sum() > found.abs().sum() / 2


def test_an_axis_of_as_many_places_as_there_are_tokens_is_no_side_of_a_map() -> None:
    loud = torch.ones(2, 16, 16)
    loud[:, :8] = loud[:, :, :8] = 0.1
    sizes = Sizes((32, 32), (96, 160))
    scores = Given((2, 16, 16), echo={"maps": loud, "channels_last": loud})
    patches = Given((16, 4), echo={"tokens": loud[:, ::4, ::4].reshape(2, 16)})
    both = {("scores", ""): scores, ("patches", ""): patches}
    assert choose_layouts(both, sizes, Patches()) == {
        ("scores", ""): None,
        ("patches", ""): Tokens(0, (4, 4)),
    }
    assert choose_layouts({("map", ""): scores}, sizes, Patches()) == {("map", ""): maps}


def test_what_a_network_says_of_its_tokens() -> None:
    assert known_patches(TinyViT(prefix=5)) == Patches(prefix=5, has_class=True)
    assert known_patches(TinyViT(prefix=0)) == Patches()
    network = TinyViT()
    network.patch_size = (8, 4)  # type: ignore[assignment]
    assert known_patches(network).size == 8


# -------------------- several tensors


@dataclass
class Hidden:
    """As Hugging Face returns it."""

    pooler_output: Tensor
    last_hidden_state: Tensor
    hidden_states: None = None


def test_which_tensor_of_several_is_meant() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    assert meant_key(one) == ""
    assert meant_key((one, None, two)) == "0"
    assert meant_key([one]) == "0"
    assert meant_key({"out": one, "size": 3}) == "out"
    assert meant_key(Hidden(one, two)) == "last_hidden_state"
    for unclear in ([one, two], {"out": one, "aux": two}, {}, (), None, "text"):
        assert meant_key(unclear) is None
    assert list(tensors_of(Hidden(one, two))) == ["pooler_output", "last_hidden_state"]
    assert tensor_of((one, two), "1") is two
    with pytest.raises(BackboneError, match="gave a tensor '1' gives none now"):
        tensor_of((one,), "1")


class Pyramid(nn.Module):
    """A network whose body gives maps of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Levels(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.backbone(x)["high"])}


class Levels(nn.Module):
    """Gives maps of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 6, 2, stride=2), nn.Conv2d(6, 4, 2, stride=2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        low = self.low(x)
        return {"low": low, "high": self.high(low)}


def test_one_tensor_of_several_is_read_by_its_key() -> None:
    size, network = (16, 24), Pyramid()
    x = images(size)
    low = frozen(network, "backbone:low", size)
    assert (low.module_path, low.shape) == ("backbone:low", (6, 8, 12))
    torch.testing.assert_close(low(x), given(network, "backbone.low", x))
    with pytest.raises(BackboneError, match=r"gives several tensors: .*backbone:low, backbone:hi"):
        frozen(network, "backbone", size)
    with pytest.raises(BackboneError, match="unknown tensor 'lo'"):
        frozen(network, "backbone:lo", size)


def test_a_network_with_a_backbone_of_several_tensors_is_read_at_its_end() -> None:
    assert frozen(Pyramid(), None, (16, 24)).layer == "backbone.high"


# -------------------- images one by one, and alike every time


class Unsteady(nn.Module):
    """Behind a layer that answers alike, one that does not."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.first, self.after = nn.Conv2d(3, 4, 1), after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(self.first(x))
        return out


class Dropping(nn.Module):
    """Drop-out that was left on."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.2)


@pytest.mark.parametrize("after", [nn.BatchNorm2d(4, track_running_stats=False), Dropping()])
def test_a_layer_that_answers_an_image_otherwise_is_refused(after: nn.Module) -> None:
    network = Unsteady(after)
    assert frozen(network, "first", (8, 8)).layer == "first"
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    message = r"layer 'after' of mine answers the same image otherwise .* by \d+%"
    with pytest.raises(BackboneError, match=message):
        frozen(network, "after", (8, 8))
    with pytest.raises(BackboneError, match=message):
        frozen(network, "first", (8, 8)).at("after")
    assert torch.equal(torch.rand(1), expected)


class Windows(nn.Module):
    """Attention in windows by hand: pixels of a window x windows x filters, of 49 x 64 x 64."""

    def __init__(self) -> None:
        super().__init__()
        self.swap = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        tiles = x.unfold(2, 7, 7).unfold(3, 7, 7)  # (N, K, 8, 8, 7, 7)
        self.swap(tiles.permute(0, 4, 5, 2, 3, 1).reshape(len(x), 49, 64, -1))
        return x


class WindowAttention(Windows):
    """The same under the name that attention has."""


def windowed(kind: type[nn.Module]) -> nn.Module:
    stem = nn.Conv2d(3, 64, 4, stride=4)
    return nn.Sequential(OrderedDict(stem=stem, mix=kind(), end=FixedSize(56)))


class FixedSize(nn.Module):
    """Takes maps of one size only, as attention in windows often does."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1, self.side, self.side)


def test_windows_inside_of_attention_are_no_map() -> None:
    traced = trace_layers(windowed(WindowAttention), (224, 224))
    assert not traced["mix.swap"].is_map
    assert traced["mix"].laid_out == traced["end"].laid_out == (64, 56, 56)
    assert [*all_layers({}, traced)] == ["end"]


def test_a_patch_embedding_is_never_the_default() -> None:
    class PatchEmbed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj = nn.Conv2d(3, 8, 8, stride=8)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.proj(x)
            return out

    class NoAttention(nn.Identity):
        pass

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = PatchEmbed()
            self.attention = NoAttention()
            self.head = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            pooled = self.embed(x).mean((2, 3))
            self.attention(pooled)
            out: Tensor = self.head(pooled)
            return out

    traced = trace_layers(Odd(), (64, 64))
    with pytest.raises(BackboneError, match=r"the blocks of odd are not known.*embed"):
        resolve_layer(None, {}, traced, "odd")
    assert resolve_layer("embed.proj", {}, traced, "odd")[1].laid_out == (8, 8, 8)
