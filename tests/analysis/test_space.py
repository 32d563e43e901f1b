from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.embeddings import bank

from net2vec_pl.analysis.space import (
    _TERM,
    analogy,
    cosines,
    nearest,
    parse_expression,
    rows_by_name,
    unit_rows,
    weight_spread,
)
from net2vec_pl.errors import ConfigError

BANKS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 8), st.integers(1, 4)),
    elements=st.integers(-3, 3).map(float),
)


def test_unit_rows_have_length_one_and_the_others_a_reason() -> None:
    weight = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [1.0, np.inf], [0.0, -2.0]])
    units = unit_rows(weight)
    np.testing.assert_allclose(units.rows, [[0.6, 0.8], [0.0, -1.0]])
    assert units.reason == ("", "zero", "not finite", "not finite", "")
    assert units.index.tolist() == [0, 4]
    assert units.excluded == 3


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e200, 1e308])
def test_tiny_and_huge_rows_keep_their_direction(size: float) -> None:
    rows = unit_rows(np.array([[size, size], [-size, 0.0]])).rows
    np.testing.assert_allclose(rows, [[0.5**0.5, 0.5**0.5], [-1, 0]], rtol=1e-3)


def test_single_precision_banks_are_taken() -> None:
    assert unit_rows(bank().astype(np.float32)).rows.dtype == np.float64


@given(weight=BANKS, k=st.integers(1, 6))
def test_nearest_matches_loops(weight: np.ndarray, k: int) -> None:
    found = nearest(weight, k)
    length = [float(np.sqrt(sum(x * x for x in row))) for row in weight]
    valid = [c for c in range(len(weight)) if length[c] > 0]
    assert found.index.shape[1] == min(k, max(len(valid) - 1, 0))
    for c in range(len(weight)):
        ranked: list[tuple[float, int]] = []
        for other in valid:
            if c in valid and other != c:
                dot = sum(x * y for x, y in zip(weight[c], weight[other], strict=True))
                ranked.append((-round(dot / (length[c] * length[other]), 9), other))
        ranked.sort()
        expected = [other for _, other in ranked][:k]
        if c in valid:
            assert found.index[c].tolist() == expected
            np.testing.assert_allclose(found.cosine[c], [-v for v, _ in ranked][:k], atol=1e-8)
        else:
            assert found.left_out[c] == "zero"
            assert (found.index[c] == -1).all()
            assert np.isnan(found.cosine[c]).all()
        listed = found.index.shape[1] if c in valid else 0
        tied = [other for cosine, other in ranked[listed:] if cosine == ranked[listed - 1][0]]
        assert found.beyond[c] == (len(tied) if listed else 0)


def test_the_query_is_dropped_by_index_and_not_its_twin() -> None:
    found = nearest(np.array([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]]), 1)
    assert found.index[:2, 0].tolist() == [1, 0]
    np.testing.assert_array_equal(found.cosine[:2, 0], 1.0)


def test_concepts_over_the_same_filters_have_cosine_near_one() -> None:
    weight = bank(filters=64)
    weight[7] = 3 * weight[30] + 0.01 * weight[0]
    found = nearest(weight, 3)
    assert found.index[7, 0] == 30
    assert found.cosine[7, 0] > 0.999


def test_fewer_neighbours_than_asked_for_are_said_to_be_so() -> None:
    assert nearest(bank(4), 10).reason == "10 neighbours asked for, 3 there"
    assert nearest(bank(4), 10).index.shape == (4, 3)
    assert nearest(bank(4), 3).reason == ""
    assert nearest(bank(1), 5).index.shape == (1, 0)
    with pytest.raises(ConfigError, match="k=0"):
        nearest(bank(), 0)


def test_nearest_does_not_depend_on_length_of_vectors_or_order_of_filters() -> None:
    weight, rng = bank(), np.random.default_rng(1)
    changed = (weight * rng.uniform(0.1, 9, size=(len(weight), 1)))[:, rng.permutation(16)]
    np.testing.assert_array_equal(nearest(weight).index, nearest(changed).index)


def test_cosines_of_equal_rows_are_exactly_one_and_never_beyond() -> None:
    rows = unit_rows(np.repeat(bank(20, 7), 3, axis=0)).rows
    cosine = cosines(rows)
    np.testing.assert_array_equal(np.diag(cosine), 1.0)
    np.testing.assert_array_equal(cosine[0], cosine[1])
    assert np.abs(cosine).max() <= 1


def test_an_expression_is_cut_at_signs_between_spaces_only() -> None:
    assert parse_expression("tree - wood") == (("tree", "wood"), (1, -1))
    assert parse_expression("  blue-green-c +  mountain pass - art/gallery - a ") == (
        ("blue-green-c", "mountain pass", "art/gallery", "a"),
        (1, 1, -1, -1),
    )
    assert parse_expression("x-y") == (("x-y",), (1,))
    assert parse_expression("") == (("",), (1,))
    assert parse_expression("a − b") == (("a", "b"), (1, -1))  # as the report writes a minus


