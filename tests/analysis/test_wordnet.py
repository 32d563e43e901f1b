"""WordNet in miniature: the real file format, a dozen synsets, ancestries known by hand."""

import csv
import math
import sys
from importlib import resources
from pathlib import Path

import nltk
import numpy as np
import pytest
from support.tiny_wordnet import Synsets, write_wordnet

from net2vec_pl.analysis.wordnet import load_senses, wordnet_vectors
from net2vec_pl.errors import ConfigError, DataError

# key: (part of speech, words, [(pointer, key)]). A word's senses are ranked in this order.
SYNSETS: Synsets = {
    "entity": ("n", ["entity"], []),
    "animal": ("n", ["animal"], [("@", "entity")]),
    "artifact": ("n", ["artifact"], [("@", "entity")]),
    "pet": ("n", ["pet"], [("@", "animal")]),
    "canine": ("n", ["canine"], [("@", "animal")]),
    "dog": ("n", ["dog", "domestic_dog"], [("@", "canine"), ("@", "pet")]),
    "person": ("n", ["person"], [("@", "entity")]),
    "writer": ("n", ["writer"], [("@", "person")]),
    "Crane": ("n", ["Crane", "Stephen_Crane"], [("@i", "writer")]),
    "crane": ("n", ["crane"], [("@", "artifact")]),
    "light": ("n", ["traffic_light"], [("@", "artifact")]),
    "hound": ("v", ["chase", "dog"], []),
    "hesitate": ("v", ["hesitate", "waffle"], []),
    "curb": ("v", ["curb"], [("@", "hold")]),
    "hold": ("v", ["hold"], [("@", "curb")]),
    "striped": ("a", ["striped"], []),
}
# What a concept is, by hand: names as nltk spells them.
KINDS = {
    "dog": {"dog.n.01", "canine.n.01", "pet.n.01", "animal.n.01", "entity.n.01"},
    "animal": {"animal.n.01", "entity.n.01"},
    "crane": {"crane.n.01", "writer.n.01", "person.n.01", "entity.n.01"},
    "traffic light": {"traffic_light.n.01", "artifact.n.01", "entity.n.01"},
    "striped": {"striped.a.01"},
}
MACHINE = {"crane.n.02", "artifact.n.01", "entity.n.01"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_wordnet(tmp_path, SYNSETS)


def cosine(one: set[str], other: set[str]) -> float:
    return len(one & other) / math.sqrt(len(one) * len(other))


def test_a_vector_marks_a_concept_and_all_above_it(folder: Path) -> None:
    found = wordnet_vectors(list(KINDS), folder, senses={})
    columns = sorted(set.union(*KINDS.values()))
    expected = np.zeros((len(KINDS), len(columns)))
    for row, kinds in enumerate(KINDS.values()):
        for column, synset in enumerate(columns):
            if synset in kinds:
                expected[row, column] = 1 / math.sqrt(len(kinds))
    assert found.names == list(KINDS)
    assert found.missing == []
    np.testing.assert_allclose(found.vectors, expected, atol=1e-15)


def test_cosines_say_how_much_of_their_ancestry_two_concepts_share(folder: Path) -> None:
    vectors = wordnet_vectors(list(KINDS), folder, senses={}).vectors
    expected = [[cosine(one, other) for other in KINDS.values()] for one in KINDS.values()]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-12)


def test_a_sense_chosen_by_hand_takes_the_place_of_the_first(folder: Path) -> None:
    names = ["crane", "traffic light"]
    first = wordnet_vectors(names, folder, senses={}).vectors
    chosen = wordnet_vectors(names, folder, senses={"crane": "crane.n.02"}).vectors
    light = KINDS["traffic light"]
    assert first[0] @ first[1] == pytest.approx(cosine(KINDS["crane"], light))
    assert chosen[0] @ chosen[1] == pytest.approx(cosine(MACHINE, light))
    assert chosen[0] @ chosen[1] > first[0] @ first[1]


def test_a_sense_for_the_full_name_goes_before_one_for_the_plain_word(folder: Path) -> None:
    senses = {"crane-c": "crane.n.02", "crane": "dog.n.01"}
    found = wordnet_vectors(["crane-c", "crane-s", "dog"], folder, senses)
    assert found.vectors[0] @ found.vectors[2] == pytest.approx(cosine(MACHINE, KINDS["dog"]))
    np.testing.assert_array_equal(found.vectors[1], found.vectors[2])


def test_an_empty_sense_leaves_a_concept_out(folder: Path) -> None:
    assert wordnet_vectors(["waffle"], folder, senses={}).names == ["waffle"]
    assert wordnet_vectors(["waffle"], folder, senses={"waffle": ""}).missing == ["waffle"]


