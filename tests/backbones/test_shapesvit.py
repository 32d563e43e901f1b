import json
from pathlib import Path

import pytest
import torch
from support import shipped
from support.cli import QUICK, by_name, run_cli, without
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.network import NetworkSpec
from net2vec_pl.backbones.shapesvit import ShapesViT
from net2vec_pl.datasets.shapes.reader import FORMAT_VERSION, ShapesReader

SIZE = (96, 96)
SPEC = NetworkSpec({"name": "shapesvit", "weights": "shipped", "seed": 0, "scaling": "half"})


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    return shipped.metadata_of("shapesvit")


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return shipped.trained("shapesvit")


@pytest.fixture(scope="module")
def read() -> FrozenBackbone:
    return SPEC.freeze([None], SIZE)[0]


def test_it_is_read_at_its_final_norm_and_at_each_block(read: FrozenBackbone) -> None:
    assert (read.layer, read.module_path, read.shape) == ("norm", "norm", (96, 12, 12))
    everywhere = SPEC.freeze(["all"], SIZE)
    assert [b.layer for b in everywhere] == ["block.0", "block.1", "block.2", "block.3", "norm"]
    assert [b.module_path for b in everywhere] == [*(f"blocks.{n}" for n in range(4)), "norm"]
    assert {b.shape for b in everywhere} == {(96, 12, 12)}


def test_the_network_and_its_weights_stay_small() -> None:
    assert sum(p.numel() for p in ShapesViT().parameters()) < 400_000
    assert shipped.weights_of("shapesvit").stat().st_size < 1_000_000


def test_the_metadata_says_how_the_weights_were_made(metadata: dict[str, str]) -> None:
    scored = [c.name for c in ShapesReader(1).vocabulary if c.category != "color"]
    assert metadata["concepts"].split(",") == scored
    assert metadata["shapes_format"] == str(FORMAT_VERSION), "the pictures changed: make shapesvit"
    assert json.loads(metadata["settings"])["train_seed"] == 1000


def test_the_shipped_accuracy_holds_on_fresh_pictures(
    trained: nn.Module, metadata: dict[str, str]
) -> None:
    found = shipped.mean_precision(trained, metadata["concepts"].split(","))
    assert abs(found - float(metadata["mean_ap"])) < 0.06


def test_the_network_is_its_description_step_by_step() -> None:
    torch.manual_seed(0)
    network, image = ShapesViT().eval(), torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        for value in network.parameters():  # norms and the class token start alike
            value.add_(torch.randn(value.shape), alpha=0.1)
    state: dict[str, Tensor] = network.state_dict()

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(2, keepdim=True)
        spread = (centred.square().mean(2, keepdim=True) + 1e-5).sqrt()
        return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attention(x: Tensor, name: str) -> Tensor:
        queries, keys, values = linear(x, f"{name}.qkv").chunk(3, dim=2)
        heads = [
            (queries[..., h] @ keys[..., h].mT / 24**0.5).softmax(2) @ values[..., h]
            for h in (slice(24 * n, 24 * n + 24) for n in range(4))
        ]
        return linear(torch.cat(heads, 2), f"{name}.proj")

    def convolved(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        return nn.functional.conv2d(x, weight, stride=2, padding=weight.shape[-1] // 2)

    patches = image
    for n in (0, 3):
        mean, var, weight, bias = (
            state[f"patch_embed.{n + 1}.{key}"]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        convolution = convolved(patches, f"patch_embed.{n}")
        patches = nn.functional.batch_norm(convolution, mean, var, weight, bias).relu()
    patches = convolved(patches, "patch_embed.6") + state["patch_embed.6.bias"][:, None, None]
    patches = patches + state["pos_embed"]
    patches = torch.stack([patches[:, :, n // 12, n % 12] for n in range(144)], 1)
    x = torch.cat([state["cls_token"].expand(2, 1, 96), patches], 1)
    for n in range(4):
        x = x + attention(norm(x, f"blocks.{n}.norm1"), f"blocks.{n}.attn")
        grown = nn.functional.gelu(linear(norm(x, f"blocks.{n}.norm2"), f"blocks.{n}.mlp.0"))
        x = x + linear(grown, f"blocks.{n}.mlp.2")
    x = norm(x, "norm")
    expected = linear(torch.cat([x[:, 0], x[:, 1:].max(1).values], 1), "head")
    torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-5)


def test_positions_keep_their_place_in_images_of_another_size() -> None:
    network = ShapesViT().eval()
    rows = torch.arange(12.0)[:, None].expand(12, 12)
    with torch.no_grad():
        network.pos_embed.copy_(torch.cat([rows[None], rows.T[None]] * 48))
    embedded: list[Tensor] = []
    network.blocks.register_forward_pre_hook(lambda _, given: embedded.append(given[0]))
    for height, width in ((96, 192), (61, 130)):
        image = torch.zeros(1, 3, height, width)
        network(image)
        grid = network.patch_embed(image)
        h, w = grid.shape[2:]
        assert (h, w) == (-(-height // 8), -(-width // 8))
        added = embedded[-1][0, 1:].T.reshape(96, h, w) - grid[0]
        down, across = added[0], added[1]
        assert (down.diff(dim=0)[1:-1] > 0).all(), "rows count downwards"
        assert (across.diff(dim=1)[1:-1] > 0).all(), "columns count to the right"
        torch.testing.assert_close(down[:, :1].expand(h, w), down, rtol=0, atol=1e-5)
        torch.testing.assert_close(across[:1].expand(h, w), across, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_an_object_in_a_corner_shows_in_that_corner_of_the_map(
    read: FrozenBackbone, down: int, right: int
) -> None:
    empty = torch.full((1, 3, *SIZE), 128, dtype=torch.uint8)
    image, rows, columns = empty.clone(), *(slice(48 * n + 12, 48 * n + 36) for n in (down, right))
    image[:, 0, rows, columns] = 255
    moved = (read(image) - read(empty)).abs().mean((0, 1))
    quarters = moved.reshape(2, 6, 2, 6).mean((1, 3))
    assert quarters.argmax() == 2 * down + right
    y, x = divmod(int(moved.argmax()), 12)
    assert (y // 6, x // 6) == (down, right)


def test_a_run_learns_where_sky_and_grass_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model=shapesvit", "protocol=lda", "data.names=[sky,grass]", "run.dir=out"]
    quick = without(QUICK, "data.image_size", "protocol.epochs")
    assert run_cli(monkeypatch, tmp_path, *quick, *words) == 0
    rows = by_name(tmp_path / "out" / "concepts.csv")
    assert all(float(rows[name]["multi_val"]) > 0.6 for name in ("sky", "grass"))
