import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.concepts import Concept, Vocabulary
from net2vec_pl.errors import ConfigError

ANIMALS = Vocabulary(
    [
        Concept(700, "Polar Bear", "object", ("object",), pixels=True),
        Concept(5, "ear", "part", ("object", "part"), pixels=True),
        Concept(256, "bear-c", "color", ("color",), pixels=True),
        Concept(300, "zoo-s", "scene", ("scene",), pixels=False),
        Concept(1, "seal", "object", ("object", "part"), pixels=True),
    ]
)

FIELDS = st.lists(
    st.tuples(
        st.integers(1, 65535),
        st.text(min_size=1, max_size=8),
        st.sampled_from(["object", "part"]),
        st.lists(st.sampled_from(["object", "part"]), min_size=1, unique=True).map(tuple),
        st.booleans(),
    ),
    max_size=8,
    unique_by=(lambda fields: fields[0], lambda fields: fields[1]),
)


def test_rows_are_positions() -> None:
    assert len(ANIMALS) == 5
    assert [ANIMALS.row(name) for name in ANIMALS.names] == [0, 1, 2, 3, 4]
    assert ANIMALS[ANIMALS.row("ear")].number == 5
    assert ANIMALS.numbers.tolist() == [700, 5, 256, 300, 1]
    assert ANIMALS.numbers.dtype == np.int64


def test_an_empty_vocabulary_has_integer_numbers() -> None:
    assert Vocabulary([]).numbers.dtype == np.int64
    assert Vocabulary([]).numbers.shape == (0,)


def test_a_near_name_is_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        ANIMALS.row("polar_bear")
    text = str(caught.value)
    assert "unknown concept 'polar_bear'" in text
    assert "Did you mean 'Polar Bear'" in text
    assert "Known: Polar Bear, ear, bear-c, zoo-s, seal." in text


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["ear"], ["ear"]),
        (["*BEAR*"], ["Polar Bear", "bear-c"]),
        (["se?l", "ear"], ["ear", "seal"]),  # in the vocabulary's order, not the patterns'
        (["*"], ["Polar Bear", "ear", "bear-c", "zoo-s", "seal"]),
        (["*ear", "ear"], ["Polar Bear", "ear"]),
        ([], []),
    ],
)
def test_patterns_keep_order_and_ignore_case(patterns: list[str], names: list[str]) -> None:
    assert ANIMALS.matching(patterns).names == names


def test_a_pattern_that_fits_nothing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown concept 'se\?\?l'\. Did you mean 'seal'"):
        ANIMALS.matching(["ear", "se??l"])


def test_categories_are_all_those_of_a_concept_not_the_primary_alone() -> None:
    assert ANIMALS.in_categories(["object"]).names == ["Polar Bear", "ear", "seal"]
    assert ANIMALS.in_categories(["part"]).names == ["ear", "seal"]
    assert ANIMALS.in_categories(["scene", "color"]).names == ["bear-c", "zoo-s"]


def test_an_unknown_category_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        ANIMALS.in_categories(["object", "parts"])
    assert "unknown category 'parts'. Did you mean 'part'?" in str(caught.value)
    assert "Known: object, part, color, scene." in str(caught.value)


def test_only_concepts_with_pixels_are_segmented() -> None:
    assert ANIMALS.segmentable().names == ["Polar Bear", "ear", "bear-c", "seal"]


@given(fields=FIELDS)
def test_plain_values_bring_a_vocabulary_back(
    fields: list[tuple[int, str, str, tuple[str, ...], bool]],
) -> None:
    given_ = Vocabulary(Concept(*values) for values in fields)
    found = Vocabulary.from_plain(json.loads(json.dumps(given_.to_plain())))
    assert found == given_
    assert [tuple(vars(concept).values()) for concept in found] == fields


def test_equality_looks_at_order_and_every_field() -> None:
    first, *others = ANIMALS
    assert Vocabulary([first, *others]) == ANIMALS
    assert Vocabulary([*others, first]) != ANIMALS
    renumbered = Concept(701, first.name, first.category, first.categories, first.pixels)
    assert Vocabulary([renumbered, *others]) != ANIMALS


@pytest.mark.parametrize(("number", "name"), [(5, "other"), (6, "ear")])
def test_names_and_numbers_are_unique(number: int, name: str) -> None:
    ear = ANIMALS[ANIMALS.row("ear")]
    other = Concept(number, name, "part", ("part",), pixels=True)
    with pytest.raises(AssertionError):
        Vocabulary([ear, other])


def test_a_pattern_fits_a_whole_name_and_a_name_fits_itself_whatever_signs_it_has() -> None:
    with pytest.raises(ConfigError, match="unknown concept 'bear'"):
        ANIMALS.matching(["bear"])
    first, *others = ANIMALS
    odd = Concept(9, "ear[2]", "part", ("part",), pixels=True)
    assert Vocabulary([first, odd, *others]).matching(["EAR[2]"]).names == ["ear[2]"]


def test_concepts_are_asked_for_by_category_and_within_these_by_name() -> None:
    assert ANIMALS.asked_for(None, None) == ANIMALS
    assert ANIMALS.asked_for(["part", "scene"], None).names == ["ear", "zoo-s", "seal"]
    assert ANIMALS.asked_for(None, ["*bear*", "seal"]).names == ["Polar Bear", "bear-c", "seal"]
    assert ANIMALS.asked_for(["part", "scene"], ["*s*"]).names == ["zoo-s", "seal"]
    with pytest.raises(ConfigError, match="unknown concept 'bear-c'"):
        ANIMALS.asked_for(["part"], ["bear-c"])


def test_a_name_leads_to_its_row_and_to_nothing_else() -> None:
    assert [ANIMALS.row(name) for name in ("seal", "Polar Bear", "bear-c")] == [4, 0, 2]


def test_a_category_may_be_the_second_one_of_all_that_occur_in_it() -> None:
    ears = Vocabulary([ANIMALS[ANIMALS.row("ear")]])
    assert ears.in_categories(["object"]) == ears.in_categories(["part"]) == ears
