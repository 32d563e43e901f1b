import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.analysis.word_vectors import word_vectors
from net2vec_pl.errors import ConfigError, DataError

Table = dict[str, npt.NDArray[np.float32]]
WORDS = ["</s>", "the", "dog", "traffic_light", "grey", "palm", "tree", "naïve", "fire", "sky"]


def make_table(width: int = 5, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    return {word: rng.normal(size=width).astype(np.float32) for word in WORDS}


def lines(table: Table, end: str = "\n") -> str:
    return "".join(f"{w} {' '.join(str(float(x)) for x in v)}{end}" for w, v in table.items())


def header(table: Table) -> str:
    return f"{len(table)} {len(next(iter(table.values())))}\n"


def glove(table: Table) -> bytes:
    return lines(table).encode()


def word2vec_text(table: Table) -> bytes:
    # The C program leaves a space at the end of a line.
    return (header(table) + lines(table, " \n")).encode()


def word2vec_binary(table: Table, end: bytes = b"\n") -> bytes:
    rows = [word.encode() + b" " + v.astype("<f4").tobytes() + end for word, v in table.items()]
    return header(table).encode() + b"".join(rows)


def google_news_binary(table: Table) -> bytes:
    return word2vec_binary(table, b"")


FORMS = [glove, word2vec_text, word2vec_binary, google_news_binary]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_vectors_written(
    tmp_path: Path, form: Callable[[Table], bytes], packed: bool
) -> None:
    table, path = make_table(), tmp_path / "vectors"
    path.write_bytes(gzip.compress(form(table)) if packed else form(table))
    found = word_vectors(["sky", "qqq", "naïve", "dog"], path)
    assert found.names == ["sky", "naïve", "dog"]
    assert found.missing == ["qqq"]
    np.testing.assert_array_equal(found.vectors, [table[word] for word in found.names])
    assert found.vectors.dtype == np.float64


@given(width=st.integers(1, 60), seed=st.integers(0, 2**20), form=st.sampled_from(FORMS))
def test_every_width_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, width: int, seed: int, form: Callable[[Table], bytes]
) -> None:
    table = make_table(width, seed)
    # A zero byte, as almost any real file has within its first 4096.
    table["</s>"][0] = 1
    path = tmp_path_factory.mktemp("vectors") / "any"
    path.write_bytes(form(table))
    np.testing.assert_array_equal(word_vectors(WORDS, path).vectors, np.stack(list(table.values())))


def test_names_of_datasets_are_spelled_as_in_the_file(tmp_path: Path) -> None:
    table, path = make_table(), tmp_path / "vectors.txt"
    path.write_bytes(glove(table))
    found = word_vectors(["grey-c", "sky-s", "traffic light", "traffic_light"], path)
    expected = [table["grey"], table["sky"], table["traffic_light"], table["traffic_light"]]
    np.testing.assert_array_equal(found.vectors, expected)


def test_a_phrase_is_the_mean_of_its_words_only_if_all_are_there(tmp_path: Path) -> None:
    table, path = make_table(), tmp_path / "vectors.txt"
    path.write_bytes(glove(table))
    found = word_vectors(["palm tree-s", "fire escape", "traffic light"], path)
    assert found.names == ["palm tree-s", "traffic light"]
    assert found.missing == ["fire escape"]
    mean = (table["palm"].astype(np.float64) + table["tree"]) / 2
    np.testing.assert_allclose(found.vectors[0], mean, rtol=1e-15)


