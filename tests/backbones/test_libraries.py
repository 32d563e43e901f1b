"""Networks of timm and Hugging Face by name: as the libraries themselves build and fill them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.hub_server import Hub, Repo, hub_server
from torch import Tensor, nn

from net2vec_pl.backbones import FrozenBackbone, InputScaling, NetworkSpec
from net2vec_pl.backbones.libraries import library_network
from net2vec_pl.errors import BackboneError

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

DINO = "vit_small_patch14_dinov2.lvd142m"
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
WIDE = {**SMALL, "intermediate_size": 64}
TEXT = {**WIDE, "vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
SIDE = 64  # for which the small networks are made


def spec_of(name: str, weights: str | None = None, **plain: Any) -> NetworkSpec:
    given = {"name": name, "weights": weights, "seed": 0, "scaling": "own", "default_layer": None}
    return NetworkSpec({**given, **plain})


def frozen(
    name: str, weights: str | None = None, side: int = SIDE, layer: str | None = None, **plain: Any
) -> FrozenBackbone:
    return spec_of(name, weights, **plain).freeze([layer], (side, side))[0]


def refusal(name: str, weights: str | None = None, size: tuple[int, int] = (SIDE, SIDE)) -> str:
    with pytest.raises(BackboneError) as caught:
        spec_of(name, weights).freeze([None], size)
    return str(caught.value)


def images(side: int = SIDE) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=random)


def scaled(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (pixels / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


# -------------------- timm


@pytest.mark.parametrize(
    ("name", "size"), [("vit_tiny_patch16_224", 96), ("swin_tiny_patch4_window7_224", 96)]
)
@torch.no_grad()
def test_a_file_of_another_size_is_fitted_as_timm_fits_it(
    name: str, size: int, tmp_path: Path
) -> None:
    file = tmp_path / "w.pth"
    torch.manual_seed(1)
    theirs = timm.create_model(name)
    state = {"model": {f"module.{key}": value for key, value in theirs.state_dict().items()}}
    torch.save(state, file)
    config = timm.get_pretrained_cfg(name)

    smaller = timm.create_model(name, img_size=size).eval()
    adapt = sys.modules[type(smaller).__module__].checkpoint_filter_fn
    smaller.load_state_dict(adapt(theirs.state_dict(), smaller))
    expected = smaller.forward_features(scaled(images(size), config.mean, config.std))

    backbone = frozen(f"timm/{name}", str(file), side=size)
    found = backbone(images(size))
    maps = expected[:, 1:].mT.unflatten(2, found.shape[2:]) if "vit" in name else expected
    maps = maps if "vit" in name else maps.permute(0, 3, 1, 2)
    torch.testing.assert_close(found, maps, rtol=1e-3, atol=1e-3)
    assert backbone.layer == "norm"


@pytest.mark.parametrize("by", ["name", "import path"])
@torch.no_grad()
def test_the_dinov2_for_518_pixels_reads_224_as_timm_does(by: str, shared: Path) -> None:
    from safetensors.torch import load_file

    file = shared / "weights" / "dinov2_vits14_timm_fp16.safetensors"
    if by == "name":
        backbone = frozen(f"timm/{DINO}", str(file), side=224)
    else:
        kwargs = {"model_name": DINO, "img_size": 224}
        plain = {"_target_": "timm.create_model", "kwargs": kwargs, "scaling": "torchvision"}
        backbone = spec_of("mine", str(file), **plain).freeze([None], (224, 224))[0]
    live = timm.create_model(DINO, img_size=224).eval()
    adapt = sys.modules[type(live).__module__].checkpoint_filter_fn
    live.load_state_dict(adapt({k: v.float() for k, v in load_file(file).items()}, live))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = live.forward_features(scaled(images(224), mean, std))[:, 1:]
    found = backbone(images(224))
    assert backbone.shape == (384, 16, 16)
    error = (found - expected.mT.unflatten(2, (16, 16))).abs().max()
    assert error < 1e-3 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "scaling"),
    [
        ("vit_small_patch16_224", {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}),
        (DINO, "torchvision"),
        (
            "vit_base_patch32_clip_224.openai",
            {
                "mean": [0.48145466, 0.4578275, 0.40821073],
                "std": [0.26862954, 0.26130258, 0.27577711],
            },
        ),
    ],
)
def test_the_input_is_scaled_as_timm_says_whatever_the_weights(name: str, scaling: object) -> None:
    for weights in (None, "mine.pth", "DEFAULT"):
        spec = spec_of(f"timm/{name}", weights)
        assert spec.plain["scaling"] == scaling
        assert spec.plain["name"] == f"timm/{name}"
    assert spec_of(f"timm/{name}", scaling="unit").plain["scaling"] == "unit"


def test_convolutional_networks_of_timm_take_any_size_and_further_arguments() -> None:
    backbone = frozen("timm/resnet18", side=100, kwargs={"output_stride": 16})
    assert backbone.shape == (512, 7, 7)
    assert backbone.layer == "layer4"


def test_patches_that_overlap_take_any_size() -> None:
    assert frozen("timm/pvt_v2_b0", side=96).shape == (256, 3, 3)  # patches of 7 pixels, every 4


def test_random_weights_are_those_of_the_seed() -> None:
    one = frozen("timm/vit_tiny_patch16_224", side=32)
    again, other = (frozen("timm/vit_tiny_patch16_224", side=32, seed=seed) for seed in (0, 1))
    assert one.digest == again.digest != other.digest


def test_a_network_that_gets_another_size_than_its_own_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="net2vec_pl")
    said = "timm/vit_tiny_patch16_224 is made for images of 224 x 224; these are 96 x 96"
    spec_of("timm/vit_tiny_patch16_224").build((96, 96))
    assert said in caplog.messages
    caplog.clear()
    spec_of("timm/vit_tiny_patch16_224").build((224, 224))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((224, 230), "224 x 224 and 224 x 238"),
        ((100, 115), "98 x 112 and 112 x 126"),
        ((8, 20), "14 x 14 and 14 x 28"),
    ],
)
def test_images_that_patches_do_not_cover_are_refused(size: tuple[int, int], nearest: str) -> None:
    assert refusal(f"timm/{DINO}", size=size) == (
        f"timm/{DINO} cannot take images of {size[0]} x {size[1]}, for its patches are 14 x 14. "
        f"The nearest sizes are {nearest}; it is made for 518 x 518. Use a dataset of such a size."
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "timm/vit_smal_patch14_dinov2",
            "unknown network of timm 'vit_smal_patch14_dinov2'. Did you mean "
            "'vit_small_patch14_dinov2'",
        ),
        (
            "timm/vit_small_patch14_dinov2.lvd142",
            "unknown tag of timm/vit_small_patch14_dinov2 'lvd142'. Did you mean 'lvd142m'? "
            "Known: lvd142m.",
        ),
    ],
)
def test_an_unknown_name_or_tag_of_timm_lists_the_near_ones(name: str, said: str) -> None:
    assert refusal(name).startswith(said)


def test_a_wrong_argument_or_unknown_weights_end_in_one_message() -> None:
    with pytest.raises(BackboneError, match=r"^timm/resnet18 cannot be built \(.*wdith.*\)\.$"):
        spec_of("timm/resnet18", kwargs={"wdith": 3}).build((64, 64))
    assert refusal("timm/resnet18", "IMAGENET").startswith(
        "model.weights=IMAGENET: timm/resnet18 has no named weights"
    )


def test_weights_of_timm_that_cannot_be_had_end_in_one_message(hub: Hub) -> None:
    said = refusal("timm/resnet18.a1_in1k", "DEFAULT")
    assert said.startswith("timm/resnet18.a1_in1k cannot be built (")
    assert "Give a file: model.weights=FILE. model.weights=null probes" in said
    there = library_network("timm/resnet18.a1_in1k")
    assert there is not None
    assert there.to_download == "timm/resnet18.a1_in1k from the Hugging Face Hub"


# -------------------- Hugging Face


def small(kind: str) -> Any:
    """Return a network of transformers that is made for images of 64 pixels."""
    t, at = transformers, {"image_size": SIDE, "patch_size": 16}
    both: dict[str, Any] = {"text_config": TEXT, "vision_config": {**WIDE, **at}}
    torch.manual_seed(0)
    match kind:
        case "Dinov2":
            return t.Dinov2Model(t.Dinov2Config(**SMALL, **at))
        case "ViT":
            return t.ViTForImageClassification(t.ViTConfig(**WIDE, **at))
        case "CLIP":
            return t.CLIPModel(t.CLIPConfig(**both, projection_dim=16))
        case "SigLIP":
            return t.SiglipModel(t.SiglipConfig(**both))
        case "Swin":
            swin = {"embed_dim": 12, "depths": [1, 1, 1], "num_heads": [1, 2, 4]}
            return t.SwinModel(t.SwinConfig(**swin, image_size=SIDE, window_size=4))
        case "ConvNext":
            sizes = {"hidden_sizes": [8, 16, 32], "depths": [1, 1, 1], "num_stages": 3}
            return t.ConvNextModel(t.ConvNextConfig(**sizes, image_size=SIDE))
    return t.BertModel(t.BertConfig(**TEXT))


def saved(kind: str, folder: Path) -> Any:
    """Save a network and its image processor into a folder, and return the network."""
    network = small(kind).eval()
    with torch.no_grad():  # as drawn they are all zero, and no size could be told from another
        for name, value in network.named_parameters():
            if "position_embedding" in name:
                value.normal_()
    network.save_pretrained(folder)
    transformers.ViTImageProcessor(image_mean=[0.4] * 3, image_std=[0.2] * 3).save_pretrained(
        folder
    )
    return network


def tower(network: Any) -> Any:
    """Return the part of a network that takes images."""
    for name in ("vision_model", "vit"):
        network = getattr(network, name, network)
    return network


KINDS = {
    "Dinov2": (("layernorm", (32, 6, 6)), 1),
    "ViT": (("layernorm", (32, 6, 6)), 1),
    "CLIP": (("encoder.layers.2", (32, 6, 6)), 1),
    "SigLIP": (("post_layernorm", (32, 6, 6)), 0),
    "Swin": (("layernorm", (48, 6, 6)), 0),
    "ConvNext": (("encoder.stages.2", (32, 6, 6)), 0),
}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_folder_of_hugging_face_answers_as_transformers_does_at_another_size(
    kind: str, tmp_path: Path
) -> None:
    theirs = tower(saved(kind, tmp_path))
    (layer, shape), prefix = KINDS[kind]
    pixels = scaled(images(96), (0.4,) * 3, (0.2,) * 3)
    sizes = {} if kind in ("Dinov2", "ConvNext") else {"interpolate_pos_encoding": True}
    told = theirs(pixels, output_hidden_states=kind == "CLIP", **sizes)
    expected = told.hidden_states[-1] if kind == "CLIP" else told.last_hidden_state
    if expected.dim() == 3:
        expected = expected[:, prefix:].mT.unflatten(2, (6, 6))

    for weights in ("DEFAULT", str(tmp_path / "model.safetensors")):
        backbone = frozen(f"hf/{tmp_path}", weights, side=96)
        path = backbone.layer.removeprefix("vision_model.")  # before transformers 5
        assert (path, backbone.shape) == (layer, shape)
        torch.testing.assert_close(backbone(images(96)), expected, rtol=1e-4, atol=1e-4)
    assert frozen(f"hf/{tmp_path}", side=96).shape == shape
    assert backbone.scaling == InputScaling("custom", (0.4,) * 3, (0.2,) * 3)


def test_blocks_are_named_and_weights_stay_the_same_however_often_they_are_read(
    tmp_path: Path,
) -> None:
    saved("ViT", tmp_path)  # a file without the pooler, which is drawn
    one, other = (frozen(f"hf/{tmp_path}", "DEFAULT", layer="block.1", seed=s) for s in (0, 1))
    assert one.shape == (32, 4, 4)
    assert one.digest == other.digest


def test_what_hugging_face_lacks_of_a_layer_is_refused(tmp_path: Path) -> None:
    network = small("Dinov2")
    state = {k: v for k, v in network.state_dict().items() if "layer.1.norm1" not in k}
    network.save_pretrained(tmp_path, state_dict=state)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    file = str(tmp_path / "model.safetensors")
    for weights, what in (("DEFAULT", "weights"), (file, f"weights '{file}'")):
        said = refusal(f"hf/{tmp_path}", weights)
        assert said.startswith(f"{what} do not match hf/{tmp_path}, and layer 'layernorm' needs it")
        assert "absent: encoder.layer.1.norm1." in said
    assert frozen(f"hf/{tmp_path}", "DEFAULT", layer="block.0").shape == (32, 4, 4)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants, file_download

    with hub_server() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        for module in (constants, file_download):  # older releases keep a copy
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        cache, copy = str(tmp_path / "cache"), transformers.utils.hub  # before transformers 5
        monkeypatch.setattr(constants, "HF_HUB_CACHE", cache)
        monkeypatch.setattr(copy, "TRANSFORMERS_CACHE", cache, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield served


def test_a_repository_of_the_hub_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    saved("Dinov2", tmp_path / "net")
    files = {file.name: file.read_bytes() for file in (tmp_path / "net").iterdir()}
    hub.repos["owner/net"] = Repo()
    hub.repos["owner/net"].add(files, "first")
    there = library_network("hf/owner/net")
    assert there is not None
    assert there.to_download == "owner/net from the Hugging Face Hub"
    network = frozen("hf/owner/net", "DEFAULT")
    assert network.digest == frozen(f"hf/{tmp_path / 'net'}", "DEFAULT").digest
    assert hub.downloads.count("model.safetensors") == 1
    assert there.to_download is None
    assert frozen("hf/owner/net", "DEFAULT").digest == network.digest
    assert hub.downloads.count("model.safetensors") == 1


def test_what_the_hub_has_not_or_what_takes_no_images_ends_in_one_message(
    hub: Hub, tmp_path: Path
) -> None:
    said = refusal("hf/owner/nothing")
    assert said.startswith("hf/owner/nothing cannot be found (")
    assert said.endswith("). Give hf/OWNER/NAME of the Hub, or hf/FOLDER.")
    saved("Bert", tmp_path)
    assert refusal(f"hf/{tmp_path}") == f"hf/{tmp_path} is a BertModel, which takes no images."
    for file in tmp_path.glob("*processor*"):
        file.unlink()
    said = refusal(f"hf/{tmp_path}")
    assert said.startswith(f"hf/{tmp_path} says no mean and std of its input (")
    assert "model.scaling=torchvision, half, unit" in said


def test_hugging_face_refuses_images_that_patches_do_not_cover_too(tmp_path: Path) -> None:
    saved("CLIP", tmp_path)
    assert "The nearest sizes are 96 x 96 and 112 x 96; it is made for 64 x 64." in refusal(
        f"hf/{tmp_path}", size=(100, 96)
    )


# -------------------- either


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("timm/resnet18", "timm", "timm"), ("hf/owner/net", "transformers", "hf")],
)
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    said = refusal(name)
    assert package in said
    assert said.endswith(f"pip install 'net2vec_pl[{extra}]'.")


def test_other_names_belong_to_no_library() -> None:
    for name in ("vgg16", "timm", "timm/", "tim/resnet18", "custom"):
        assert library_network(name) is None


def test_a_network_of_ones_own_may_have_any_name() -> None:
    spec = spec_of("timm/mine", _target_="torch.nn.Identity", kwargs={}, scaling="unit")
    assert isinstance(spec.build((8, 8)), nn.Identity)
