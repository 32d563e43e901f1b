"""Checkpoints as people have them: the network's entries are found, or the message says why not."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.checkpoints import LAYOUTS, Small, Wrapped, source, under
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling, NetworkSpec, build_backbone
from net2vec_pl.backbones.checkpoints import find_state
from net2vec_pl.errors import BackboneError

SIZE = (32, 32)


def built(path: Path, layer: str = "layer2", name: str = "Small", **kwargs: Any) -> FrozenBackbone:
    target = f"support.checkpoints.{name}"
    return build_backbone(
        name="mine", target=target, kwargs=kwargs, weights=str(path), layer=layer, image_size=SIZE
    )


def images() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (2, 3, *SIZE), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def expected(network: Small) -> Tensor:
    usual = InputScaling.named("torchvision")
    mean, std = torch.tensor(usual.mean), torch.tensor(usual.std)
    return network.features((images() / 255 - mean[:, None, None]) / std[:, None, None])


def assert_read(path: Path, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    network = source()
    assert isinstance(network, Small)
    torch.testing.assert_close(built(path)(images()), expected(network), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_layout_is_read_as_the_network_itself(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout, prefix = LAYOUTS[name]
    torch.save(layout(source()), tmp_path / "w.pth")
    with caplog.at_level(logging.INFO):
        assert_read(tmp_path / "w.pth")
    assert (f"{prefix!r} stripped" in caplog.text) == bool(prefix)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save(source().to(dtype).state_dict(), tmp_path / "w.pth")
    assert_read(tmp_path / "w.pth", rtol=0.05, atol=0.02)
    assert built(tmp_path / "w.pth").network.get_parameter("conv1.weight").dtype == torch.float32


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_read_by_their_index(suffix: str, tmp_path: Path) -> None:
    state = source().state_dict()
    files = {name: f"model-{n % 2 + 1:05}-of-00002.{suffix}" for n, name in enumerate(state)}
    for file in sorted({*files.values()}):
        part = {name: state[name] for name in state if files[name] == file}
        if suffix == "bin":
            torch.save(part, tmp_path / file)
        else:
            safetensors.torch.save_file(part, tmp_path / file)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    assert_read(index)
    with pytest.raises(BackboneError, match=r"needs it: absent: .*bn1"):
        built(tmp_path / f"model-00001-of-00002.{suffix}")
    (tmp_path / f"model-00002-of-00002.{suffix}").unlink()
    with pytest.raises(BackboneError, match=r"do not lie beside it: model-00002-of-00002"):
        built(index)


@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_a_part_that_is_really_called_module_keeps_its_name(prefix: str, tmp_path: Path) -> None:
    network = source(Wrapped)
    torch.save({f"{prefix}{k}": v for k, v in network.state_dict().items()}, tmp_path / "w.pth")
    found = built(tmp_path / "w.pth", "module.layer2", "Wrapped")
    assert isinstance(network.module, Small)
    torch.testing.assert_close(found(images()), expected(network.module), rtol=1e-5, atol=1e-6)


def test_a_bare_state_dict_fills_a_network_that_wraps_it_in_module(tmp_path: Path) -> None:
    torch.save(source().state_dict(), tmp_path / "w.pth")
    found = built(tmp_path / "w.pth", "module.layer2", "Wrapped")
    network = source()
    assert isinstance(network, Small)
    torch.testing.assert_close(found(images()), expected(network), rtol=1e-5, atol=1e-6)


def test_the_log_says_what_was_taken_and_what_would_do_as_well(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"ema": source(seed=8).state_dict(), "model": source().state_dict()}, tmp_path / "w")
    with caplog.at_level(logging.INFO):
        built(tmp_path / "w")
    entries = len(source().state_dict())
    assert caplog.messages == [
        f"weights '{tmp_path}/w': 'model.' stripped, {entries} entries fit; ema. would fit as well"
    ]


def test_what_modules_wrote_about_themselves_goes_with_their_entries() -> None:
    state: Any = source().state_dict()
    state._metadata["bn1"]["version"] = 1
    own: Any = source(seed=8).state_dict()
    for content in (state, {"model": state}):
        metadata = find_state(content, own).metadata
        assert metadata["bn1"] == {"version": 1}
        assert metadata["conv1"] == own._metadata["conv1"]
    assert find_state(dict(state), own).metadata["bn1"] == {"version": 2}


def _foreign(kind: str) -> Any:
    state = source().state_dict()
    match kind:
        case "Hugging Face":
            return {
                k.replace("conv1.", "embedder.convolution.").replace("bn1.", "embedder.norm.")
                .replace("layer", "encoder.stages.").replace("fc.", "classifier.1."): v
                for k, v in state.items()
            }  # fmt: skip
        case "Keras":
            return {k.replace(".", "/") + ":0": v for k, v in state.items()}
        case "detectron2":
            return {"model": {f"backbone.bottom_up.stem.{k}_": v for k, v in state.items()}}
        case "optimizer":
            optimizer = torch.optim.SGD(source().parameters())
            return {"optimizer": optimizer.state_dict(), "scale": torch.ones(1)}
        case "transformer":
            return {f"blocks.{n}.attn.qkv.weight": torch.zeros(12, 4) for n in range(4)}
        case _:
            return {"net": source(width=5).state_dict()}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("Hugging Face", ["None of its 12 tensors", "conv1.weight (the file has embedder.convol"]),
        ("Keras", ["None of its 12 tensors", "conv1.weight (the file has conv1/weight:0)"]),
        ("detectron2", ["as it stands or without 'model.'", "'model.backbone.bottom_up.stem.'"]),
        ("optimizer", ["None of its 1 tensors", "not in the network: scale."]),
        ("transformer", ["do not match mine. None", "in the network: blocks.0.attn.qkv.weight"]),
        (
            "another width",
            [
                "(read without 'net.')",
                "layer1.0.weight is (5, 4, 3, 3), not (6, 4, 3, 3)",
                "'layer2' needs",
            ],
        ),
    ],
)
def test_a_foreign_file_is_refused_with_what_was_tried_and_the_nearest_keys(
    kind: str, parts: list[str], tmp_path: Path
) -> None:
    torch.save(_foreign(kind), tmp_path / "w.pth")
    with pytest.raises(BackboneError) as caught:
        built(tmp_path / "w.pth")
    for part in (f"weights '{tmp_path}/w.pth' ", "do not match mine", *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_in_place_of_real_ones_are_refused(tmp_path: Path) -> None:
    state = {k: (v * 99).to(torch.int8) for k, v in source().state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"are quantised, .*: conv1.weight is torch.int8"):
        built(tmp_path / "w.pth")


# What lies behind the layer.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": 365}, "of another shape: fc.weight is (365, 8), not (10, 8)"),
        ({}, "absent: fc.weight, fc.bias"),
    ],
)
def test_the_head_need_not_fit(
    change: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = source(**change).state_dict()
    kept = state if change else {k: v for k, v in state.items() if not k.startswith("fc.")}
    torch.save(kept, tmp_path / "w.pth")
    backbone = built(tmp_path / "w.pth")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert f"'{tmp_path}/w.pth' do not match mine behind layer layer2" in caplog.text
    assert said in caplog.text
    # Nothing that depends on the head can be read without a word.
    assert backbone.network.get_parameter("fc.weight").isnan().all()
    assert not backbone(images()).isnan().any()


@pytest.mark.parametrize("layer", ["conv1", "bn1", "layer1", "layer1.0", "layer2", "layer2.1"])
@pytest.mark.parametrize("part", ["conv1.", "bn1.", "layer1.", "layer2.", "fc."])
@pytest.mark.parametrize("how", ["absent", "misshapen", "extra"])
def test_a_part_must_fit_only_where_the_layer_needs_it(
    how: str, part: str, layer: str, tmp_path: Path
) -> None:
    order = ["conv1.", "bn1.", "layer1.", "layer2.", "fc."]
    state = dict(source().state_dict())
    for name in [n for n in state if n.startswith(part) and not n.endswith("tracked")]:
        match how:
            case "absent":
                del state[name]
            case "misshapen":
                state[name] = torch.cat([state[name], state[name]])
            case _:
                state[f"{part}more.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    inner = layer.removesuffix(".0").removesuffix(".1")
    # Inside a part, what it has not begun comes later: layer2.more is behind layer2.0.
    later = how == "extra" and inner != layer and inner == part[:-1]
    if order.index(part) > order.index(f"{inner}.") or later:
        built(tmp_path / "w.pth", layer)
    else:
        with pytest.raises(BackboneError, match=f"layer '{layer}' needs it: .*{part}"):
            built(tmp_path / "w.pth", layer)


def test_every_layer_of_a_run_is_asked(tmp_path: Path) -> None:
    state = {k: v for k, v in source().state_dict().items() if not k.startswith("layer2.")}
    torch.save(state, tmp_path / "w.pth")
    plain = {
        "name": "mine", "_target_": "support.checkpoints.Small", "kwargs": {}, "scaling": "unit",
        "weights": str(tmp_path / "w.pth"), "seed": 0,
    }  # fmt: skip
    NetworkSpec(plain).freeze(["conv1", "layer1"], SIZE)
    for layers in (["conv1", "layer2"], ["layer2", "conv1"], ["all"]):
        with pytest.raises(BackboneError, match=r"'layer2' needs it: absent: layer2.0.weight"):
            NetworkSpec(plain).freeze(layers, SIZE)


class Functional(nn.Module):
    """A network that uses the weights of modules which it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.scale = nn.Linear(8, 8)
        self.out = nn.Conv2d(8, 8, 1)
        self.auxiliary = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.stem(images)
        tokens = maps.flatten(2).transpose(1, 2)
        mixed = self.mix(tokens, tokens, tokens)[0] @ self.scale.weight
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(maps.shape))
        return out


