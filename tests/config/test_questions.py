"""Every type that an option of a question may have, and what is said of other values."""

from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import OmegaConf

from net2vec_pl.config.questions import questions_from
from net2vec_pl.errors import ConfigError
from net2vec_pl.studies import Question, Study, at_least


@dataclass(frozen=True)
class Everything(Question):
    """A field of each type."""

    name = "everything"
    count: int = at_least(2, 5)
    any_count: int = 0
    share: float = 0.5
    flag: bool = False
    word: str = "a"
    path: str | None = None
    sizes: tuple[int, ...] | None = None
    terms: tuple[str, ...] | None = None

    def run(self, study: Study) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Strange(Everything):
    """A field of another type."""

    name = "strange"
    complex: complex = 1j


EVERYTHING = f"{__name__}.Everything"


def read(kind: str = EVERYTHING, **given: Any) -> Question:
    """Read one question."""
    (question,) = questions_from(OmegaConf.create({"names": [kind], **given}))
    return question


def test_options_are_read_by_the_types_of_their_fields() -> None:
    assert read() == read(sizes="auto", terms="auto", path=None)
    question = read(
        count=2, any_count=0, share=1, flag=True, word="b", path="c", sizes=[4, 1], terms=["x", 3]
    )
    assert {**vars(question)} == {
        "count": 2, "any_count": 0, "share": 1.0, "flag": True, "word": "b", "path": "c",
        "sizes": (4, 1), "terms": ("x", "3"),
    }  # fmt: skip
    assert vars(read(sizes=3, terms="x")) | {"sizes": (3,), "terms": ("x",)} == vars(
        read(sizes=[3], terms=["x"])
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1}, "analysis.count=1 must be a whole number from 2."),
        ({"any_count": -1}, "analysis.any_count=-1 must be a whole number from 0."),
        ({"any_count": True}, "analysis.any_count=True must be a whole number from 0."),
        ({"share": "x"}, "analysis.share=x must be a number."),
        ({"share": True}, "analysis.share=True must be a number."),
        ({"flag": 1}, "analysis.flag=1 must be true or false."),
        ({"sizes": [1, "x"]}, "analysis.sizes=x must be a whole number from 1."),
        ({"sizes": [0]}, "analysis.sizes=0 must be a whole number from 1."),
        ({"terms": [1.5]}, "analysis.terms=[1.5] must be a list of names"),
        ({"flagg": 1}, "unknown option of analysis 'flagg'. Did you mean 'flag'"),
    ],
)
def test_other_values_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**given)
    assert message in str(caught.value)


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Strange\.complex is of type .*; options are of: int"):
        read(f"{__name__}.Strange")
