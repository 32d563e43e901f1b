"""The pass over pixels: upsample, loss, gradient, in chunks that change nothing."""

import logging
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from support import dense
from torch import Tensor
from torch.nn.functional import interpolate

from net2vec_pl.functional import LOSSES, PixelPass, bilinear_matrix, upsample

GRID, MASK = (4, 3), (9, 11)
Problem = tuple[Tensor, Tensor, Tensor]
EITHER = pytest.mark.parametrize("name", ["agreement", "bce"])


def problem(pairs: int = 10, dtype: torch.dtype = torch.float32, seed: int = 0) -> Problem:
    """Return logits on the grid, masks and alphas."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(pairs, *GRID, generator=generator, dtype=torch.float64)
    masks = torch.rand(pairs, *MASK, generator=generator) < 0.3
    alpha = torch.rand(pairs, generator=generator, dtype=torch.float64)
    return logits.to(dtype), masks, alpha.to(dtype)


def pixel_pass(name: str = "agreement", *, align_corners: bool = True, **options: Any) -> PixelPass:
    return PixelPass(GRID, MASK, LOSSES[name], align_corners=align_corners, **options)


def descend(pixels: PixelPass, given: Problem) -> tuple[Tensor, Tensor]:
    logits, masks, alpha = given
    loss, gradient = pixels.descend(logits[None], lambda pairs: masks[pairs], alpha[None])
    assert loss is not None
    return loss[0], gradient[0]


def differentiated(
    name: str, given: Problem, upsampled: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return losses and gradients on the grid, by autograd."""
    logits, masks, alpha = given
    leaf = logits.clone().requires_grad_()
    loss = dense.loss(name, upsampled(leaf), masks, alpha)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient


@EITHER
@pytest.mark.parametrize("align_corners", [True, False])
def test_losses_and_gradients_are_autograds_through_the_upsampling(
    name: str, align_corners: bool
) -> None:
    given = problem(dtype=torch.float64)
    rows, columns = (
        bilinear_matrix(*sizes, align_corners=align_corners).double()
        for sizes in zip(GRID, MASK, strict=True)
    )
    expected = differentiated(name, given, lambda maps: upsample(maps, rows, columns))
    found = descend(pixel_pass(name, align_corners=align_corners).double(), given)
    torch.testing.assert_close(found, expected)


@EITHER
@pytest.mark.parametrize("align_corners", [True, False])
def test_in_single_precision_they_are_those_of_interpolate(name: str, align_corners: bool) -> None:
    given = problem()
    expected = differentiated(
        name,
        given,
        lambda maps: interpolate(maps[None], MASK, mode="bilinear", align_corners=align_corners)[0],
    )
    found = descend(pixel_pass(name, align_corners=align_corners), given)
    torch.testing.assert_close(found, expected)


@EITHER
@pytest.mark.parametrize("size", [1, 3, 10, 32])
def test_chunks_change_nothing(name: str, size: int) -> None:
    given = problem()
    whole = descend(pixel_pass(name, pairs_per_chunk=11), given)
    parts = descend(pixel_pass(name, pairs_per_chunk=size), given)
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)


def test_masks_are_asked_for_by_chunks_each_pair_once() -> None:
    logits, masks, alpha = problem(8)
    asked: list[list[int]] = []

    def some(pairs: slice) -> Tensor:
        asked.append(list(range(8))[pairs])
        return masks[pairs]

    pixel_pass(pairs_per_chunk=3).descend(logits[None], some, alpha[None])
    assert asked == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_buffers_hold_one_chunk_whatever_the_batch() -> None:
    pixels = pixel_pass(pairs_per_chunk=3)
    for pairs in (2, 10, 50, 1):
        descend(pixels, problem(pairs))
        logits, masks, _ = problem(pairs)
        list(pixels.against(logits[None], masks.__getitem__))
        assert {len(room) for room in pixels._room.values()} == {3}
    before = {name: room.data_ptr() for name, room in pixels._room.items()}
    descend(pixels, problem(50))
    assert {name: room.data_ptr() for name, room in pixels._room.items()} == before
    assert sum(room.numel() for room in pixels._room.values()) <= 3 * (
        4 * MASK[0] * MASK[1] + 2 * GRID[0] * MASK[1]
    )


@EITHER
def test_banks_side_by_side_give_what_each_gives(name: str) -> None:
    (logits, masks, alpha), (others, _, alphas) = problem(), problem(seed=1)
    both = pixel_pass(name, pairs_per_chunk=4).descend(
        torch.stack([logits, others]), lambda pairs: masks[pairs], torch.stack([alpha, alphas])
    )
    assert both[0] is not None
    for place, alone in enumerate([(logits, masks, alpha), (others, masks, alphas)]):
        loss, gradient = descend(pixel_pass(name, pairs_per_chunk=4), alone)
        assert torch.equal(both[0][place], loss)
        assert torch.equal(both[1][place], gradient)


