"""The causal question in runs, on a planted network that uses one of two readable concepts."""

import pytest
from support.planted_use import learned

from net2vec_pl.inference import Bank
from net2vec_pl.records.studies import CausalRow


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Class 0 has to do with one concept, class 5 is said to have to do with the other."""
    return learned(["causal"], related=["used: 0", "unused: 5"])


def rows(bank: Bank, intervention: str, name: str) -> list[CausalRow]:
    table = bank.tables["causal"]
    return [r for r in table if (r.intervention, r.name) == (intervention, name)]


def test_both_concepts_can_be_read_alike(bank: Bank) -> None:
    scores = [bank.scores[name].multi_val for name in ("used", "unused")]
    assert min(scores) > 0.95


@pytest.mark.parametrize("intervention", ["ablate", "ablate by LEACE", "steer", "derivative"])
def test_what_is_used_is_told_from_what_can_only_be_read(bank: Bank, intervention: str) -> None:
    used, unused = (rows(bank, intervention, name) for name in ("used", "unused"))
    assert used
    sign = -1 if intervention.startswith("ablate") else 1
    for row in used:
        if row.direction in ("best filter", "embedding of root"):
            continue
        assert row.p == pytest.approx(1 / 61), row
        assert sign * row.change.value > 0.2, row
        assert sign * row.change.low > 0 or sign * row.change.high > 0
    for row in unused:
        if row.direction in ("pattern", "mean difference"):
            assert abs(row.change.value) < 0.05 * abs(used[0].change.value), row
            assert row.p > 0.05, row