@pytest.mark.parametrize("name", ["dog-c", "dog-s", "Dog", "dogs", "doggies", "domestic dog"])
def test_names_of_datasets_are_spelled_as_in_wordnet(folder: Path, name: str) -> None:
    found = wordnet_vectors(["dog", name], folder, senses={})
    assert found.names == ["dog", name]
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])


def test_names_not_in_wordnet_are_returned_in_the_order_asked(folder: Path) -> None:
    found = wordnet_vectors(["safety side", "dog", "0016e5-s"], folder)
    assert found.names == ["dog"]
    assert found.missing == ["safety side", "0016e5-s"]
    assert found.vectors.shape == (1, len(KINDS["dog"]))


def test_no_name_in_wordnet_and_no_name_at_all_give_no_rows(folder: Path) -> None:
    assert wordnet_vectors(["qqq"], folder).vectors.shape == (0, 0)
    assert wordnet_vectors([], folder).names == []


def test_verbs_that_are_each_others_hypernyms_end(folder: Path) -> None:
    found = wordnet_vectors(["curb", "hold"], folder)
    np.testing.assert_allclose(found.vectors, np.full((2, 2), math.sqrt(0.5)))


def test_a_sense_that_does_not_exist_is_refused(folder: Path) -> None:
    for sense in ("crane.n.09", "nothing.n.01", "crane"):
        with pytest.raises(ConfigError, match=f"'{sense}' of the concept 'crane'"):
            wordnet_vectors(["crane"], folder, senses={"crane": sense})


def test_without_nltk_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(ConfigError, match=r"pip install 'net2vec_pl\[wordnet\]'"):
        wordnet_vectors(["dog"], folder)


def test_a_folder_without_wordnet_is_refused_and_one_that_lacks_a_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"index.noun.*and 8 more not found.*corpora/wordnet"):
        wordnet_vectors(["dog"], folder / "nowhere")
    (folder / "data.verb").unlink()
    with pytest.raises(ConfigError, match=r": data.verb not found"):
        wordnet_vectors(["dog"], folder)


@pytest.mark.parametrize(("file", "kept"), [("data.noun", 300), ("index.noun", -20)])
def test_a_file_cut_short_is_a_data_error(folder: Path, file: str, kept: int) -> None:
    whole = (folder / file).read_text()
    (folder / file).write_text(whole[:kept])
    with pytest.raises(DataError, match=r"WordNet in .* is it damaged\?"):
        wordnet_vectors(["traffic light"], folder)


def test_a_hypernym_out_of_place_is_a_data_error(folder: Path) -> None:
    whole = (folder / "data.noun").read_text()
    (folder / "data.noun").write_text(whole.replace("what entity means", "what an entity means"))
    with pytest.raises(DataError, match="No WordNet synset found"):
        wordnet_vectors(["dog"], folder)


def test_nltk_is_left_as_it_was(folder: Path) -> None:
    before = list(nltk.data.path)
    wordnet_vectors(["dog"], folder)
    assert nltk.data.path == before


def test_each_sense_chosen_by_hand_has_its_reason() -> None:
    text = resources.files("net2vec_pl.analysis").joinpath("senses.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert all(row["reason"] for row in rows)
    assert load_senses() == {row["name"]: row["synset"] for row in rows}
    assert [row["name"] for row in rows if not row["synset"]] == ["waffled"]
    assert len(rows) == 11 + 1


def test_the_senses_chosen_by_hand_are_what_the_real_wordnet_calls_them() -> None:
    real = Path("/usr/share/wordnet")
    if not (real / "data.noun").is_file():
        pytest.skip(f"no WordNet 3.0 in {real}: install Debian's package wordnet-base")
    above = {
        "grey-c": "color",
        "white-c": "color",
        "orange-c": "color",
        "muzzle": "body part",
        "crane": "device",
        "plant": "organism",
        "table": "furniture",
        "van": "motor vehicle",
        "ottoman": "furniture",
        "bannister": "barrier",
        "blinds": "protective covering",
    }
    # WordNet knows no capitals, but senses.csv does: these take the first sense.
    firsts = [name.removesuffix("-c").upper() for name in above]
    found = wordnet_vectors([*above, *firsts, *above.values()], real)
    assert found.missing == []
    marked = dict(zip(found.names, found.vectors > 0, strict=True))
    for (name, kind), first in zip(above.items(), firsts, strict=True):
        assert (marked[name] >= marked[kind]).all(), name
        assert not (marked[first] >= marked[kind]).all(), name
