from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracles
from torch import Tensor

from net2vec_pl import processes
from net2vec_pl.activations.quantiles import UpperTails, sampling_shift

TAU = 0.05
# Of 400 images of 16 x 16 positions and this bound, one position in 8 is sampled.
LOOSE = 0.01


def random_maps(images: int = 30, filters: int = 5, size: int = 6, seed: int = 0) -> Tensor:
    """Return activations (N, K, size, size) as after a ReLU: many are zero."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, filters, size, size, generator=generator).clamp(min=0)


def stream(
    maps: Tensor,
    batches: Iterable[Sequence[int]],
    *,
    tau: float = TAU,
    max_rank_error: float = 1e-4,
    places: bool = False,
) -> UpperTails:
    """Show some rows of a dataset, batch by batch, to tails that expect all of it."""
    images, filters, height, width = maps.shape
    tails = UpperTails(
        filters, images, height * width, tau, max_rank_error=max_rank_error, places=places
    )
    for batch in batches:
        rows = torch.tensor(batch, dtype=torch.int64)
        tails.update(maps[rows], rows)
    return tails


def in_order(maps: Tensor, size: int = 7) -> list[list[int]]:
    return [list(part) for part in np.array_split(np.arange(len(maps)), -(-len(maps) // size))]


def by_filter(maps: Tensor) -> list[np.ndarray]:
    return list(maps.permute(1, 0, 2, 3).flatten(1).double().numpy())


def held(tails: UpperTails) -> int:
    """Return how many values the tails keep."""
    kept = [value for value in vars(tails).values() if isinstance(value, Tensor)]
    kept += [x for value in vars(tails).values() if isinstance(value, list) for x in value]
    return sum(tensor.numel() for tensor in kept)


# -------------------- exact


@pytest.mark.parametrize("tau", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_thresholds_are_numpys_quantiles(tau: float, seed: int) -> None:
    maps = random_maps(seed=seed)
    tails = stream(maps, in_order(maps), tau=tau)
    assert tails.shift == 0
    for threshold, values in zip(tails.thresholds().tolist(), by_filter(maps), strict=True):
        assert threshold == pytest.approx(np.quantile(values, 1 - tau), rel=1e-5)
        assert threshold == pytest.approx(oracles.exact_threshold(values, tau), rel=1e-5)


def test_ties_are_kept_exactly() -> None:
    maps = (random_maps() * 2).round().clamp(max=3)
    tails = stream(maps, in_order(maps))
    expected = [np.quantile(values, 1 - TAU) for values in by_filter(maps)]
    assert tails.thresholds().tolist() == expected


def test_a_dead_filter_has_threshold_zero_and_never_fires() -> None:
    maps = random_maps()
    maps[:, 1] = 0
    maps[:, 2] = 0
    maps[3, 2, 0, 0] = 5.0  # one position of 1080 fires, less than tau
    thresholds = stream(maps, in_order(maps)).thresholds()
    assert thresholds[1:3].tolist() == [0, 0]
    fired = maps > thresholds[:, None, None]
    assert fired[:, 1].sum() == 0
    assert fired[:, 2].sum() == 1


def test_a_saturated_filter_never_fires_above_its_limit() -> None:
    maps = (random_maps() * 9).clamp(max=6)  # ReLU6, at 6 in a quarter of all places
    thresholds = stream(maps, in_order(maps)).thresholds()
    assert thresholds.tolist() == [6.0] * maps.shape[1]
    assert not (maps > thresholds[:, None, None]).any()


def test_the_share_above_the_threshold_is_tau() -> None:
    maps = torch.randn(100, 4, 10, 10, generator=torch.Generator().manual_seed(3))
    thresholds = stream(maps, in_order(maps), tau=0.01).thresholds()
    share = (maps > thresholds[:, None, None]).double().mean((0, 2, 3))
    torch.testing.assert_close(share, torch.full((4,), 0.01).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("tau", [1e-9, 1e-3, 0.999, 1 - 1e-9])
def test_extreme_shares_give_the_ends(tau: float) -> None:
    maps = random_maps() - 1
    thresholds = stream(maps, in_order(maps), tau=tau).thresholds()
    expected = [np.quantile(values, 1 - tau) for values in by_filter(maps)]
    np.testing.assert_allclose(thresholds.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_single_value_is_its_own_quantile() -> None:
    maps = torch.tensor([2.5, -1.0]).view(1, 2, 1, 1)
    assert stream(maps, [[0]]).thresholds().tolist() == [2.5, -1.0]


def test_thresholds_are_of_the_images_seen() -> None:
    maps = random_maps()
    thresholds = stream(maps, [[4, 2, 9], [11]]).thresholds()  # of 30 that were expected
    alone = stream(maps[[2, 4, 9, 11]], [[0, 1, 2, 3]]).thresholds()
    assert torch.equal(thresholds, alone)


def test_what_came_by_may_be_overwritten() -> None:
    maps = random_maps()
    expected = stream(maps, in_order(maps)).thresholds()
    tails = UpperTails(maps.shape[1], len(maps), 36, TAU)
    buffer = torch.empty_like(maps[:1])
    for row in range(len(maps)):  # an in-place layer, or a reused buffer
        buffer.copy_(maps[row : row + 1])
        tails.update(buffer, torch.tensor([row]))
    assert torch.equal(tails.thresholds(), expected)


def test_gradients_are_not_kept() -> None:
    maps = random_maps().requires_grad_()
    assert not stream(maps, in_order(maps)).thresholds().requires_grad


def test_half_precision_is_taken_as_it_is() -> None:
    maps = random_maps().bfloat16()
    found = stream(maps, in_order(maps)).thresholds()
    assert found.dtype == torch.float32
    assert torch.equal(found, stream(maps.float(), in_order(maps)).thresholds())


# -------------------- independent of order, batches and processes


@st.composite
def deals(draw: st.DrawFn, images: int, most: int = 4) -> list[list[int]]:
    """Draw any order of the rows, cut anywhere."""
    order = draw(st.permutations(range(images)))
    cuts = sorted(draw(st.lists(st.integers(0, images), max_size=most)))
    parts = zip([0, *cuts], [*cuts, images], strict=True)
    return [list(order[start:end]) for start, end in parts]


SMALL = random_maps(images=24, filters=3, size=8, seed=5)


@settings(max_examples=40, deadline=None)
@given(batches=deals(24), tau=st.sampled_from([0.005, 0.05, 0.7]))
def test_any_order_and_batches_give_the_same_floats(batches: list[list[int]], tau: float) -> None:
    expected = stream(SMALL, in_order(SMALL), tau=tau).thresholds()
    assert torch.equal(stream(SMALL, batches, tau=tau).thresholds(), expected)


@settings(max_examples=40, deadline=None)
@given(batches=deals(24))
def test_any_order_and_batches_sample_the_same_positions(batches: list[list[int]]) -> None:
    expected = stream(SMALL, in_order(SMALL), max_rank_error=0.05)
    found = stream(SMALL, batches, max_rank_error=0.05)
    assert found.shift == expected.shift > 0
    assert found.seen == expected.seen < found.num_values
    assert torch.equal(found.thresholds(), expected.thresholds())


def thresholds_together(parts: list[UpperTails]) -> list[Tensor]:
    """Return what each of several processes reads, one tail in each."""
    sent: list[Tensor] = []

    def send(value: Tensor) -> list[Tensor]:
        sent.append(value)
        return [value]

    seen = sum(tails.seen for tails in parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "gather", send)
        for tails in parts:
            tails.thresholds()
        patch.setattr(processes, "gather", lambda _: sent)
        patch.setattr(processes, "sum_over", lambda value: torch.full_like(value, seen))
        return [tails.thresholds() for tails in parts]


@settings(max_examples=40, deadline=None)
@given(parts=deals(24, most=3), error=st.sampled_from([1e-4, 0.05]))
def test_processes_read_the_thresholds_of_all_images(parts: list[list[int]], error: float) -> None:
    one = stream(SMALL, in_order(SMALL), max_rank_error=error)
    shared = [stream(SMALL, [part[:3], part[3:]], max_rank_error=error) for part in parts]
    assert sum(tails.seen for tails in shared) == one.seen
    for thresholds in thresholds_together(shared):
        assert torch.equal(thresholds, one.thresholds())


def test_reading_thresholds_early_changes_nothing() -> None:
    tails = UpperTails(SMALL.shape[1], len(SMALL), 64, TAU)
    for row in range(len(SMALL)):
        tails.update(SMALL[row : row + 1], torch.tensor([row]))
        tails.thresholds()
    assert torch.equal(tails.thresholds(), stream(SMALL, in_order(SMALL)).thresholds())


# -------------------- places


def fired_of(maps: Tensor, batches: Iterable[Sequence[int]], tau: float) -> tuple[Tensor, Tensor]:
    tails = stream(maps, batches, tau=tau, places=True)
    return tails.fired(tails.thresholds())


@settings(max_examples=30, deadline=None)
@given(batches=deals(24), tau=st.sampled_from([0.001, 0.05, 0.7]), ties=st.booleans())
def test_a_tail_with_places_knows_every_bit_above_its_threshold(
    batches: list[list[int]], tau: float, ties: bool
) -> None:
    maps = (SMALL * 3).round() if ties else SMALL
    batches = [batch for batch in batches if batch]
    thresholds = stream(maps, in_order(maps), tau=tau).thresholds()
    expected = (maps > thresholds[:, None, None]).flatten(1).nonzero(as_tuple=True)
    row, index = fired_of(maps, batches, tau)
    assert torch.equal(row, expected[0])
    assert torch.equal(index, expected[1])


def test_places_change_no_threshold() -> None:
    plain, placed = (stream(SMALL, in_order(SMALL), places=p) for p in (False, True))
    assert torch.equal(plain.thresholds(), placed.thresholds())


def test_a_layer_in_which_nothing_fires_has_no_places() -> None:
    row, index = fired_of(torch.zeros(5, 2, 3, 3), [[0, 1], [2, 3, 4]], TAU)
    assert len(row) == len(index) == 0


def test_bits_are_found_in_any_rows_of_a_large_dataset_and_come_in_their_order() -> None:
    tails = UpperTails(2, 3, 4, tau=0.2, places=True)
    values = torch.arange(24) * 7 % 24  # the largest of filter 0 are 23, 22, 21, 16; of 1, 20 to 17
    tails.update(values.view(3, 2, 2, 2).float(), torch.tensor([10**7, 3, 63304]))
    thresholds = tails.thresholds()
    torch.testing.assert_close(thresholds, torch.tensor([20.0, 17.8]))
    row, index = tails.fired(thresholds)
    assert row.tolist() == [3, 3, 63304, 63304, 10**7, 10**7]
    assert index.tolist() == [2, 4 + 1, 1, 4 + 0, 3, 4 + 2]


def test_a_batch_without_images_changes_no_place() -> None:
    expected = fired_of(SMALL, in_order(SMALL), TAU)
    row, index = fired_of(SMALL, [[], *in_order(SMALL), []], TAU)
    assert torch.equal(row, expected[0])
    assert torch.equal(index, expected[1])


# -------------------- sampled


def noise(filters: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(400, filters, 16, 16, generator=generator)


def patterned() -> Tensor:
    """Return maps that follow the row, the position or both, as no sample should."""
    place = torch.arange(400 * 256).view(400, 16, 16).float()
    row, at = (place // 256), (place % 256)
    kinds = [place, -place, row, at, at // 16, at % 16, (row + at) % 97, place % 8, place % 2]
    return torch.stack(kinds, dim=1)


def test_sampling_keeps_the_rank_error_in_bounds_on_every_filter() -> None:
    maps = noise()
    tails = stream(maps, in_order(maps, 32), max_rank_error=LOOSE)
    assert tails.shift == 3
    thresholds = tails.thresholds().tolist()
    errors = [
        oracles.rank_error(values, threshold, TAU)
        for values, threshold in zip(by_filter(maps), thresholds, strict=True)
    ]
    assert max(errors) < LOOSE
    assert np.sqrt(np.mean(np.square(errors))) < LOOSE / 4  # the bound is at five sigmas


def test_patterns_of_rows_and_positions_do_not_fool_the_sample() -> None:
    maps = patterned()
    tails = stream(maps, in_order(maps, 32), max_rank_error=LOOSE)
    for values, threshold in zip(by_filter(maps), tails.thresholds().tolist(), strict=True):
        assert oracles.rank_error(values, threshold, TAU) < LOOSE


def test_one_position_in_two_to_the_shift_is_sampled() -> None:
    maps = noise(filters=1)
    tails = stream(maps, in_order(maps, 32), max_rank_error=LOOSE)
    expected = maps.numel() / 2**tails.shift
    assert abs(tails.seen - expected) < 5 * expected**0.5


def test_a_dead_filter_stays_dead_in_a_sample() -> None:
    maps = noise(filters=2)
    maps[:, 1] = 0
    tails = stream(maps, in_order(maps, 32), max_rank_error=LOOSE)
    assert tails.thresholds()[1] == 0


@pytest.mark.parametrize("places", [False, True])
def test_memory_does_not_grow_with_images(places: bool) -> None:
    maps = noise(filters=2)
    for error in (1e-4, LOOSE):
        tails = UpperTails(2, 400, 256, TAU, max_rank_error=error, places=places)
        for row in range(0, 400, 8):
            rows = torch.arange(row, row + 8)
            tails.update(maps[rows], rows)
            assert held(tails) <= (1 + places) * (2 * 2 * tails.length + 2 * 8 * 256)
        assert tails.length < 1.1 * tails.seen * TAU + 10


@given(
    images=st.integers(1, 10**6),
    positions=st.integers(1, 10**5),
    tau=st.floats(1e-4, 0.5),
    error=st.floats(1e-5, 1e-2),
)
def test_the_sampled_tail_holds_enough_values(
    images: int, positions: int, tau: float, error: float
) -> None:
    num_values = images * positions
    shift = sampling_shift(num_values, tau, error)
    needed = (5 * tau / min(error, tau)) ** 2
    assert shift == 0 or num_values * tau / 2**shift >= needed * (1 - 1e-9)
    assert num_values * tau / 2**shift < max(2 * needed * (1 + 1e-9), num_values * tau + 1)


def test_broden_is_exact_at_the_layers_of_the_paper() -> None:
    for positions in (13 * 13, 27 * 27):
        assert sampling_shift(63305 * positions, tau=0.005, max_rank_error=1e-4) <= 1
    assert sampling_shift(63305 * 13 * 13, tau=0.005, max_rank_error=1e-4) == 0


def test_the_published_tail_is_bounded_for_any_dataset() -> None:
    small = UpperTails(1, 63305, 56 * 56, 0.005).length
    large = UpperTails(1, 63305 * 1000, 224 * 224, 0.005).length
    assert small < 130_000
    assert large < 130_000
