"""Weights: what ``model.weights`` may be, and their digest."""

from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from net2vec_pl.backbones.torchvision_weights import fetch, kept_file
from net2vec_pl.backbones.weights import load_weights, weights_digest
from net2vec_pl.errors import BackboneError


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.ckpt", "r18.pth.tar", "weights", "w.2"])
@pytest.mark.parametrize("where", ["", "./", "{}/"])
def test_a_file_that_exists_is_a_file_whatever_it_is_called(
    name: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(network(1).state_dict(), name)
    target = network(2)
    load_weights(target, where.format(tmp_path) + name, model="resnet18")
    assert weights_digest(target) == weights_digest(network(1))


@pytest.mark.parametrize("given", ["r18.pth.tar", "no/where", "~/no_such_file"])
def test_what_looks_like_a_file_and_is_none_is_named(given: str) -> None:
    path = Path(given).expanduser()
    with pytest.raises(BackboneError, match=f"^model.weights={path}: no such file"):
        load_weights(network(), given, model="resnet18")


def test_a_name_of_torchvisions_is_that_even_beside_a_file_of_this_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("DEFAULT").write_text("no weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source, target = (torchvision.models.squeezenet1_1(weights=None) for _ in range(2))
    file = kept_file(torchvision.models.SqueezeNet1_1_Weights.DEFAULT)
    file.parent.mkdir(parents=True)
    torch.save(source.state_dict(), file)
    load_weights(target, "DEFAULT", model="squeezenet1_1")
    assert weights_digest(target) == weights_digest(source)


def test_none_keeps_the_random_weights() -> None:
    net = network()
    before = weights_digest(net)
    assert not load_weights(net, None, model="mine").unfilled
    assert weights_digest(net) == before


def test_shipped_weights_are_those_of_the_package() -> None:
    with pytest.raises(BackboneError, match=r"weights=shipped: no weights of mine are ship"):
        load_weights(network(), "shipped", model="mine")


def test_weights_of_another_network_name_the_first_keys_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1), "0.bias": torch.zeros(7)}, path)
    with pytest.raises(BackboneError) as caught:
        load_weights(network(), str(path), model="mine")
    assert str(caught.value) == (
        f"weights '{path}' do not match mine. None of its 2 tensors has a name and a shape of the "
        "network's, as it stands; absent: 0.weight (the file has conv.weight), 0.bias is (7,), "
        "not (4,), 1.weight (the file has conv.weight), 1.bias (the file has 0.bias); not in the "
        "network: conv.weight, 0.bias."
    )


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, torch.zeros(3), {}])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=f"^model.weights={tmp_path}/w.pth holds no state dict"):
        load_weights(network(), str(tmp_path / "w.pth"), model="mine")


def test_a_named_weight_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(BackboneError, match=r"weights of resnet50 'IMAGENET1K_V3'.*IMAGENET1K_V2"):
        load_weights(nn.Sequential(), "IMAGENET1K_V3", model="resnet50")
    with pytest.raises(BackboneError, match=r"model.weights=DEFAULT: mine has no named weights"):
        load_weights(nn.Sequential(), "DEFAULT", model="mine")


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


def test_a_download_is_compared_with_the_hash_in_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = torchvision.models.AlexNet_Weights.DEFAULT
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    given: list[object] = []

    def download(url: str, file: str, digest: str | None) -> None:
        given.extend([url, file, digest])
        Path(file).touch()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert fetch(entry, "alexnet") == kept_file(entry)
    assert given == [entry.url, str(kept_file(entry)), "7be5be79"]
    assert fetch(entry, "alexnet") == kept_file(entry)
    assert len(given) == 3


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


def test_what_does_not_fit_is_returned(tmp_path: Path) -> None:
    state = network(1).state_dict()
    for changed, said in (
        ({k: v for k, v in state.items() if k != "0.bias"}, "absent: 0.bias"),
        (state | {"9.bias": torch.zeros(4)}, "not in the network: 9.bias"),
        (state | {"0.bias": torch.zeros(3)}, "of another shape: 0.bias is (3,), not (4,)"),
        ({k: v for k, v in state.items() if "num_batches" not in k}, ""),
        (state | {"queue_ptr": torch.zeros(1)}, ""),
    ):
        torch.save(changed, tmp_path / "w.pth")
        assert str(load_weights(network(), str(tmp_path / "w.pth"), model="mine")) == said


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


def test_the_digest_is_of_what_a_network_holds_besides_tensors_too() -> None:
    class Odd(nn.Module):
        def __init__(self, state: object) -> None:
            super().__init__()
            self.state = state

        def get_extra_state(self) -> object:
            return self.state

    states: list[object] = [
        None, 1, "1", {"a": 1}, {"b": 1}, (torch.ones(1), None), [torch.zeros(1), None],
        {"a": torch.ones(1)}, torch.ones(1),
    ]  # fmt: skip
    assert len({weights_digest(Odd(state)) for state in states}) == len(states)
    assert weights_digest(Odd({"a": 1})) == weights_digest(Odd({"a": 1}))
