"""Synthesised images: planted networks whose favourite image is known, and what cannot be made."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from net2vec_pl.analysis.synthesis import (
    Synthesis,
    SynthesisOptions,
    _seen,
    _views,
    decode,
    synthesise,
    total_variation,
)
from net2vec_pl.backbones import FrozenBackbone, InputScaling, build_backbone
from net2vec_pl.errors import ConfigError

SIZE = (16, 20)
FEW = SynthesisOptions(steps=40, lr=0.3)  # small images and shallow networks stand large steps


class Colours(nn.Module):
    """Filters that like red, dislike red, are always one, and like upright edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0]))  # type: ignore[union-attr]
            self.conv.weight[0, :, 1, 1] = torch.tensor([1.0, -0.5, -0.5])
            self.conv.weight[1] = -self.conv.weight[0]
            self.conv.weight[3] = torch.tensor([-1.0, 2.0, -1.0]).expand(3, 3, 3) / 9
        self.relu = nn.ReLU(inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        return self.relu(self.conv(image))  # type: ignore[no-any-return]


RED, NOT_RED, ALWAYS, EDGES = torch.eye(4)


def colours() -> FrozenBackbone:
    return FrozenBackbone(Colours(), "relu", InputScaling.named("unit"), SIZE)


def made(*directions: Tensor, options: SynthesisOptions = FEW, seed: int = 0) -> Synthesis:
    return synthesise(colours().respond, torch.stack(directions), SIZE, seed, options)


def redness(image: np.ndarray) -> float:
    return float(image[0].mean() - image[1:].mean())


# -------------------- planted favourites


def test_a_filter_that_likes_red_gets_red_and_its_opposite_the_opposite() -> None:
    result = made(RED, -RED + NOT_RED)
    assert redness(result.images[0]) > 0.3
    assert redness(result.images[1]) < -0.3
    assert result.status == ("ok", "ok")


def test_the_objective_rises_far_above_noise_and_above_no_steps_at_all() -> None:
    directions = (RED, EDGES, RED + EDGES)
    result, still = made(*directions), made(*directions, options=SynthesisOptions(steps=0))
    assert (result.reached > 4 * result.noise).all()
    assert (result.reached > 3 * still.reached).all()
    np.testing.assert_array_equal(result.noise, still.noise)
    assert still.course.shape == (3, 1)
    assert still.status == ("ok",) * 3


def test_an_edge_detector_gets_upright_stripes() -> None:
    image = made(EDGES).images[0].mean(0)
    across, down = np.abs(np.diff(image, axis=1)).mean(), np.abs(np.diff(image, axis=0)).mean()
    assert across > 2 * down


def test_the_course_ends_with_the_objective_of_the_image_that_is_returned() -> None:
    w = torch.tensor([3.0, 0.0, 0.0, 4.0])
    result = made(w)
    assert result.course.shape == (1, FEW.steps + 1)
    activation = colours().respond(torch.from_numpy(result.images))[0]
    expected = (0.6 * activation[0] + 0.8 * activation[3]).mean()
    assert result.reached[0] == pytest.approx(expected.item(), rel=1e-5)


def test_the_length_of_a_direction_does_not_count() -> None:
    one, other = made(RED + EDGES), made(100 * (RED + EDGES))
    np.testing.assert_allclose(one.reached, other.reached, rtol=1e-3)


def test_one_place_alone_can_be_the_objective() -> None:
    result = made(RED, options=SynthesisOptions(40, 0.3, "max"))
    activation = colours().respond(torch.from_numpy(result.images))[0, 0]
    assert result.reached[0] == pytest.approx(activation.max().item(), rel=1e-5)
    assert activation.max() > 4 * activation.mean()
    assert result.reached[0] > 0.4


# -------------------- what an image depends on


def test_the_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    one, same, other = made(RED, EDGES), made(RED, EDGES), made(RED, EDGES, seed=1)
    np.testing.assert_array_equal(one.images, same.images)
    np.testing.assert_array_equal(one.course, same.course)
    assert not np.array_equal(one.images, other.images)


def test_an_image_does_not_depend_on_its_batch() -> None:
    small = SynthesisOptions(steps=10, batch_size=1)
    large = SynthesisOptions(steps=10, batch_size=8)
    together = made(RED, torch.zeros(4), EDGES, NOT_RED, options=large)
    apart = made(RED, torch.zeros(4), EDGES, NOT_RED, options=small)
    alone = made(EDGES, options=small)
    np.testing.assert_allclose(together.images, apart.images, atol=1e-3)
    np.testing.assert_allclose(together.images[2], alone.images[0], atol=1e-3)


def test_only_the_image_moves() -> None:
    backbone = colours()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    synthesise(backbone.respond, torch.eye(4), SIZE, 0, FEW)
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())


