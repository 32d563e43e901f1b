"""The causal question in runs, on a planted network that uses one of two readable concepts."""

from typing import Any

import pytest
from support.planted_use import learned

from net2vec_pl.errors import Net2VecError
from net2vec_pl.inference import Bank
from net2vec_pl.records.causal import CausalRow


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
        if row.direction in ("best filter", "embedding of roots"):
            continue
        assert row.p == pytest.approx(1 / 31), row
        assert sign * row.change.value > 0.2, row
        assert sign * row.change.low > 0 or sign * row.change.high > 0
    for row in unused:
        if row.direction in ("pattern", "mean difference"):
            assert abs(row.change.value) < 0.05 * abs(used[0].change.value), row
            assert row.p > 0.05, row


def test_random_directions_stay_at_their_level(bank: Bank) -> None:
    for row in bank.tables["causal"]:
        if row.name == "unused" and row.random and row.direction != "best filter":
            assert 0.05 < row.p < 0.95, row
            assert abs(row.apart.value - row.random_apart) < 1, row


def test_only_its_own_vector_moves_what_is_used(bank: Bank) -> None:
    by_pair = {(row.out, row.target): row for row in bank.tables["causal_matrix"]}
    own, other = by_pair["used", "used"], by_pair["unused", "used"]
    assert own.change.high < -1
    assert abs(other.change.value) < 0.1
    leace = next(r for r in rows(bank, "ablate by LEACE", "used"))
    assert (leace.change, leace.most, leace.others_above) == (own.change, "0", 0)


def test_slopes_are_those_of_doses_where_the_network_is_linear(bank: Bank) -> None:
    doses = [r for r in bank.tables["causal_doses"] if (r.name, r.direction) == ("used", "pattern")]
    line, *_ = (r for r in rows(bank, "steer, per dose", "used") if r.direction == "pattern")
    slope, *_ = (r for r in rows(bank, "derivative", "used") if r.direction == "pattern")
    assert [row.dose for row in doses] == [1, 2, 4, 8, 16]
    for row in doses:
        assert row.change.value == pytest.approx(row.dose * line.change.value, rel=1e-4)
    # A quarter of the picture is steered; the derivative is that of all of it.
    assert slope.change.value == pytest.approx(4 * line.change.value, rel=1e-4)
    assert slope.positive == 1


def test_what_was_taken_is_said(bank: Bank) -> None:
    found = {row.name: (row.how, row.classes) for row in bank.tables["causal_classes"]}
    assert found == {"used": ("asked for", "0"), "unused": ("asked for", "5")}
    text = next(f for f in bank.findings if f.measure == "ablate, classes").statement
    assert text.startswith(
        "With a concept taken out by projection, classes related to it change by"
    )
    assert " along its pattern; by " in text
    assert "30 random directions for 1 of 2 concepts (used, p <= 0.032); by chance" in text
    assert "by chance it would for 0.1." in text
    assert "No other concept's vector goes as far for 2 of them." in text


def test_a_later_layer_is_read_where_no_class_is_known() -> None:
    bank = learned(["causal"], doses=[4], random_directions=20)
    assert "causal_classes" not in bank.tables
    assert {row.read for row in bank.tables["causal"]} == {"later"}
    used, unused = (
        next(r for r in rows(bank, "ablate", n) if r.direction == "pattern")
        for n in ("used", "unused")
    )
    assert used.change.high < -1
    assert used.p == 1 / 21
    assert abs(unused.change.value) < abs(used.change.value) / 2  # nothing hands it on
    assert any("its own score at later changes by" in f.statement for f in bank.findings)
    assert {"causal_doses_later", "causal_matrix_later", "causal_pictures"} <= {*bank.plot}


def test_nothing_is_asked_of_the_last_layer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        bank = learned(["causal"], layer="later")
    assert "causal" not in bank.tables
    assert "analysis causal is left out: no classes are known" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"later": "layer"}, "answers before|nothing that is done"),
        ({"related": ["used: 0", "unused: 7"]}, "unknown class of analysis.related '7'"),
        ({"related": ["use: 0"]}, "unknown concept of analysis.related 'use'"),
        ({"concepts": ["use"]}, "unknown concept of analysis.concepts 'use'"),
        ({"wordnet": "nowhere"}, "no WordNet in nowhere"),
        ({"images": 0}, "analysis.images=0 must be a whole number from 1"),
    ],
)
def test_a_mistake_is_named_before_anything_is_probed(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Net2VecError, match=message):
        learned(["causal"], **options)
