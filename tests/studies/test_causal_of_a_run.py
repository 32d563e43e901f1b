"""The causal question in runs, on a planted network that uses one of two readable concepts."""

from typing import Any

import numpy as np
import pytest
from support.planted_use import UseNetwork, UseReader

import net2vec_pl
from net2vec_pl.inference import Bank
from net2vec_pl.records.studies import CausalRow

OPTIONS = {"analysis.random_directions": 60, "analysis.images": 20, "analysis.replicates": 200}


def learned(**options: Any) -> Bank:
    """Run on the planted network."""
    return net2vec_pl.learn(
        UseNetwork(),
        "layer",
        data=UseReader(),
        scaling="unit",
        protocol="lda",
        analyses=["causal"],
        beside=[],
        device="cpu",
        options={**OPTIONS, **{f"analysis.{name}": value for name, value in options.items()}},
    )


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Class 0 has to do with one concept, class 3 is said to have to do with the other."""
    return learned(related=["used: 0", "unused: 3"])


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
