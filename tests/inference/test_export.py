"""A bank in other forms: each says what the bank says."""

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from captum.concept import TCAV
from support import oracles
from support.cli import read_table, run_cli
from support.small_networks import Tower
from support.token_networks import TinySwin, TinyViT
from torch import Tensor, nn

import net2vec_pl
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.backbones.shapesvit import ShapesViT
from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.datasets.images.any_image import read_any_image
from net2vec_pl.errors import BackboneError, ConfigError
from net2vec_pl.functional.resize import enlarger
from net2vec_pl.inference import Bank
from net2vec_pl.probes import BankFile
from net2vec_pl.protocol import Protocol
from net2vec_pl.units import Units, units_from

RunOf = Callable[[str], Path]
SIZE, MASK = (32, 40), (17, 23)


def made_up(
    layer: str,
    network: nn.Module | None = None,
    *,
    target: str = "segmentation",
    units: Units | None = None,
    **options: Any,
) -> Bank:
    """Make a bank of five concepts on a layer of a small network."""
    network = Tower() if network is None else network
    scaling = InputScaling.named("torchvision")
    backbone = FrozenBackbone(network, layer, scaling, SIZE, vectors=target == "classification")
    units = Units() if units is None else units
    backbone = backbone.with_units(units)
    random = torch.Generator().manual_seed(1)
    filters = backbone.shape[0]
    noise = torch.randint(0, 256, (8, 3, *SIZE), dtype=torch.uint8, generator=random)
    answers = backbone(noise).transpose(0, 1).flatten(1)
    protocol = Protocol(**options)
    names = ["sky", "traffic light", "a, b", '"quoted"', "ünïcode"]
    concepts = [Concept(3 * i + 1, n, "object", ("object",), True) for i, n in enumerate(names)]
    file = BankFile(
        weight=torch.randn(5, filters, generator=random),
        threshold=answers.quantile(0.8, dim=1),
        alpha=torch.full((5,), 0.5),
        bias=torch.randn(5, generator=random) if protocol.bias else None,
        vocabulary=Vocabulary(concepts),
        header={
            "model": {"name": "tower", "weights": None},
            "layer": layer,
            "module_path": backbone.module_path,
            "activation_shape": list(backbone.shape),
            "weights_digest": backbone.digest,
            "input_transform": {
                "name": scaling.name,
                "mean": list(scaling.mean),
                "std": list(scaling.std),
                "image_size": list(SIZE),
            },
            "protocol": protocol.plain(),
            "data": {"mask_size": list(MASK)},
            "target": target,
        },
        scale=answers.std(dim=1) if protocol.input != "bits" else None,
        units=units,
    )
    return Bank(file, network=network)


KINDS: dict[str, dict[str, Any]] = {
    "bits": {},
    "raw": {"input": "raw", "align_corners": False},
    "root": {"input": "root", "bias": True},
}


def pixels(count: int, seed: int = 2) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8, generator=random)


def reads(bank: Bank, activation: Tensor) -> Tensor:
    """Return what the bank combines, as the docstring of ``to_conv2d`` has it."""
    return {
        "bits": (activation > bank.file.threshold[:, None, None]).float(),
        "raw": activation,
        "root": activation.abs().sqrt().copysign(activation),
    }[bank.protocol.input]


# -------------------- a convolution


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_convolution_says_what_the_bank_says(kind: str) -> None:
    bank, images = made_up("norm", **KINDS[kind]), pixels(4)
    combined = reads(bank, bank.backbone(images))
    conv = bank.to_conv2d()
    assert type(conv) is nn.Conv2d
    torch.testing.assert_close(conv(combined), bank.logits(images), rtol=0, atol=1e-5)
    some = ["ünïcode", "sky"]
    torch.testing.assert_close(
        bank.to_conv2d(some)(combined), bank.logits(images, some), rtol=0, atol=1e-5
    )


def test_making_a_convolution_draws_no_random_number() -> None:
    bank, before = made_up("norm"), torch.random.get_rng_state()
    bank.to_conv2d()
    assert torch.equal(torch.random.get_rng_state(), before)