def test_total_variation_is_held_down_by_its_weight() -> None:
    rough, soft = (
        made(EDGES, options=SynthesisOptions(steps=25, total_variation=weight)).images
        for weight in (0.0, 30.0)
    )
    rough_tv, soft_tv = (total_variation(torch.from_numpy(x)).item() for x in (rough, soft))
    assert soft_tv < 0.7 * rough_tv


# -------------------- what cannot be made


def test_directions_without_a_gradient_are_grey_with_a_reason() -> None:
    result = made(torch.zeros(4), ALWAYS, torch.tensor([torch.nan, 0, 0, 0]), RED)
    assert result.status[0] == "zero vector: no direction"
    assert result.status[1] == "answers all noise alike: no gradient to follow"
    assert result.status[2].startswith("not finite")
    assert result.status[3] == "ok"
    assert (result.images[:3] == 0.5).all()
    assert np.isnan(result.course[:3]).all()
    np.testing.assert_allclose(result.images[3], made(RED).images[0], atol=1e-3)


def test_an_objective_that_never_moves_is_said_so() -> None:
    def mean_zero(images: Tensor) -> Tensor:
        return (
            torch.cat([images[:, :1] > 0.5, images[:, :1] <= 0.5], dim=3).float() + 0 * images.sum()
        )

    options = SynthesisOptions(steps=5)
    result = synthesise(mean_zero, torch.ones(1, 1), SIZE, 0, options)
    assert result.status == ("the objective never moved: no gradient to follow",)


def test_an_objective_that_falls_is_said_so() -> None:
    options = SynthesisOptions(steps=5, total_variation=1e6)
    result = made(EDGES, options=options)
    assert result.status == ("the objective did not rise",)


def test_a_network_that_answers_no_numbers_leaves_a_reason() -> None:
    result = synthesise(lambda x: x[:, :1] * torch.nan, torch.ones(1, 1), SIZE, 0, FEW)
    assert result.status == ("not finite: the direction or the network's answer",)
    assert np.isfinite(result.images).all()


def test_an_ascent_into_a_pole_leaves_a_reason_and_a_picture() -> None:
    result = synthesise(lambda x: -(0.8 - x[:, :1]).log(), torch.ones(1, 1), SIZE, 0, FEW)
    assert result.status == ("not finite: the objective on the way",)
    assert np.isfinite(result.images).all()


def test_no_directions_give_no_images() -> None:
    result = synthesise(colours().respond, torch.zeros(0, 4), SIZE, 0, FEW)
    assert result.images.shape == (0, 3, *SIZE)
    assert result.status == ()