@pytest.mark.parametrize(
    ("expression", "terms", "signs"),
    [
        ("'a + b' - c", ("a + b", "c"), (1, -1)),
        ('c - "a + b"', ("c", "a + b"), (1, -1)),
        ("\"a - b\" + 'c + d' + e", ("a - b", "c + d", "e"), (1, 1, 1)),
        ("' a' + \"b \"", (" a", "b "), (1, 1)),
        ('"5"" - 7""" + x', ('5" - 7"', "x"), (1, 1)),
        ("'it''s + that'", ("it's + that",), (1,)),
        ('"a" b "c" - d', ('"a" b "c"', "d"), (1, -1)),  # quotes only around the whole
        ("'tis - it's", ("'tis", "it's"), (1, -1)),
        ('"a + b', ('"a', "b"), (1, 1)),
        ("a,b + c/d - <i>x</i> + 天空 + 007", ("a,b", "c/d", "<i>x</i>", "天空", "007"),
         (1, 1, -1, 1, 1)),
    ],
)  # fmt: skip
def test_a_name_in_quotes_is_one_term(
    expression: str, terms: tuple[str, ...], signs: tuple[int, ...]
) -> None:
    assert parse_expression(expression) == (terms, signs)


def test_the_script_of_the_report_reads_terms_by_the_same_pattern() -> None:
    script = files("net2vec_pl.report").joinpath("templates/report.js").read_text("utf-8")
    assert f"const TERM = /{_TERM.pattern}/gs;" in script


def test_a_concept_with_a_sign_in_its_name_takes_part_in_arithmetic() -> None:
    names = ["black + white", "black", "white", "horizon"]
    weight = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [2, -1, 0]])
    found = analogy("'black + white' - black", names, weight, k=1)
    assert found.terms == ("black + white", "black")
    assert [names[c] for c in found.index] == ["horizon"]


NAMES = ("grass", "blue-green", "sky", "mountain pass", "earth")
SPACE = np.array([[2.0, 0, 0], [0, 3, 0], [1, 1, 0], [0, 0, 5], [0, 4, 3]])


def test_analogy_matches_the_sum_done_by_hand() -> None:
    found = analogy("grass + blue-green - mountain pass", NAMES, SPACE, k=2)
    # Mean (1, 1, -1) / 3; sky has (1, 1, 0) / sqrt 2, earth (0, .8, .6).
    assert [NAMES[c] for c in found.index] == ["sky", "earth"]
    np.testing.assert_allclose(found.score, [2 / 2**0.5 / 3, 0.2 / 3])
    np.testing.assert_allclose(found.cosine, [2 / 2**0.5 / 3**0.5, 0.2 / 3**0.5])
    assert found.reason == ""


def test_the_mean_is_not_brought_to_unit_length() -> None:
    one, twice = analogy("grass", NAMES, SPACE), analogy("grass + grass", NAMES, SPACE)
    np.testing.assert_allclose(one.score, twice.score)
    both = analogy("grass + blue-green", NAMES, SPACE, k=1)
    assert both.score[0] == pytest.approx(0.5**0.5)
    assert both.cosine[0] == pytest.approx(1)


def test_terms_are_no_answers_and_fewer_answers_are_said_to_be_so() -> None:
    found = analogy("grass - sky", NAMES, SPACE, k=9)
    assert sorted(found.index.tolist()) == [1, 3, 4]
    assert found.reason == "9 answers asked for, 3 there"


def test_an_unknown_term_is_answered_with_near_names() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'blue-green'"):
        analogy("grass + blue green", NAMES, SPACE)
    with pytest.raises(ConfigError, match="with the spaces"):
        analogy("grass+sky", NAMES, SPACE)
    for bad in ("", "grass +", "- grass"):
        with pytest.raises(ConfigError, match="unknown concept"):
            analogy(bad, NAMES, SPACE)
    with pytest.raises(ConfigError, match="k=0"):
        analogy("grass", NAMES, SPACE, k=0)


def test_a_term_without_direction_or_terms_that_cancel_give_no_answer_but_a_reason() -> None:
    weight = SPACE.copy()
    weight[1], weight[2] = 0, np.nan
    found = analogy("grass + blue-green - sky", NAMES, weight)
    assert found.reason == "no direction: blue-green (zero), sky (not finite)"
    assert len(found.index) == len(found.score) == len(found.cosine) == 0
    assert "cancel" in analogy("grass - grass", NAMES, SPACE).reason


def test_concepts_without_direction_are_no_answers() -> None:
    weight = SPACE.copy()
    weight[0], weight[1] = 0, np.nan
    found = analogy("sky", NAMES, weight)
    # Sky is the first row left: it must not be mistaken for the third.
    assert found.index.tolist() == [4, 3]
    np.testing.assert_allclose(found.score, [0.8 / 2**0.5, 0], atol=1e-12)


def test_repeated_names_are_refused() -> None:
    assert rows_by_name(["a", "b"]) == {"a": 0, "b": 1}
    with pytest.raises(ConfigError, match="occur twice: a"):
        rows_by_name(["a", "b", "a", "a"])


def test_spread_is_of_raw_weights_and_nan_without_direction() -> None:
    weight = bank()
    weight[2], weight[3, 0] = 0, np.nan
    spread = weight_spread(weight)
    assert np.isnan(spread[[2, 3]]).all()
    mean = sum(weight[0]) / 16
    assert spread[0] == pytest.approx((sum((x - mean) ** 2 for x in weight[0]) / 16) ** 0.5)
    assert weight_spread(10 * weight)[0] == pytest.approx(10 * spread[0])


def test_names_of_another_bank_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names for 5 embeddings"):
        analogy("a", ["a", "b"], SPACE)
