"""Word vectors of concept names, out of files made by word2vec, GloVe or fastText.

Such files hold millions of words, so they are read as a stream and only the words asked for are
kept. Four forms are told apart by their content: text with a first line ``count width`` (word2vec,
fastText) or without (GloVe), word2vec's binary form, and any of these packed by gzip.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from net2vec_pl.analysis.references import Reference, plain_word
from net2vec_pl.errors import ConfigError, DataError

_Vector = npt.NDArray[np.float64]
_Found = dict[bytes, _Vector]

_GZIP = b"\x1f\x8b"
_SAMPLE = 4096
_LONGEST_LINE = 2**20
# Control characters, but for tab, line feed and carriage return.
_NEVER_IN_TEXT = bytes(set(range(32)) - set(b"\t\n\r"))


def word_vectors(names: Sequence[str], path: Path) -> Reference:
    """Read the vectors of concept names, as the file gives them (not of unit norm).

    A name of several words takes the vector of the phrase, joined by ``_``, where the file has it,
    and else the mean of its words' vectors where it has all of them. Upper and lower case are
    distinct, and of a word that occurs twice the first counts.

    Args:
        names: Concept names, with or without BRODEN's ``-c`` and ``-s``.
        path: Text or binary word2vec, GloVe or fastText vectors; gzip or not.

    Returns:
        Vectors (n, width of the file); none at all if no name occurs in the file.

    Raises:
        ConfigError: If there is no such file.
        DataError: If the file is damaged, or of another kind; with the line, or the byte in
            unpacked data.
    """
    words = {name: plain_word(name) for name in names}
    wanted = {part.encode() for word in words.values() for part in (word, *word.split("_"))}
    width, found = _read(path, wanted)
    vectors = {name: _vector_of(word, found) for name, word in words.items()}
    known = {name: vector for name, vector in vectors.items() if vector is not None}
    stacked = np.array(list(known.values()), dtype=np.float64).reshape(len(known), width)
    return Reference(list(known), stacked, [name for name in names if name not in known])


def _vector_of(word: str, found: _Found) -> _Vector | None:
    if word.encode() in found:
        return found[word.encode()]
    parts = [part.encode() for part in word.split("_")]
    if all(part in found for part in parts):
        mean: _Vector = np.mean([found[part] for part in parts], axis=0)
        return mean
    return None


def _read(path: Path, wanted: set[bytes]) -> tuple[int, _Found]:
    """Return the width of a file, and the wanted words' vectors."""
    if not path.is_file():
        raise ConfigError(f"no file of word vectors at {path}.")
    try:
        with _unpacked(path) as stream:
            return _parse(stream, path, wanted)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}.") from error


def _unpacked(path: Path) -> io.BufferedReader:
    stream = path.open("rb")
    if stream.peek(2)[:2] != _GZIP:
        return stream
    stream.close()
    return io.BufferedReader(gzip.open(path), buffer_size=_LONGEST_LINE)


def _parse(stream: io.BufferedReader, path: Path, wanted: set[bytes]) -> tuple[int, _Found]:
    first = stream.readline(_LONGEST_LINE)
    head = first.split()
    announced = len(head) == 2 and all(field.isdigit() for field in head)
    width = int(head[1]) if announced else first.rstrip().count(b" ")
    if width == 0 or not _is_text(first):
        raise DataError(
            f"{path}, line 1: neither a word with its numbers nor 'count width'. Text and binary "
            "files of word2vec, GloVe and fastText can be read, packed by gzip or not."
        )
    if not announced:
        return width, _read_text(itertools.chain([first], stream), path, 1, width, wanted)[1]
    count = int(head[0])
    if not _is_text(stream.peek(_SAMPLE)[:_SAMPLE]):
        return width, _read_binary(stream, path, count, width, wanted)
    rows, found = _read_text(stream, path, 2, width, wanted)
    if rows != count:
        raise DataError(f"{path} has {rows} words, but its line 1 says {count}: was it cut short?")
    return width, found


def _is_text(sample: bytes) -> bool:
    """Tell text from float32, a byte in nine of whose is a control character."""
    return sample.translate(None, _NEVER_IN_TEXT) == sample


def _read_text(
    lines: Iterable[bytes], path: Path, start: int, width: int, wanted: set[bytes]
) -> tuple[int, _Found]:
    """Read lines, counted from ``start``; return how many words they hold, and those wanted."""
    rows = 0
    found: _Found = {}
    for number, raw in enumerate(lines, start):
        line = raw.rstrip()
        if not line:
            continue
        rows += 1
        word = _word_of(line, width)
        if word is None:
            raise DataError(f"{path}, line {number}: not a word with {width} numbers.")
        if word in wanted and word not in found:
            found[word] = _numbers(line.split()[-width:], f"{path}, line {number}")
    return rows, found


def _word_of(line: bytes, width: int) -> bytes | None:
    """Cut the word, which may hold spaces in GloVe, off a line; None if the width is another."""
    spare = line.count(b" ") - width
    if spare == 0:
        return line.partition(b" ")[0]
    word = line.rsplit(b" ", width)[0].strip()
    if spare < 0 or (b" " in word and _is_number(word.rsplit(b" ", 1)[1])):
        return None
    return word


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(fields: Iterable[bytes | np.float32], place: str) -> _Vector:
    try:
        vector = np.array([float(field) for field in fields])
    except ValueError as error:
        raise DataError(f"{place}: {error}.") from error
    if not np.isfinite(vector).all():
        raise DataError(f"{place}: a number of the vector is not finite.")
    return vector


def _read_binary(
    stream: io.BufferedReader, path: Path, count: int, width: int, wanted: set[bytes]
) -> _Found:
    """Read word2vec's binary form: a word, a space and ``width`` float32, little-endian.

    The C program ends each vector by a line feed, other writers do not.
    """
    found: _Found = {}
    for row in range(count):
        start = stream.tell()
        word = _up_to_space(stream).lstrip(b"\n")
        packed = stream.read(4 * width)
        place = f"{path}, word {row + 1} of {count}, at byte {start}"
        if len(packed) < 4 * width:
            raise DataError(
                f"{place}: the file, read as binary with {width} numbers a word, ends here."
            )
        if word in wanted and word not in found:
            found[word] = _numbers(np.frombuffer(packed, "<f4"), place)
    end = stream.tell()
    if stream.read(2) not in (b"", b"\n"):
        raise DataError(
            f"{path} goes on at byte {end}, after the {count} words of {width} numbers that its "
            "line 1 announces."
        )
    return found


def _up_to_space(stream: io.BufferedReader) -> bytes:
    letters = []
    while (letter := stream.read(1)) not in (b" ", b""):
        letters.append(letter)
    return b"".join(letters)