def test_directions_of_another_layer_are_refused() -> None:
    with pytest.raises(ConfigError, match="over 5 filters, but the layer has 4"):
        synthesise(colours().respond, torch.ones(1, 5), SIZE, 0, FEW)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"steps": -1}, "steps=-1 .* at least 0"),
        ({"starts": 0}, "starts=0 .* at least 1"),
        ({"lr": 0.0}, r"lr=0\.0 must be above 0"),
        ({"zoom": 1.0}, r"zoom=1\.0 below 1"),
        ({"objective": "meen"}, "Did you mean 'mean'"),
    ],
)
def test_an_option_out_of_range_is_refused(option: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthesisOptions(**option)  # type: ignore[arg-type]


# -------------------- how an image is written, and seen


def test_a_spectrum_of_zeros_is_mid_grey() -> None:
    assert (decode(torch.zeros(1, 3, 16, 11, 2), SIZE) == 0.5).all()


@given(height=st.integers(2, 9), width=st.integers(2, 9))
def test_a_decoded_image_is_a_sum_of_waves_scaled_by_their_length(height: int, width: int) -> None:
    chance = torch.Generator().manual_seed(height * 10 + width)
    half = width // 2 + 1
    spectrum = torch.randn(1, 3, height, half, 2, generator=chance)
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    root /= np.sqrt((root**2).sum(0)).max()
    rows, columns = np.fft.fftfreq(height), np.arange(half) / width
    plain = np.zeros((3, height, width))
    y, x = np.mgrid[:height, :width]
    for v in range(height):
        for u in range(half):
            f = max(np.hypot(rows[v], columns[u]), 1 / max(height, width))
            twice = 1 if u == 0 or 2 * u == width else 2  # the half that is not stored
            wave = twice * np.exp(2j * np.pi * (v * y / height + u * x / width)) / f
            for channel in range(3):
                real, imaginary = spectrum[0, channel, v, u].tolist()
                plain[channel] += (wave * complex(real, imaginary)).real
    plain /= 4 * np.sqrt(height * width)
    expected = 1 / (1 + np.exp(-np.einsum("cd,dhw->chw", root, plain)))
    np.testing.assert_allclose(decode(spectrum, (height, width))[0], expected, atol=1e-4)


def test_a_view_without_shift_zoom_and_turn_is_the_image_itself() -> None:
    still = SynthesisOptions(steps=3, shift=0.0, zoom=0.0, turn=0.0)
    image = torch.rand(2, 3, *SIZE)
    for view in _views(still, SIZE, torch.Generator()):
        torch.testing.assert_close(_seen(image, view), image, atol=1e-4, rtol=0)


def test_a_turn_keeps_circles_round_in_images_that_are_not_square() -> None:
    size = (40, 60)
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(60) - 29.5, indexing="ij")
    disc = (torch.hypot(y, x) < 12).float().expand(1, 3, 40, 60)
    turned = SynthesisOptions(steps=4, shift=0.0, zoom=0.0, turn=90.0)
    inside = torch.hypot(y, x) < 20  # farther out, the mirror shows the disc again
    for view in _views(turned, size, torch.Generator().manual_seed(0)):
        assert (_seen(disc, view) - disc)[:, :, inside].abs().mean() < 0.03


def test_views_stay_within_their_bounds() -> None:
    views = _views(SynthesisOptions(steps=500), (50, 50), torch.Generator().manual_seed(0))
    shift = views[:, :, 2]
    zoom = views[:, :, :2].det().sqrt()
    turn = torch.rad2deg(torch.atan2(views[:, 1, 0], views[:, 0, 0]))
    for drawn, most in ((shift / 2, 0.04), (zoom - 1, 0.1), (turn, 5.0)):
        assert 0.9 * most < drawn.abs().max() <= most * 1.001


# -------------------- a real network


def test_filters_of_shapesnet_rise_far_above_noise() -> None:
    backbone = build_backbone(
        name="shapesnet",
        weights="shipped",
        image_size=(96, 96),
        scaling=InputScaling.named("half"),
        layer="conv5",
    )
    drawn = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    directions = torch.cat([torch.eye(128)[[5, 60]], drawn])
    result = synthesise(backbone.respond, directions, (96, 96), 0, SynthesisOptions(steps=20))
    assert result.status == ("ok",) * 3
    assert (result.reached > result.noise + 2 * result.spread).all()


def test_an_ascent_starts_at_the_noise_that_excites_most() -> None:
    none = made(RED, EDGES, options=SynthesisOptions(steps=0), seed=3)
    chance = torch.Generator().manual_seed(3)
    spectra = 0.3 * torch.randn(8, 3, SIZE[0], SIZE[1] // 2 + 1, 2, generator=chance)
    images = decode(spectra, SIZE)
    answers = colours().respond(images)[:, [0, 3]].detach().double()
    by_image = answers.mean((2, 3))
    np.testing.assert_allclose(none.reached, by_image.amax(0), rtol=1e-5)
    np.testing.assert_allclose(none.noise, by_image.mean(0), rtol=1e-5)
    np.testing.assert_allclose(none.spread, answers.std((0, 2, 3), correction=0), rtol=1e-5)
    best = images[by_image.argmax(0)].numpy()
    np.testing.assert_allclose(none.images, best, atol=1e-6)