def test_chunks_have_a_size_by_device_unless_it_is_given() -> None:
    assert pixel_pass().chunk_size == 64
    assert pixel_pass(pairs_per_chunk=5).chunk_size == 5


def test_what_was_returned_is_not_overwritten_by_the_next_batch() -> None:
    pixels, given = pixel_pass(pairs_per_chunk=4), problem()
    found = descend(pixels, given)
    kept = [x.clone() for x in found]
    descend(pixels, problem(seed=1))
    assert all(torch.equal(x, y) for x, y in zip(found, kept, strict=True))


def test_logits_masks_and_alpha_are_not_changed() -> None:
    given = problem()
    descend(pixel_pass(pairs_per_chunk=4), given)
    assert all(torch.equal(x, y) for x, y in zip(given, problem(), strict=True))


@pytest.mark.parametrize("size", [1, 4, 32])
def test_upsampled_logits_come_in_chunks_in_order(size: int) -> None:
    logits, masks, _ = problem()
    expected = interpolate(logits[None], MASK, mode="bilinear", align_corners=True)[0]
    both, seen = torch.stack([logits, -logits]), []
    pixels = pixel_pass(pairs_per_chunk=size)
    for one in pixels.against(both, masks.__getitem__):
        bank, pairs, maps, mask = one.bank, one.pairs, one.logits, one.mask
        torch.testing.assert_close(maps, (1 - 2 * bank) * expected[pairs])
        assert torch.equal(mask, masks[pairs])
        seen += [(bank, pair) for pair in range(10)[pairs]]
    assert sorted(seen) == [(bank, pair) for bank in range(2) for pair in range(10)]


def test_no_pairs_are_no_losses() -> None:
    loss, gradient = descend(pixel_pass(), problem(0))
    assert loss.shape == (0,)
    assert gradient.shape == (0, *GRID)
    logits, masks, _ = problem(0)
    assert list(pixel_pass().against(logits[None], masks.__getitem__)) == []


def test_a_pass_has_nothing_to_learn_or_to_save() -> None:
    pixels = pixel_pass()
    descend(pixels, problem())
    assert not list(pixels.parameters())
    assert not pixels.state_dict()


# -------------------- compiled


@pytest.mark.slow
@EITHER
def test_a_compiled_pass_gives_the_same_numbers(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem()
    eager = descend(pixel_pass(name, pairs_per_chunk=4), given)
    # Shapes are checked at every call in tests; a compiler sees what it sees in a run.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    pixels = pixel_pass(name, pairs_per_chunk=4, compiled=True)
    with caplog.at_level(logging.WARNING, logger="net2vec_pl"):
        for _ in range(2):
            torch.testing.assert_close(descend(pixels, given), eager, rtol=1e-5, atol=1e-5)
    assert pixels._compiled
    assert not [record for record in caplog.records if record.name.startswith("net2vec_pl")]


def broken(message: str) -> Callable[..., Any]:
    """Return a ``torch.compile`` whose products raise when they are called."""

    def kernel(*_: Any) -> Any:
        raise RuntimeError(message)

    return lambda *_, **__: kernel


@EITHER
@pytest.mark.parametrize("message", ["no C++ compiler\nwas found", ""])
def test_without_a_working_compiler_the_pass_goes_on_and_says_so_once(
    name: str, message: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem()
    eager = descend(pixel_pass(name, pairs_per_chunk=4), given)
    monkeypatch.setattr(torch, "compile", broken(message))
    pixels = pixel_pass(name, pairs_per_chunk=4, compiled=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = descend(pixels, given)
            assert all(torch.equal(x, y) for x, y in zip(found, eager, strict=True))
    (record,) = caplog.records
    assert record.getMessage().startswith("the fit continues without compilation")
    assert "was found" not in record.getMessage()  # its first line is enough


def test_a_kernel_sees_full_chunks_only_and_its_padding_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes: set[tuple[torch.Size, ...]] = set()

    def recording(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        def kernel(*tensors: Any) -> Any:
            shapes.add(tuple(x.shape for x in tensors if isinstance(x, Tensor)))
            return function(*tensors)

        return kernel

    given = problem()
    eager = descend(pixel_pass(pairs_per_chunk=4), given)
    monkeypatch.setattr(torch, "compile", recording)
    found = descend(pixel_pass(pairs_per_chunk=4, compiled=True), given)
    torch.testing.assert_close(found, eager, rtol=1e-6, atol=1e-6)
    assert shapes == {((4, *GRID), (4, *MASK))}
