"""Precision: what it changes, what it gives back, and that it leaves the settings as they were."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from net2vec_pl.backbones import FrozenBackbone, InputScaling, Precision, build_backbone

CPU = torch.device("cpu")
Settings = tuple[bool, bool, bool]


def settings() -> Settings:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.is_autocast_enabled("cpu"),
    )


@pytest.fixture(params=[(False, False), (True, False), (False, True), (True, True)])
def before(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings that a user may have made."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = request.param
    yield settings()
    matmul.allow_tf32, cudnn.allow_tf32 = kept


@pytest.mark.parametrize(
    ("precision", "inside"),
    [
        (Precision.TF32, (True, True, False)),
        (Precision.FLOAT32, (False, False, False)),
        (Precision.BF16, (False, False, True)),
    ],
)
def test_settings_hold_inside_and_are_as_before_behind(
    before: Settings, precision: Precision, inside: Settings
) -> None:
    with precision.running(CPU):
        assert settings() == inside
    assert settings() == before


def fail(precision: Precision) -> None:
    with precision.running(CPU):
        raise KeyError("inside")


@pytest.mark.parametrize("precision", Precision)
def test_settings_are_as_before_though_the_network_fails(
    before: Settings, precision: Precision
) -> None:
    with pytest.raises(KeyError, match="inside"):
        fail(precision)
    assert settings() == before


def shapesnet(precision: Precision) -> FrozenBackbone:
    return build_backbone(
        name="shapesnet",
        image_size=(48, 48),
        layer="conv5",
        weights="shipped",
        scaling=InputScaling.named("half"),
        precision=precision,
    )


@pytest.fixture(scope="module")
def picture() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 48, 48), generator=generator, dtype=torch.uint8)


def test_a_network_leaves_the_settings_as_they_were(before: Settings, picture: Tensor) -> None:
    for precision in Precision:
        shapesnet(precision)(picture[:1])
        assert settings() == before


def test_bf16_changes_answers_slightly_and_they_are_float32(picture: Tensor) -> None:
    exact, rough = (shapesnet(p)(picture) for p in (Precision.FLOAT32, Precision.BF16))
    assert rough.dtype == exact.dtype == torch.float32
    gap = (rough - exact).norm() / exact.norm()
    assert 1e-4 < gap < 0.02  # bfloat16 keeps 8 bits


def test_tf32_is_float32_where_there_is_none(picture: Tensor) -> None:
    exact, rounded = (shapesnet(p)(picture) for p in (Precision.FLOAT32, Precision.TF32))
    assert torch.equal(exact, rounded)


def test_every_layer_keeps_the_precision_of_its_network(picture: Tensor) -> None:
    rough = shapesnet(Precision.BF16)
    assert rough.at("conv2").precision is Precision.BF16
    expected = shapesnet(Precision.BF16).at("conv2")(picture)
    assert torch.equal(rough.at("conv2")(picture), expected)
    assert not torch.equal(shapesnet(Precision.FLOAT32).at("conv2")(picture), expected)
