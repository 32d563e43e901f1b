"""Names of concepts are spelled as dictionaries spell them."""

import pytest

from net2vec_pl.analysis.references import plain_word


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("street-s", "street"),
        ("grey-c", "grey"),
        ("pool table", "pool_table"),
        ("t-shirt", "t-shirt"),
    ],
)
def test_marks_of_scenes_and_colours_are_dropped(name: str, word: str) -> None:
    assert plain_word(name) == word
