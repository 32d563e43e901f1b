import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from support import oracles
from torch import Tensor

from net2vec_pl.functional import logit_bins
from net2vec_pl.metrics import ConceptAP

CONCEPTS = 4
Pairs = tuple[Tensor, Tensor, Tensor]


def random_pairs(pairs: int = 24, seed: int = 0) -> Pairs:
    """Return logits and masks (P, 9, 8), and the concept of each pair; never the last one."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(pairs, 9, 8, generator=generator) < 0.2
    noise = torch.randn(pairs, 9, 8, generator=generator)
    concept = torch.randint(0, CONCEPTS - 1, (pairs,), generator=generator)
    return mask * (1 + concept[:, None, None]) + noise - 1, mask, concept


def measure(pairs: Pairs, batch_size: int = 1000) -> ConceptAP:
    metric = ConceptAP(CONCEPTS)
    for start in range(0, len(pairs[0]), batch_size):
        metric.update(*(x[start : start + batch_size] for x in pairs))
    return metric


def test_matches_oracle_on_binned_scores() -> None:
    logits, mask, concept = random_pairs()
    scores = measure((logits, mask, concept)).compute()
    assert scores.dtype == torch.float64
    for c in range(CONCEPTS):
        of_c = concept == c
        expected = oracles.average_precision(
            logit_bins(logits[of_c]).flatten().numpy(), mask[of_c].flatten().numpy()
        )
        assert scores[c].item() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_is_close_to_scikit_learn_on_raw_scores() -> None:
    logits, mask, concept = random_pairs()
    scores = measure((logits, mask, concept)).compute()
    for c in range(CONCEPTS - 1):
        of_c = concept == c
        truth, raw = mask[of_c].flatten().numpy(), logits[of_c].flatten().numpy()
        assert scores[c].item() == pytest.approx(average_precision_score(truth, raw), abs=0.01)


@settings(max_examples=20, deadline=None)
@given(batch_size=st.integers(1, 25), order=st.permutations(range(24)))
def test_batches_and_order_change_nothing(batch_size: int, order: list[int]) -> None:
    logits, mask, concept = random_pairs()
    found = measure((logits[order], mask[order], concept[order]), batch_size)
    assert torch.equal(found.counts, measure(random_pairs()).counts)


def test_every_pixel_is_counted_on_its_side() -> None:
    logits, mask, concept = random_pairs()
    counts = measure((logits, mask, concept)).counts.sum(-1)
    for c in range(CONCEPTS):
        of_c = mask[concept == c]
        assert counts[c].tolist() == [int((~of_c).sum()), int(of_c.sum())]


def test_a_perfect_ranking_scores_one_whatever_its_scale() -> None:
    _, mask, concept = random_pairs()
    for scale in (0.01, 1.0, 1e6):
        logits = torch.where(mask, scale, -scale)
        assert measure((logits, mask, concept)).compute()[:-1].tolist() == [1, 1, 1]


def test_equal_logits_score_the_share_of_positives() -> None:
    _, mask, concept = random_pairs()
    scores = measure((torch.full(mask.shape, 2.5), mask, concept)).compute()
    for c in range(CONCEPTS - 1):
        assert scores[c].item() == pytest.approx(mask[concept == c].double().mean().item())


def test_without_a_positive_pixel_there_is_nothing_to_score() -> None:
    metric = ConceptAP(2)
    metric.update(torch.randn(1, 3, 3), torch.zeros(1, 3, 3).bool(), torch.tensor([0]))
    assert metric.compute().isnan().all()


def test_an_update_without_pairs_is_allowed() -> None:
    metric = measure(random_pairs())
    before = metric.counts.clone()
    none = torch.zeros(0, 9, 8)
    metric.update(none, none.bool(), torch.zeros(0).long())
    assert torch.equal(metric.counts, before)


@pytest.mark.parametrize("start", [2**24, 2**31, 2**40])
def test_counts_are_exact_beyond_single_precision(start: int) -> None:
    metric = ConceptAP(1)
    metric.counts += start
    metric.update(torch.zeros(1, 1, 1), torch.ones(1, 1, 1).bool(), torch.tensor([0]))
    middle = metric.counts.shape[-1] // 2
    assert metric.counts[0, 1, middle] == start + 1
    assert metric.counts[0, 0, middle] == start


@pytest.mark.parametrize("cast", ["half", "bfloat16", "to"])
def test_counts_stay_whole_numbers_in_half_precision(cast: str) -> None:
    metric = measure(random_pairs())
    expected = metric.counts.clone()
    if cast == "to":
        metric.to(torch.bfloat16)
    else:
        getattr(metric, cast)()
    torch.nn.ModuleDict({"score": metric}).to(torch.bfloat16)
    assert metric.counts.dtype == torch.int64
    assert torch.equal(metric.counts, expected)
