import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracles
from torch import Tensor

from net2vec_pl.functional import overlap
from net2vec_pl.metrics import SetIoU

CONCEPTS = 4
Pairs = tuple[Tensor, Tensor, Tensor]


def random_pairs(pairs: int = 30, seed: int = 0, density: float = 0.4) -> Pairs:
    """Return predictions and masks (P, 7, 5), and the concept of each pair; never the last one."""
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.rand(pairs, 7, 5, generator=generator) < density
    mask = torch.rand(pairs, 7, 5, generator=generator) < density
    return predicted, mask, torch.randint(0, CONCEPTS - 1, (pairs,), generator=generator)


def oracle_scores(predicted: Tensor, mask: Tensor, concept: Tensor) -> Tensor:
    inter, union = np.zeros(CONCEPTS, dtype=np.int64), np.zeros(CONCEPTS, dtype=np.int64)
    for p, c in enumerate(concept.tolist()):
        one, other = oracles.overlap_counts(predicted[p : p + 1].numpy(), mask[p].numpy())
        inter[c] += one[0]
        union[c] += other[0]
    return torch.from_numpy(oracles.set_iou(inter, union))


def count(metric: SetIoU, predicted: Tensor, mask: Tensor, concept: Tensor) -> None:
    """Count maps against masks."""
    metric.update(overlap(predicted, mask), concept)


def measure(pairs: Pairs, batch_size: int = 1000) -> SetIoU:
    metric = SetIoU(CONCEPTS)
    for start in range(0, len(pairs[0]), batch_size):
        count(metric, *(x[start : start + batch_size] for x in pairs))
    return metric


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_matches_oracle(density: float) -> None:
    pairs = random_pairs(density=density)
    torch.testing.assert_close(
        measure(pairs).compute(), oracle_scores(*pairs), rtol=0, atol=0, equal_nan=True
    )


@settings(max_examples=20, deadline=None)
@given(batch_size=st.integers(1, 31), order=st.permutations(range(30)))
def test_batches_and_order_change_nothing(batch_size: int, order: list[int]) -> None:
    predicted, mask, concept = random_pairs()
    shuffled = (predicted[order], mask[order], concept[order])
    found = measure(shuffled, batch_size).compute()
    expected = measure(random_pairs()).compute()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_a_perfect_bank_scores_one_and_its_opposite_zero() -> None:
    _, mask, concept = random_pairs()
    assert measure((mask, mask, concept)).compute()[:-1].tolist() == [1, 1, 1]
    assert measure((~mask, mask, concept)).compute()[:-1].tolist() == [0, 0, 0]


def test_nothing_to_score_is_not_a_number() -> None:
    none = torch.zeros(2, 3, 3).bool()
    metric = SetIoU(2)
    count(metric, none, none, torch.tensor([0, 1]))
    count(metric, none[:1], ~none[:1], torch.tensor([1]))
    scores = metric.compute()
    assert scores[0].isnan()
    assert scores[1] == 0


def test_an_update_without_pairs_is_allowed() -> None:
    metric = measure(random_pairs())
    expected = metric.compute()
    none = torch.zeros(0, 7, 5).bool()
    count(metric, none, none, torch.zeros(0).long())
    torch.testing.assert_close(metric.compute(), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("start", [2**24, 2**31, 2**40])
def test_counts_are_exact_beyond_single_precision(start: int) -> None:
    metric = SetIoU(1)
    metric.intersection += start
    metric.union += start
    one = torch.ones(1, 1, 1).bool()
    count(metric, one, one, torch.tensor([0]))
    count(metric, ~one, one, torch.tensor([0]))
    assert metric.intersection.tolist() == [start + 1]
    assert metric.union.tolist() == [start + 2]


def test_large_masks_are_exact_beyond_single_precision() -> None:
    whole = torch.ones(1, 1, 1).bool().expand(9, 1 << 11, 1 << 10)
    metric = SetIoU(1)
    for _ in range(2):
        count(metric, whole, whole, torch.zeros(9).long())
        count(metric, whole[:1, :1, :1], whole[:1, :1, :1], torch.tensor([0]))
    assert metric.union.tolist() == [2 * (9 * 2**21 + 1)]
    assert metric.union.item() > 2**24


@pytest.mark.parametrize("cast", ["half", "bfloat16", "to", "float"])
def test_counts_stay_whole_numbers_in_half_precision(cast: str) -> None:
    metric = measure(random_pairs())
    expected = metric.compute()
    if cast == "to":
        metric = metric.to(torch.bfloat16)
    else:
        getattr(metric, cast)()
    parent = torch.nn.ModuleDict({"score": metric}).to(torch.bfloat16)
    assert metric.intersection.dtype == metric.union.dtype == torch.int64
    assert len(list(parent.parameters())) == 0
    count(metric, *random_pairs())
    torch.testing.assert_close(metric.compute(), expected, rtol=0, atol=0, equal_nan=True)


def test_reset_forgets() -> None:
    metric = measure(random_pairs())
    metric.reset()
    assert metric.union.sum() == metric.intersection.sum() == 0
