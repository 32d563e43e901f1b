"""What follows a layer, run with other activations in it: as a plain hook has it, at less cost."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.token_networks import TinySwin, TinyViT
from torch import Tensor, nn
from torch.nn.functional import relu_

from net2vec_pl.backbones import FrozenBackbone, InputScaling
from net2vec_pl.backbones.continued import Continuation
from net2vec_pl.errors import BackboneError
from net2vec_pl.units import UnitChoice

UNIT = InputScaling.named("unit")
SIZE = (32, 32)


class Residual(nn.Module):
    """Writes over what its modules gave, skips a layer, and runs one module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 5)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        x = self.stem(x)
        y = self.first(x)
        y += x
        y = self.twice(relu_(y))
        y = self.second(y)
        y += self.twice(x)
        said: Tensor = self.head(relu_(y).mean((2, 3)))
        return said


class InATuple(nn.Module):
    """Gives its maps along with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, stride=4)

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return self.conv(x), "company"


class ReadsATuple(nn.Module):
    """Reads the first of a tuple, and answers with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.head = InATuple(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.part(x)[0].mean((2, 3)))}


class Again(nn.Module):
    """Runs the same block twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.head(self.block(self.block(self.stem(x))).mean((2, 3)))
        return said


def frozen(network: nn.Module, layer: str | None) -> FrozenBackbone:
    return FrozenBackbone(network, layer, UNIT, SIZE, model="mine")


def images(count: int = 2) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8, generator=random)


def by_a_plain_hook(backbone: FrozenBackbone, change: Callable[[Tensor], Tensor]) -> Any:
    calls = 0

    def swap(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        last = calls == backbone.calls
        return backbone.put_back(output, change(backbone.lay_out(output))) if last else None

    handle = backbone.network.get_submodule(backbone.hooked).register_forward_hook(swap)
    with torch.no_grad():
        said = backbone.run(images())
    handle.remove()
    return said["logits"] if isinstance(said, dict) else said


CASES = [
    (Residual, "stem"),
    (Residual, "first"),
    (Residual, "twice"),
    (Residual, "second"),
    (Again, "block.0"),
    (ReadsATuple, "part"),
    (lambda: TinyViT(prefix=2), "blocks.0"),
    (TinySwin, None),
]


@pytest.mark.parametrize(("network", "layer"), CASES)
def test_a_changed_layer_is_answered_as_by_a_plain_hook(
    network: Callable[[], nn.Module], layer: str | None
) -> None:
    torch.manual_seed(0)
    backbone = frozen(network(), layer)

    def half(activation: Tensor) -> Tensor:
        return activation.flip(1) / 2

    kept = Continuation(backbone).of(images())
    with torch.no_grad():
        assert torch.equal(kept.activation, backbone(images()))
        same, again, changed = kept(torch.clone), kept(torch.clone), kept(half)
    assert kept.unchanged.output is not None
    assert same.output is not None
    assert changed.output is not None
    assert torch.equal(same.output, kept.unchanged.output)
    assert again.output is not None
    assert torch.equal(again.output, same.output)
    assert torch.equal(changed.output, by_a_plain_hook(backbone, half))
    assert not torch.equal(changed.output, same.output)


def test_what_comes_before_the_layer_runs_once() -> None:
    torch.manual_seed(0)
    backbone = frozen(Residual(), "second")
    calls: list[str] = []
    for name in ("stem", "stem.0", "first", "second", "head"):
        real = backbone.network.get_submodule(name).forward

        def counted(*given: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*given)

        backbone.network.get_submodule(name).forward = counted
    continuation = Continuation(backbone)
    kept = continuation.of(images())
    calls.clear()
    kept(torch.zeros_like)
    assert calls == ["head"]
    calls.clear()
    backbone.run(images())
    assert calls == ["stem", "stem.0", "first", "second", "head"]


def test_later_layers_are_read_and_earlier_ones_refused() -> None:
    torch.manual_seed(0)
    backbone = frozen(Residual(), "first")
    later = backbone.at("second")
    kept = Continuation(backbone, [later]).of(images())
    with torch.no_grad():
        assert torch.equal(kept.unchanged.later[0], later(images()))
        assert not torch.equal(kept(torch.zeros_like).later[0], later(images()))
    for early in ("stem", "stem.0"):
        with pytest.raises(BackboneError, match=f"layer '{early}' of mine answers before 'second'"):
            Continuation(later, [backbone.at(early)])


def test_gradients_flow_to_what_stands_in_the_layer() -> None:
    torch.manual_seed(0)
    kept = Continuation(frozen(Residual(), "twice")).of(images())
    put_in = kept.activation.clone().requires_grad_()
    said = kept(lambda _: put_in).output
    assert said is not None
    (slope,) = torch.autograd.grad(said[:, 2].sum(), put_in)
    step = slope * 0.02 / slope.abs().max()
    with torch.no_grad():
        up, down = kept(lambda a: a + step).output, kept(lambda a: a - step).output
    assert up is not None
    assert down is not None
    risen = (up - down)[:, 2].sum() / 2
    assert risen == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_other_units_than_filters_are_refused() -> None:
    backbone = frozen(Residual(), "first")
    turned = backbone.with_units(UnitChoice("rotation", {"seed": 0}).units(4))
    with pytest.raises(BackboneError, match="only filters can be written to"):
        Continuation(turned)