@torch.no_grad()
def test_a_filter_that_never_varied_says_nothing() -> None:
    bank = made_up("norm", input="raw")
    assert bank.file.scale is not None
    scale = bank.file.scale.clone()
    scale[2] = 0
    dead = Bank(replace(bank.file, scale=scale), network=bank.backbone.network)
    conv = dead.to_conv2d()
    assert (conv.weight[:, 2] == 0).all()
    images = pixels(2)
    torch.testing.assert_close(conv(dead.backbone(images)), dead.logits(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_convolution_of_a_run_agrees_with_its_bank(run_of: RunOf, photos: list[Path]) -> None:
    for name in ("bits", "best", "raw, random weights"):
        bank = net2vec_pl.load_bank(run_of(name))
        stacked = torch.stack([read_any_image(p) for p in photos])
        given = bank.to_conv2d()(reads(bank, bank.backbone(stacked)))
        torch.testing.assert_close(given, bank.logits(stacked), rtol=0, atol=1e-4)


# -------------------- ONNX


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def answers(path: Path, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits, and the activation, which is what the first node behind the network reads."""
    model = onnx.load(path)
    node = next(n for n in model.graph.node if n.op_type in ("Greater", "Sign"))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.input[0]))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    logits, activation = session.run(None, {"images": images.numpy()})
    return torch.from_numpy(logits), torch.from_numpy(activation)


@pytest.mark.parametrize("network", [TinyViT(prefix=3), TinySwin(), ShapesViT()])
@pytest.mark.parametrize("target", ["segmentation", "classification"])
@torch.no_grad()
def test_a_model_lays_out_tokens_and_filters_that_come_last(
    network: nn.Module, target: str, tmp_path: Path
) -> None:
    bank = made_up("block.1", network, target=target, input="raw", align_corners=False)
    path, images = tmp_path / "bank.onnx", pixels(5)
    bank.to_onnx(path)
    (found,) = session_of(path).run(None, {"images": images.numpy()})
    laid_out, conv = bank.backbone(images), bank.to_conv2d()
    expected = (
        conv(laid_out.mean((2, 3), keepdim=True)).flatten(1)
        if target == "classification"
        else enlarger(bank.backbone.shape[1:], MASK, align_corners=False)(conv(laid_out))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def some_units(name: str, filters: int) -> Units:
    """Return units of a layer of so many filters."""
    random = torch.Generator().manual_seed(4)
    if name == "nmf":
        dictionary = torch.rand(7, filters, generator=random)
        rows = nn.functional.normalize(dictionary, dim=1)
        return units_from({"name": name}, {"dictionary": rows})
    weight = torch.randn(9, filters, generator=random)
    if name == "rotation":
        return units_from({"name": name}, {"weight": weight})
    plain = {"name": "sae", "file": "a.safetensors", "activation": name, "k": 3}
    tensors = {"bias": torch.randn(9, generator=random), "threshold": torch.full((9,), 0.1)}
    return units_from(plain, {"weight": weight, **tensors})


@pytest.mark.parametrize("name", ["rotation", "nmf", "topk", "jumprelu"])
@torch.no_grad()
def test_a_model_reads_units(name: str, tmp_path: Path) -> None:
    filters = made_up("norm").file.weight.shape[1]
    units = some_units(name, filters)
    bank = made_up("norm", units=units, input="raw")
    path, images = tmp_path / "bank.onnx", pixels(4)
    bank.to_onnx(path)
    (found,) = session_of(path).run(None, {"images": images.numpy()})
    logits = enlarged(bank, bank.logits(images))
    assert logits.abs().amax() > 0.1
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4 * float(logits.abs().amax()))
    read = units(made_up("norm").backbone(images))
    torch.testing.assert_close(bank.backbone(images), read, rtol=0, atol=1e-5)
    torch.testing.assert_close(bank.to_conv2d()(read), bank.logits(images), rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="a CAV is a direction over filters"):
        bank.to_cavs()


def enlarged(bank: Bank, logits: Tensor) -> Tensor:
    corners = bank.protocol.align_corners
    return enlarger(bank.backbone.shape[1:], bank.mask_size, align_corners=corners)(logits)


def assert_agrees(bank: Bank, path: Path, images: Tensor) -> tuple[int, float]:
    """Compare a file with its bank on images; return how many bits turned, and how far off.

    Every bit that turned must lie within rounding of its threshold, and logits agree wherever none
    is near.
    """
    logits, activation = answers(path, images)
    own = bank.backbone(images)
    torch.testing.assert_close(activation, own, rtol=0, atol=2e-5 * float(own.abs().amax()))
    threshold = bank.file.threshold[:, None, None]
    turned = (activation > threshold) != (own > threshold)
    distance = float((own - threshold).abs()[turned].amax()) if turned.any() else 0.0
    assert distance <= 2e-5 * float(own.abs().amax())
    touched = enlarged(bank, turned.any(1, keepdim=True).float()) > 0
    wanted = enlarged(bank, bank.logits(images))
    off = ((logits - wanted).abs() * ~touched).amax()
    assert float(off) <= 1e-4
    masks = bank.segment(images)
    sure = ~touched & (wanted.abs() > 1e-4)
    assert torch.equal((logits > 0) & sure, masks & sure)
    return int(turned.sum()), distance


@pytest.mark.parametrize(
    ("layer", "kind"),
    # second: before an in-place ReLU; relu: the second time it runs.
    [("second", "bits"), ("relu", "bits"), ("norm", "raw"), ("norm", "root")],
)
def test_the_onnx_model_says_what_the_bank_says(layer: str, kind: str, tmp_path: Path) -> None:
    bank, path = made_up(layer, **KINDS[kind]), tmp_path / "bank.onnx"
    bank.to_onnx(path)
    assert [p.name for p in tmp_path.iterdir()] == ["bank.onnx"]
    session = session_of(path)
    for count in (1, 2, 5):
        images = pixels(count, seed=count)
        (given,) = session.run(None, {"images": images.numpy()})
        assert given.shape == (count, 5, *MASK)
        wanted = enlarged(bank, bank.logits(images))
        torch.testing.assert_close(torch.from_numpy(given), wanted, rtol=0, atol=1e-4)


def test_the_onnx_model_of_classifiers_says_what_they_say(tmp_path: Path) -> None:
    for layer in ("norm", "head"):
        bank = made_up(layer, target="classification", input="raw", bias=True)
        bank = Bank(replace(bank.file, scale=None), network=bank.backbone.network)
        path = tmp_path / f"{layer}.onnx"
        bank.to_onnx(path, ["sky", "a, b"])
        images = pixels(3)
        (given,) = session_of(path).run(None, {"images": images.numpy()})
        wanted = bank.score(images, ["sky", "a, b"])
        torch.testing.assert_close(torch.from_numpy(given).sigmoid(), wanted, rtol=0, atol=1e-5)
        told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert told["target"] == "classification"


def test_the_onnx_model_tells_what_it_is_and_nothing_of_the_machine(tmp_path: Path) -> None:
    bank, path = made_up("relu"), tmp_path / "bank.onnx"
    bank.to_onnx(path, ["ünïcode", "traffic light"], size=(8, 9))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["concepts"]) == ["ünïcode", "traffic light"]
    assert told["weights_digest"] == bank.header["weights_digest"]
    assert told == {
        "format": "net2vec_pl concept bank 1",
        "target": "segmentation",
        "model": "tower",
        "layer": "relu",
        "weights_digest": bank.header["weights_digest"],
        "image_size": json.dumps(list(SIZE)),
        "concepts": told["concepts"],
    }
    (images,), (logits,) = model.graph.input, model.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (images, logits)
    ]
    assert shapes == [["N", 3, *SIZE], ["N", 2, 8, 9]]
    content = path.read_bytes()
    assert str(Path(net2vec_pl.__file__).parent).encode() not in content
    assert b"site-packages" not in content
    assert not [n for n in model.graph.node if n.op_type in ("Gemm", "ReduceMean")]  # no head


class Stubborn(Tower):
    """Its head asks numbers of its input, which no tracer follows."""

    def forward(self, image: Tensor) -> Tensor:
        scores = super().forward(image)
        return scores * 2 if float(scores.sum()) > 0 else scores


def test_a_network_that_cannot_be_traced_ends_in_a_message(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="the network cannot be written as ONNX: "):
        made_up("relu", Stubborn()).to_onnx(tmp_path / "bank.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(onnxruntime.InferenceSession):  # type: ignore[misc]
        def run(self, *arguments: Any) -> list[Any]:
            logits, activation = super().run(*arguments)
            return [logits + 1e-2, activation]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(BackboneError, match="another logits comes from onnxruntime"):
        made_up("relu").to_onnx(tmp_path / "bank.onnx")
    assert not list(tmp_path.iterdir())


def test_an_onnx_model_needs_a_concept(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one concept"):
        made_up("relu").to_onnx(tmp_path / "bank.onnx", [])


@pytest.mark.parametrize(
    ("package", "extra"), [("onnx", "onnx"), ("onnxscript", "onnx"), ("captum.concept", "captum")]
)
def test_absent_packages_are_named_with_what_brings_them(
    package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    bank = made_up("relu")
    with pytest.raises(ConfigError, match=rf"pip install 'net2vec_pl\[{extra}\]'"):
        bank.to_cavs() if extra == "captum" else bank.to_onnx(tmp_path / "bank.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["paper", "best"])
def test_on_photographs_the_onnx_model_of_a_real_network_agrees(
    protocol: str, shared: Path, tmp_path: Path
) -> None:
    camvid = (shared / "data" / "camvid_broden_224").resolve()
    weights = (shared / "weights" / "mobilenet_v2_imagenet_plain_fp16.pth").resolve()
    with pytest.MonkeyPatch.context() as patch:
        arguments = [
            "data=broden", f"data.root={camvid}", "model=mobilenet_v2", f"model.weights={weights}",
            "layer=features.14.conv.0", f"protocol={protocol}", "protocol.epochs=2", "trainer=cpu",
            "analysis=none", "callbacks.progress=false", "run.dir=out",
        ]  # fmt: skip
        assert run_cli(patch, tmp_path, *arguments) == 0
    bank, path = net2vec_pl.load_bank(tmp_path / "out"), tmp_path / "bank.onnx"
    bank.to_onnx(path)
    photos = [row["path"] for row in oracles.read_broden(camvid)["rows"]][:96]
    turned = 0
    for start in range(0, len(photos), 8):
        images = torch.stack([read_any_image(photo) for photo in photos[start : start + 8]])
        if protocol == "paper":
            turned += assert_agrees(bank, path, images)[0]
            continue
        # A root has no bound to its slope at zero: the same activations are needed for the same.
        logits, activation = answers(path, images)
        torch.testing.assert_close(activation, bank.backbone(images), rtol=0, atol=1e-4)
        with torch.no_grad():
            wanted = enlarged(bank, bank.to_conv2d()(reads(bank, activation)))
        torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-4)
        direct = enlarged(bank, bank.logits(images))
        assert float((logits - direct).abs().amax() / direct.abs().amax()) < 1e-4
    assert turned < 1e-6 * len(photos) * np.prod(bank.backbone.shape)


# -------------------- captum


def test_tcav_scores_are_the_slope_of_the_output_along_the_embedding(tmp_path: Path) -> None:
    network = Tower().eval()
    network.relu.inplace = False  # captum takes what stands there in the end
    bank = made_up("norm", network, input="raw")
    cavs = bank.to_cavs(["a, b", "sky"])
    assert list(cavs) == ["a, b", "sky"]
    images = (pixels(6).float() / 255).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a classifier that nobody trains here
        tcav = TCAV(network, "norm", save_path=str(tmp_path))
    for name, cav in cavs.items():
        (concept,) = cav.concepts
        assert (concept.name, cav.layer) == (name, "norm")
        tcav.cavs[str(concept.id)][cav.layer] = cav
        scores = tcav.interpret(images, [cav.concepts], target=3)[str(concept.id)]["norm"]
        slopes = slopes_along(bank, network, images, name, target=3)
        torch.testing.assert_close(scores["magnitude"], slopes.mean()[None], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(scores["sign_count"], (slopes > 0).float().mean()[None])


def slopes_along(bank: Bank, network: nn.Module, images: Tensor, name: str, target: int) -> Tensor:
    """Return each image's slope of an output along the gradient of a concept's mean logit."""
    kept: list[Tensor] = []
    module = network.get_submodule(bank.header["module_path"])
    with module.register_forward_hook(lambda _m, _i, output: kept.append(output)):
        output = network(images)[:, target]
    (of_output,) = torch.autograd.grad(output.sum(), kept[0])
    activation = kept[0].detach().requires_grad_()
    assert bank.file.scale is not None
    scaled = activation / bank.file.scale[:, None, None]
    mean_logit = torch.einsum("nkhw,k->nhw", scaled, bank[name]).mean((1, 2))
    (of_logit,) = torch.autograd.grad(mean_logit.sum(), activation)
    return (of_output * of_logit).sum((1, 2, 3))


def test_the_cav_of_bits_is_the_embedding_at_every_position() -> None:
    bank = made_up("norm")
    k, h, w = bank.backbone.shape
    vector = bank.to_cavs(["sky"])["sky"].stats["weights"].view(k, h, w)
    torch.testing.assert_close(vector.sum((1, 2)), bank["sky"])
    assert torch.equal(vector, vector[:, :1, :1].expand(k, h, w))


# -------------------- tables


def test_the_numpy_file_holds_all_without_pickle(tmp_path: Path) -> None:
    for kind, options in KINDS.items():
        bank, path = made_up("norm", **options), tmp_path / f"{kind}.bank"
        bank.to_numpy(path)
        with np.load(path, allow_pickle=False) as held:
            assert list(held["names"]) == bank.names
            assert set(held["categories"]) == {"object"}
            assert json.loads(str(held["header"])) == bank.header
            for name in ("weight", "threshold", "bias", "scale"):
                tensor = getattr(bank.file, name)
                assert (name in held) == (tensor is not None)
                if tensor is not None:
                    np.testing.assert_array_equal(held[name], tensor.numpy())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bits.bank", "raw.bank", "root.bank"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_reads_back_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    bank, path = made_up("norm", **KINDS[kind]), tmp_path / "bank.csv"
    bank.to_csv(path)
    rows = read_table(path)
    assert [row["name"] for row in rows] == bank.names
    assert [int(row["id"]) for row in rows] == bank.vocabulary.numbers.tolist()
    weight = np.array([[row[f"filter_{k}"] for k in range(12)] for row in rows], np.float32)
    np.testing.assert_array_equal(weight, bank.file.weight.numpy())
    assert ("bias" in rows[0]) == (bank.file.bias is not None)
    if bank.file.bias is not None:
        bias = np.array([row["bias"] for row in rows], np.float32)
        np.testing.assert_array_equal(bias, bank.file.bias.numpy())