@pytest.mark.parametrize("name", ["mix.out_proj.weight", "scale.weight", "mix.in_proj_bias"])
def test_weights_of_modules_that_are_never_called_count_too(name: str, tmp_path: Path) -> None:
    state = {k: v for k, v in Functional().state_dict().items() if k != name}
    torch.save(state, tmp_path / "w.pth")
    given: dict[str, Any] = {
        "name": "mine", "target": f"{__name__}.Functional", "image_size": SIZE,
        "weights": str(tmp_path / "w.pth"),
    }  # fmt: skip
    with pytest.raises(BackboneError, match=f"needs it: absent: {name}"):
        build_backbone(layer="out", **given)
    assert build_backbone(layer="stem", **given).shape == (8, 8, 8)


def test_a_classifier_that_only_training_uses_may_be_absent(tmp_path: Path) -> None:
    state = {k: v for k, v in Functional().state_dict().items() if "auxiliary" not in k}
    torch.save(state, tmp_path / "w.pth")
    build_backbone(
        name="mine", target=f"{__name__}.Functional", layer="out", image_size=SIZE,
        weights=str(tmp_path / "w.pth"),
    )  # fmt: skip


class Tied(Small):
    """A network with one convolution under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.conv1


def test_an_entry_that_shares_its_memory_with_another_may_be_absent(tmp_path: Path) -> None:
    safetensors.torch.save_model(source(Tied), str(tmp_path / "w.safetensors"))
    network = source(Tied)
    backbone = build_backbone(
        name="mine", target=f"{__name__}.Tied", layer="layer2", image_size=SIZE,
        weights=str(tmp_path / "w.safetensors"),
    )  # fmt: skip
    assert isinstance(network, Small)
    torch.testing.assert_close(backbone(images()), expected(network), rtol=1e-5, atol=1e-6)


# Networks whose entries are no plain tensors.


class Scaled(Small):
    """A network with a state that is no tensor."""

    factor = 1.0

    def get_extra_state(self) -> dict[str, float]:
        return {"factor": self.factor}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.factor = state["factor"]


class Lazy(nn.Sequential):
    """A network whose layers take their shapes from the first image."""

    def __init__(self) -> None:
        super().__init__(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))


def test_a_state_that_is_no_tensor_is_loaded(tmp_path: Path) -> None:
    network = source(Scaled)
    assert isinstance(network, Scaled)
    network.factor = 2.5
    torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
    backbone = build_backbone(
        name="mine", target=f"{__name__}.Scaled", layer="layer2", image_size=SIZE,
        weights=str(tmp_path / "w.pth"),
    )  # fmt: skip
    assert backbone.network.factor == 2.5


def test_lazy_layers_take_their_shapes_from_the_weights_or_from_an_image(tmp_path: Path) -> None:
    given: dict[str, Any] = {"target": f"{__name__}.Lazy", "layer": "1", "image_size": SIZE}
    state = torch.random.get_rng_state()
    first, second, other = (
        build_backbone(name="mine", seed=seed, **given).digest for seed in (1, 1, 2)
    )
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)
    filled = Lazy()
    filled(torch.zeros(1, 3, *SIZE))
    torch.save(filled.state_dict(), tmp_path / "w.pth")
    backbone = build_backbone(name="mine", weights=str(tmp_path / "w.pth"), **given)
    weight = backbone.network.get_parameter("0.weight")
    assert torch.equal(weight, filled.get_parameter("0.weight"))


def quantised() -> nn.Module:
    """Return a network whose head is dynamically quantised."""
    quantise: Any = torch.ao.quantization.quantize_dynamic
    network: nn.Module = quantise(source(), {nn.Linear}, torch.qint8)
    return network


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
def test_a_dynamically_quantised_head_is_loaded(tmp_path: Path) -> None:
    torch.save(quantised().state_dict(), tmp_path / "w.pth")
    backbone = build_backbone(
        name="mine", target=f"{__name__}.quantised", layer="layer2", image_size=SIZE,
        weights=str(tmp_path / "w.pth"),
    )  # fmt: skip
    network = source()
    assert isinstance(network, Small)
    torch.testing.assert_close(backbone(images()), expected(network), rtol=1e-5, atol=1e-6)
    assert len(backbone.digest) == 32


def test_a_network_that_refuses_the_file_itself_says_so(tmp_path: Path) -> None:
    torch.save(source().state_dict(), tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"cannot be loaded into mine: this is not for me"):
        build_backbone(
            name="mine", target=f"{__name__}.Picky", layer="layer2", image_size=SIZE,
            weights=str(tmp_path / "w.pth"),
        )  # fmt: skip


class Picky(Small):
    """A network that loads nothing."""

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        raise ValueError("this is\n not for me")


def test_prefixes_of_copies_come_second() -> None:
    own = source().state_dict()
    for copied in ("student.", "ema.", "model_ema.", "encoder_k."):
        assert find_state(under("other.", copied)(source()), own).prefix == "other."


@pytest.mark.parametrize("name", ["reg_token", "layer2.gamma"])
def test_entries_of_the_modules_around_the_layer_count_too(name: str, tmp_path: Path) -> None:
    torch.save({**source().state_dict(), name: torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(
        BackboneError, match=f"layer 'layer2.0' needs it: not in the network: {name}"
    ):
        built(tmp_path / "w.pth", "layer2.0")
