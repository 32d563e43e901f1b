"""Weights: every way to give them, and every way in which they can be wrong."""

from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from net2vec_pl.backbones.weights import load_weights, weights_digest
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
    assert "another network than mine" in message
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
        ("text", " is no plain state dict "),
        ("empty", " cannot be read: "),
        ("code", " is no plain state dict "),
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
