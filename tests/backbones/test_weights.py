"""Weights: every way to give them, and every way in which they can be wrong."""

from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from net2vec_pl.backbones.weights import load_weights, read_state_dict, weights_digest
from net2vec_pl.errors import BackboneError


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("form", ["plain", "nested", "prefixed", "half", "safetensors"])
def test_local_files_load_in_every_usual_form(form: str, tmp_path: Path) -> None:
    source, target = network(1), network(2)
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("tracked")}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    match form:
        case "safetensors":
            safetensors.torch.save_file(state, path)
        case "nested":
            torch.save({"epoch": 3, "state_dict": state}, path)
        case "prefixed":
            torch.save({f"module.{k}": v for k, v in state.items()}, path)
        case "half":
            torch.save({k: v.half() for k, v in state.items()}, path)
        case _:
            torch.save(state, path)
    load_weights(target, str(path), model="mine")
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if form == "half" else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(target[0].weight, source[0].weight, **tolerance)
    assert target[0].weight.dtype == torch.float32


def test_none_keeps_the_random_weights() -> None:
    net = network()
    before = weights_digest(net)
    load_weights(net, None, model="mine")
    assert weights_digest(net) == before


def test_weights_of_another_network_name_the_first_keys_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1), "0.bias": torch.zeros(7)}, path)
    with pytest.raises(BackboneError) as caught:
        load_weights(network(), str(path), model="mine")
    message = str(caught.value)
    assert "do not match mine" in message
    assert "absent: 0.weight" in message
    assert "not in the network: conv.weight" in message
    assert "0.bias is (7,), not (4,)" in message


def test_spare_entries_are_ignored_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(network(1).state_dict() | {"aux1.weight": torch.zeros(1)}, path)
    load_weights(network(2), str(path), model="mine", spare_keys=("aux1.",))
    with pytest.raises(BackboneError, match=r"not in the network: aux1.weight"):
        load_weights(network(2), str(path), model="mine")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a weights file ran",)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("absent", ": no such file"),
        ("text", " is not a plain state dict "),
        ("empty", " cannot be read: "),
        ("code", " is not a plain state dict "),
        ("list", " holds no state dict"),
        ("safetensors", " cannot be read: "),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(
    kind: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    match kind:
        case "text" | "safetensors":
            path.write_text("these are no weights, whatever the name says")
        case "empty":
            path.write_bytes(b"")
        case "code":
            torch.save({"state_dict": {"a": Evil()}}, path)
        case "list":
            torch.save([torch.zeros(1)], path)
    with pytest.raises(BackboneError, match=f"^model.weights={path}{fault}"):
        load_weights(network(), str(path), model="mine")
    assert "ran" not in capsys.readouterr().out


def test_a_named_weight_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(BackboneError, match=r"weights of resnet50 'IMAGENET1K_V3'.*IMAGENET1K_V2"):
        load_weights(nn.Sequential(), "IMAGENET1K_V3", model="resnet50")


def test_weights_that_cannot_be_downloaded_say_which_file_to_put_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_args: object, **_kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(BackboneError) as caught:
        load_weights(torchvision.models.alexnet(), "IMAGENET1K_V1", model="alexnet")
    message = str(caught.value)
    assert "alexnet-owt-7be5be79.pth" in message
    assert f"{tmp_path}/hub/checkpoints" in message
    assert "model.weights=null" in message


def test_the_digest_is_of_values_not_of_files(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(network(1).state_dict(), path)
    loaded = network(2)
    load_weights(loaded, str(path), model="mine")
    assert weights_digest(loaded) == weights_digest(network(1)) != weights_digest(network(2))


def test_every_entry_is_loaded_statistics_of_norms_too(tmp_path: Path) -> None:
    source, target = network(1), network(2)
    for value in source[1].state_dict().values():
        value += 1
    torch.save(source.state_dict(), tmp_path / "w.pth")
    load_weights(target, str(tmp_path / "w.pth"), model="mine")
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_a_prefix_is_one_in_front_only(tmp_path: Path) -> None:
    torch.save({"module.a.module.w": torch.ones(1), "b": torch.zeros(2)}, tmp_path / "w.pth")
    assert [*read_state_dict(tmp_path / "w.pth")] == ["a.module.w", "b"]


def test_entries_that_are_missing_or_too_many_are_each_refused(tmp_path: Path) -> None:
    state = network(1).state_dict()
    for changed, text in (
        ({k: v for k, v in state.items() if k != "0.bias"}, "absent: 0.bias."),
        (state | {"9.bias": torch.zeros(4)}, "not in the network: 9.bias."),
        (state | {"0.bias": torch.zeros(3)}, "of another shape: 0.bias is (3,), not (4,)."),
    ):
        torch.save(changed, tmp_path / "w.pth")
        with pytest.raises(BackboneError) as caught:
            load_weights(network(), str(tmp_path / "w.pth"), model="mine")
        what = f"weights '{tmp_path}/w.pth' do not match mine. "
        assert str(caught.value) == what + text


@pytest.mark.parametrize("name", ["DEFAULT", "IMAGENET1K_V1"])
def test_a_name_means_torchvisions_weights_checked_by_their_hash(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, given = torchvision.models.squeezenet1_1(weights=None), {}

    def state(self: object, **options: bool) -> dict[str, torch.Tensor]:
        given[str(self)] = options
        values: dict[str, torch.Tensor] = source.state_dict()
        return values

    monkeypatch.setattr(torchvision.models.SqueezeNet1_1_Weights, "get_state_dict", state)
    target = torchvision.models.squeezenet1_1(weights=None)
    load_weights(target, name, model="squeezenet1_1")
    assert weights_digest(target) == weights_digest(source)
    only = {"SqueezeNet1_1_Weights.IMAGENET1K_V1": {"progress": True, "check_hash": True}}
    assert given == only


def test_the_digest_is_32_digits_of_names_shapes_types_and_values() -> None:
    def digest(**layers: nn.Module) -> str:
        return weights_digest(nn.ModuleDict(layers))

    def linear(value: float, *shape: int) -> nn.Module:
        layer = nn.Linear(shape[1], shape[0], bias=False)
        nn.init.constant_(layer.weight, value)
        return layer

    first = digest(a=linear(1, 2, 3), b=linear(2, 2, 3))
    assert first == digest(b=linear(2, 2, 3), a=linear(1, 2, 3))  # names are put in order
    others = {
        digest(a=linear(2, 2, 3), b=linear(1, 2, 3)),
        digest(a=linear(1, 2, 3), c=linear(2, 2, 3)),
        digest(a=linear(1, 3, 2), b=linear(2, 2, 3)),
        digest(a=linear(1, 2, 3), b=linear(2, 2, 3).double()),
        digest(a=linear(1, 2, 3)),
        first,
    }
    assert len(others) == 6
    assert {len(text) for text in others} == {32}
    assert all(set(text) <= set("0123456789abcdef") for text in others)
