"""``task=layers``: what it prints ``layer=`` takes, and nothing is left behind."""

import re
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from support.cli import composed
from torch import Tensor, nn

from net2vec_pl import cli
from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.backbones.registry import build_network
from net2vec_pl.errors import Net2VecError
from net2vec_pl.tasks.layers import layers


def printed(capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[list[str], str]:
    """Return the rows of the table, and all that is printed."""
    layers(composed("task=layers", *overrides))
    text = capsys.readouterr().out
    lines = text.splitlines()
    rule = next(at for at, line in enumerate(lines) if "──" in line)
    end = next(at for at in range(rule, len(lines)) if not lines[at].strip())
    return [line.strip() for line in lines[rule + 1 : end]], text


class Kinds(nn.Module):
    """A module of every kind that a table must tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Identity()
        self.tokens = nn.Identity()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.act(self.stem(image))
        self.last(x.permute(0, 2, 3, 1))
        tokens = self.tokens(x.flatten(2).transpose(1, 2))
        self.attention(tokens, tokens, tokens)
        out: Tensor = self.pool(x)
        return out


CUSTOM = ("model=custom", f"model._target_={__name__}.Kinds", "image_size=[64,32]")


def test_each_kind_of_module_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    rows, text = printed(capsys, *CUSTOM, "show=all")
    found = {row.split()[0]: re.split(r"\s{2,}", row)[1:] for row in rows}
    assert found == {
        "stem": ["Conv2d", "8", "16 x 8", "4", "any sign"],
        "act": ["ReLU", "8", "16 x 8", "4", ">= 0", "default"],
        "last": ["Identity", "8", "16 x 8", "4", ">= 0"],
        "tokens": ["Identity", "8", "16 x 8", "4", ">= 0"],
        "attention": ["MultiheadAttention", "8", "16 x 8", "4", "any sign"],
        "pool": ["AdaptiveAvgPool2d", "8", "vector", ">= 0"],
    }
    assert "Modules that give several tensors: 1. Name one, as layer=attention:0." in text
    # The projection of attention is a module that attention does not call.
    assert "Modules without output: 2 (2 never called by the network)." in text


def test_a_network_without_names_shows_what_layer_all_reads_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, text = printed(capsys, *CUSTOM, "layer=act")
    assert [row.split()[0] for row in rows] == ["act", "tokens"]
    assert rows[0].endswith("chosen")
    assert "Hidden (show=all lists them): maps: 3, vectors: 1." in text


@pytest.mark.parametrize("model", ["resnet18", "googlenet", "shapesnet", "shapesvit"])
def test_a_run_reads_what_the_table_says_by_the_name_in_it(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _ = printed(capsys, f"model={model}", "show=all", "image_size=96")
    network, scaling = build_network(model), InputScaling.named("unit")
    backbone = FrozenBackbone(network, None, scaling, (96, 96), model=model)
    maps = 0
    for row in rows:
        cells = re.split(r"\s{2,}", row)
        size = re.search(r"(\d+) +(\d+ x \d+) ", row)
        if size is None or cells[0] == "(conv1)":
            continue  # a vector; or the module that gave its name to the ReLU behind it
        shape = backbone.at(cells[0].split()[0]).shape
        assert (size[1], size[2]) == (f"{shape[0]}", f"{shape[1]} x {shape[2]}"), row
        maps += 1
    assert maps > 15


def test_names_of_papers_come_first_and_the_default_is_marked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, text = printed(capsys, "model=alexnet")
    assert [row.split()[0] for row in rows] == [f"conv{n}" for n in range(1, 6)] + [
        f"fc{n}" for n in range(6, 9)
    ]
    assert [row.split()[0] for row in rows if row.endswith("default")] == ["conv5"]
    assert rows[4].startswith("conv5 (features.11)")
    assert "A vector is read with target=classification only." in text
    assert sum("vector" in row for row in rows) == 3
    rows, _ = printed(capsys, "model=alexnet", "target=classification", "layer=[fc6,fc7]")
    assert [row.split()[0] for row in rows if row.endswith("chosen")] == ["fc6", "fc7"]


def test_a_chosen_layer_without_a_name_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = printed(capsys, "model=mobilenet_v2", "layer=features.14.conv.0")
    assert [row.split()[0] for row in rows if row.endswith("chosen")] == ["features.14.conv.0"]


def long_named() -> nn.Module:
    """Return a network with module paths as long as DenseNet's."""
    network: nn.Module = nn.Conv2d(3, 4, 1)
    for name in ("conv2", "denselayer36", "denseblock3", "features"):
        network = nn.Sequential(OrderedDict({name: network}))
    return network


LONG = ("model=custom", f"model._target_={__name__}.long_named", "show=all")


def test_nothing_is_cut_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, text = printed(capsys, *LONG)
    assert "features.denseblock3.denselayer36.conv2" in text
    assert "…" not in text


def test_a_terminal_of_100_columns_holds_a_table_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for overrides in (("model=alexnet",), LONG):
        layers(composed("task=layers", *overrides))
        lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= 100
        assert "…" not in "".join(lines)


class Refuses(nn.Module):
    """Fails as it is made."""

    def __init__(self) -> None:
        raise ValueError("no such size")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=vgg61"], "unknown model 'vgg61'. Did you mean"),
        (["image_size=abc"], "image_size=abc must be a number of pixels above 0, or two"),
        (["image_size=0"], "image_size=0 must be"),
        (["image_size=true"], "image_size=True must be"),
        (["image_size=[1,2,3]"], "or two: [height,width]"),
        (["image_size=24", "model=alexnet"], "alexnet fails in its forward pass before 'conv5'"),
        (["image_size=4", "model=resnet18"], "gives an output of shape (512, 1, 1)"),
        ([*CUSTOM[:2], "image_size=2"], "the network cannot take an RGB image of 2x2"),
        (["show=some"], "unknown value of show 'some'. Known: named, all"),
        (["layer=conv9"], "unknown layer of shapesnet 'conv9'. Did you mean 'conv5'"),
        (["model=custom", "model._target_=nowhere.Net"], "cannot import 'nowhere'"),
        (["model=custom", f"model._target_={__name__}.Refuses"], "no such size"),
    ],
)
def test_a_mistake_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(Net2VecError, match=re.escape(message)):
        layers(composed("task=layers", *overrides))


def test_no_weights_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    monkeypatch.setattr(torch, "load", download)
    rows, _ = printed(capsys, "model=resnet18", "model.weights=nowhere.pth")
    assert len(rows) == 5


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "task=layers"])
    monkeypatch.setattr(cli, "_do", lambda _name, config: layers(config))
    GlobalHydra.instance().clear()
    cli.main()
    assert list(tmp_path.iterdir()) == []