def test_no_name_in_the_file_gives_no_rows_of_its_width(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(word2vec_binary(make_table(7)))
    found = word_vectors(["qqq", "Dog"], path)
    assert found.vectors.shape == (0, 7)
    assert (found.names, found.missing) == ([], ["qqq", "Dog"])
    assert word_vectors([], path).vectors.shape == (0, 7)


def test_words_that_hold_spaces_and_blank_lines_do_not_shift_the_others(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\n. . . 3 4\nat name@domain.com 5 6\n\ndog 7 8\n")
    np.testing.assert_array_equal(word_vectors(["dog"], path).vectors, [[7, 8]])


def test_of_a_word_that_occurs_twice_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("dog 1 2\ndog 3 4\n")
    np.testing.assert_array_equal(word_vectors(["dog"], path).vectors, [[1, 2]])
    rows = [b"dog " + np.float32(value).tobytes() for value in (1, 2)]
    path.write_bytes(b"2 1\n" + b"".join(rows))
    np.testing.assert_array_equal(word_vectors(["dog"], path).vectors, [[1]])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("the 1 2\ndog 3\n", "line 2: not a word with 2 numbers"),
        ("the 1 2\ncat 3 4\ndog 5 6 7\n", "line 3: not a word with 2 numbers"),
        ("2 2\nthe 1 2\ndog 3\n", "line 3: not a word with 2 numbers"),
        ("2 3\nthe 1 2\ndog 3 4\n", "line 2: not a word with 3 numbers"),
        ("1 2\nthe 1 2 3\n", "line 2: not a word with 2 numbers"),
        ("the 1 2\ndog 3 4x\n", "line 2: could not convert"),
        ("the 1 2\ndog nan 4\n", "line 2: a number of the vector is not finite"),
        ("3 2\nthe 1 2\ndog 3 4\n", "has 2 words, but its line 1 says 3"),
        ("1 2\nthe 1 2\ndog 3 4\n", "has 2 words, but its line 1 says 1"),
        ("", "line 1: neither"),
        ("word\n", "line 1: neither"),
        ("5 0\n", "line 1: neither"),
        ("\x93NUMPY\x01\x00 {'descr' : '<f4'}\n", "line 1: neither"),
    ],
)
def test_damaged_text_is_one_error_that_names_file_and_line(
    tmp_path: Path, text: str, where: str
) -> None:
    path = tmp_path / "damaged.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"damaged\.txt.*({where})"):
        word_vectors(["dog"], path)


def test_a_binary_file_cut_short_names_the_byte(tmp_path: Path) -> None:
    table, path = make_table(), tmp_path / "cut.bin"
    whole = google_news_binary(table)
    last = len(whole) - len(b"sky ") - 4 * 5
    for lost in (1, 19, 21, 23):
        path.write_bytes(whole[:-lost])
        with pytest.raises(DataError, match=rf"cut\.bin, word 10 of 10, at byte {last}: .*ends"):
            word_vectors(["dog"], path)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("11 5", "with 5 numbers a word, ends here"),
        ("10 6", "with 6 numbers a word, ends here"),
        ("9 5", r"goes on at byte \d+, after the 9 words of 5 numbers"),
        ("10 4", "(ends here|goes on at byte|not finite)"),  # as the bytes of a number may have it
    ],
)
def test_a_binary_file_that_disagrees_with_its_header_is_refused(
    tmp_path: Path, wrong: str, fault: str
) -> None:
    path = tmp_path / "wrong.bin"
    path.write_bytes(wrong.encode() + b"\n" + word2vec_binary(make_table()).split(b"\n", 1)[1])
    with pytest.raises(DataError, match=rf"wrong\.bin.*{fault}"):
        word_vectors(["dog"], path)


def test_a_binary_vector_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    table, path = make_table(), tmp_path / "nan.bin"
    table["dog"][3] = np.inf
    path.write_bytes(word2vec_binary(table))
    with pytest.raises(DataError, match=r"nan\.bin, word 3 of 10, at byte \d+: .*not finite"):
        word_vectors(["dog"], path)
    assert word_vectors(["sky"], path).names == ["sky"]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_gzip_is_refused(tmp_path: Path, form: Callable[[Table], bytes]) -> None:
    path = tmp_path / "vectors.gz"
    whole = gzip.compress(form(make_table(50)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"vectors\.gz"):
        word_vectors(["dog"], path)
    path.write_bytes(whole[:40] + bytes(20) + whole[60:])
    with pytest.raises(DataError, match=r"vectors\.gz"):
        word_vectors(["dog"], path)


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(ConfigError, match="no file of word vectors"):
            word_vectors(["dog"], path)


def test_a_file_is_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"".join(b"w%d%s\n" % (row, 300 * b" 0.5") for row in range(3000)))
    tracemalloc.start()
    try:
        found = word_vectors(["w2999"], path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found.vectors, np.full((1, 300), 0.5))
    assert peak < path.stat().st_size / 10
