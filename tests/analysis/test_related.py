"""Classes that have to do with a concept: asked for, by WordNet, by their names."""

from pathlib import Path

import pytest
from support.tiny_wordnet import write_wordnet

from net2vec_pl.analysis.related import Related, related_classes
from net2vec_pl.errors import ConfigError

CLASSES = ["minivan", "freight Car", "crane", "streetcar", "blue sky", "car mirror", "skylark"]
SYNSETS = {
    "thing": ("n", ["thing"], []),
    "car": ("n", ["car"], [("@", "thing")]),
    "minivan": ("n", ["minivan"], [("@", "car")]),
    "bird": ("n", ["bird"], [("@", "thing")]),
    "crane": ("n", ["crane"], [("@", "bird")]),
}


def test_a_name_has_to_be_the_last_word_of_the_class() -> None:
    found = related_classes(["car", "sky", "road", "crane-s"], CLASSES)
    assert found[:3] == [Related((1,), "its name"), Related((4,), "its name"), Related()]
    assert found[3].classes == (2,)


def test_kinds_of_a_concept_come_before_its_name(tmp_path: Path) -> None:
    folder = write_wordnet(tmp_path, SYNSETS)
    found = related_classes(["car", "bird", "sky"], CLASSES, wordnet=folder)
    assert found[0] == Related((0,), "WordNet")
    assert found[1] == Related((2,), "WordNet")
    assert found[2] == Related((4,), "its name")


def test_what_is_asked_for_is_all_that_is_taken() -> None:
    found = related_classes(["car", "sky"], CLASSES, ["car: Minivan, 3", "sky:"])
    assert found == [Related((0, 3), "asked for"), Related()]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("car sports car", "must name a concept and its classes"),
        ("cat: minivan", "unknown concept of analysis.related 'cat'"),
        ("car: minivans", "unknown class of analysis.related 'minivans'. Did you mean 'minivan'"),
        ("car: 7", "unknown class of analysis.related '7'"),
    ],
)
def test_a_mistake_is_named(entry: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        related_classes(["car"], CLASSES, [entry])
