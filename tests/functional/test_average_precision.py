import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from support import oracles
from torch import Tensor

from net2vec_pl.functional.average_precision import NUM_BINS, average_precision, logit_bins

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True)


def histogram_ap(logits: Tensor, truth: Tensor) -> float:
    bins = logit_bins(logits)
    positives = torch.bincount(bins[truth], minlength=NUM_BINS)
    negatives = torch.bincount(bins[~truth], minlength=NUM_BINS)
    return average_precision(positives, negatives).item()


def ranking(seed: int, scale: float, overlap: float, share: float) -> tuple[Tensor, Tensor]:
    """Return logits that separate a share of positives from the rest more or less well."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(4000, generator=generator) < share
    noise = torch.randn(4000, generator=generator)
    return scale * (truth * (1 - overlap) + overlap * noise - 0.3), truth


@given(logits=st.lists(FLOATS, min_size=2, max_size=50))
def test_bins_keep_the_order(logits: list[float]) -> None:
    ordered = torch.tensor(sorted(logits))
    bins = logit_bins(ordered)
    assert (bins.diff() >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < NUM_BINS


@given(logit=FLOATS)
def test_bins_of_opposite_logits_are_opposite(logit: float) -> None:
    pair = logit_bins(torch.tensor([logit, -logit]))
    assert int(pair.sum()) == NUM_BINS - 1


@given(
    logit=st.floats(2**-9, 2**5, width=32),
    ratio=st.floats(1.07, 1.5),
    sign=st.sampled_from([-1, 1]),
)
def test_logits_a_few_percent_apart_have_different_bins(
    logit: float, ratio: float, sign: int
) -> None:
    bins = logit_bins(torch.tensor([sign * logit, sign * logit * ratio]))
    assert bins[0] != bins[1]


def test_every_bin_can_be_reached() -> None:
    exponents = torch.arange(-12, 8, 1 / 64)
    line = torch.cat([-(2**exponents), torch.zeros(1), 2**exponents])
    assert set(logit_bins(line).tolist()) == set(range(NUM_BINS))


def test_bins_take_any_shape_and_half_precision() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert torch.equal(logit_bins(logits), logit_bins(logits.float()))
    assert torch.equal(logit_bins(logits.transpose(0, 2)), logit_bins(logits).transpose(0, 2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("overlap", "share"), [(0.0, 0.3), (0.3, 0.05), (1.0, 0.5)])
def test_is_scikit_learns_on_binned_scores(seed: int, overlap: float, share: float) -> None:
    logits, truth = ranking(seed, 4.0, overlap, share)
    expected = average_precision_score(truth.numpy(), logit_bins(logits).numpy())
    assert histogram_ap(logits, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
@pytest.mark.parametrize(("overlap", "share"), [(0.0, 0.3), (0.3, 0.05), (0.5, 0.02), (1.0, 0.5)])
def test_is_close_to_scikit_learns_on_raw_scores(
    scale: float, overlap: float, share: float
) -> None:
    logits, truth = ranking(7, scale, overlap, share)
    expected = average_precision_score(truth.numpy(), logits.numpy())
    assert histogram_ap(logits, truth) == pytest.approx(expected, abs=0.01)


@given(
    pixels=st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=60),
)
def test_matches_oracle(pixels: list[tuple[int, bool]]) -> None:
    scores = torch.tensor([score for score, _ in pixels])
    truth = torch.tensor([true for _, true in pixels])
    positives = torch.bincount(scores[truth], minlength=9)
    negatives = torch.bincount(scores[~truth], minlength=9)
    expected = oracles.average_precision(scores.numpy(), truth.numpy())
    found = average_precision(positives, negatives).item()
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-12)


def test_concepts_do_not_mix_and_none_is_not_a_number() -> None:
    generator = np.random.default_rng(0)
    counts = torch.from_numpy(generator.integers(0, 9, (3, 2, 12)))
    counts[1, 0] = 0
    found = average_precision(counts[:, 0], counts[:, 1])
    assert found.dtype == torch.float64
    assert found[1].isnan()
    for c in (0, 2):
        assert found[c] == average_precision(counts[c, 0], counts[c, 1])


def test_counts_beyond_single_precision_are_exact() -> None:
    many = 2**33 + 1
    found = average_precision(torch.tensor([0, many]), torch.tensor([many, many]))
    assert found.item() == 0.5
    shifted = average_precision(torch.tensor([1, many]), torch.tensor([0, 0]))
    assert shifted.item() == 1.0
