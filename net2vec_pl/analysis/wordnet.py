"""WordNet vectors of concept names: which kinds of thing a concept is, as zeros and ones.

A concept's synset and everything above it, up to ``entity``, are the columns that are not zero; so
the cosine of two concepts says how much of their ancestry they share (supplement, section 3.2.1).

A name's first sense is not always what a dataset means by it: ``senses.csv`` beside this file names
another, with the reason. The paper corrected 11 by hand, of which grey, muzzle and crane are
known; the others here are of our choosing. They are senses of WordNet 3.0.
"""

import contextlib
import csv
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from net2vec_pl.analysis.references import Reference, plain_word
from net2vec_pl.errors import ConfigError, DataError, Net2VecError, shorten

_PARTS = ("noun", "verb", "adj", "adv")
_FILES = [f"{kind}.{part}" for kind in ("index", "data") for part in _PARTS]
_FILES += [f"{part}.exc" for part in _PARTS]


def wordnet_vectors(
    names: Sequence[str], folder: Path, senses: Mapping[str, str] | None = None
) -> Reference:
    """Return a unit vector over WordNet's synsets for every concept name in WordNet.

    A vector holds equal values at the concept's synset and at all its hypernyms, and zero
    elsewhere. The synset is the first noun of that name or, if there is none, the first of any
    part of speech; WordNet's own rules turn plurals into singulars. A single being or place
    (``instance``) is followed to its class.

    Args:
        names: Concept names, with or without BRODEN's ``-c`` and ``-s``.
        folder: Princeton's dict files, such as nltk's ``corpora/wordnet`` (unpacked) or
            ``/usr/share/wordnet`` of Debian's package wordnet-base.
        senses: Synset by concept name, or by its plain word, where the first is not meant;
            ``""`` for a concept that WordNet does not have. By default :func:`load_senses`.

    Returns:
        Vectors (n, synsets that occur), columns in alphabetical order of synsets.

    Raises:
        ConfigError: If nltk is not installed, the folder lacks a file or a synset in ``senses``
            does not exist.
        DataError: If the files are damaged.
    """
    senses = load_senses() if senses is None else senses
    kinds: dict[str, set[str]] = {}
    with _open_wordnet(folder) as wordnet:
        for name in names:
            synset = _synset(wordnet, name, senses)
            if synset is not None:
                kinds[name] = _with_hypernyms(synset)
    columns = {synset: i for i, synset in enumerate(sorted(set().union(*kinds.values())))}
    vectors = np.zeros((len(kinds), len(columns)))
    for row, found in enumerate(kinds.values()):
        vectors[row, [columns[synset] for synset in found]] = len(found) ** -0.5
    return Reference(list(kinds), vectors, [name for name in names if name not in kinds])


def kinds_among(
    concepts: Sequence[str],
    things: Sequence[str],
    folder: Path,
    offsets: Sequence[int] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Return which things are a kind of each concept: its synset is at or above theirs.

    Args:
        concepts: Concept names.
        things: Names of things, such as classes; the first noun of a name is meant.
        folder: As in :func:`wordnet_vectors`.
        offsets: Where the synset of each thing stands among WordNet's nouns; by name if None.

    Returns:
        Numbers of things by concept; only concepts that WordNet has.

    Raises:
        ConfigError: As :func:`wordnet_vectors`.
        DataError: If the files are damaged.
    """
    senses, found = load_senses(), {}
    with _open_wordnet(folder) as wordnet:
        above = []
        for i, thing in enumerate(things):
            if offsets is not None:
                nouns = [wordnet.synset_from_pos_and_offset("n", offsets[i])]
            else:
                nouns = wordnet.synsets(plain_word(thing), "n")
            above.append(_with_hypernyms(nouns[0]) if nouns else set())
        for concept in concepts:
            if (synset := _synset(wordnet, concept, senses)) is not None:
                mine = (i for i, names in enumerate(above) if synset.name() in names)
                found[concept] = tuple(mine)
    return found


def load_senses() -> dict[str, str]:
    """Return the senses chosen by hand: synset (or ``""`` for none) by concept name.

    Example:
        >>> load_senses()["muzzle"]
        'muzzle.n.02'
    """
    text = resources.files("net2vec_pl.analysis").joinpath("senses.csv").read_text("utf-8")
    return {row["name"]: row["synset"] for row in csv.DictReader(io.StringIO(text))}


def _synset(wordnet: Any, name: str, senses: Mapping[str, str]) -> Any:
    word = plain_word(name)
    sense = senses.get(name, senses.get(word))
    if sense is None:
        found = wordnet.synsets(word)  # nouns first
        return found[0] if found else None
    if not sense:
        return None
    try:
        return wordnet.synset(sense)
    except Exception as error:
        raise ConfigError(
            f"the sense {sense!r} of the concept {name!r} is not in this WordNet: {error}. Senses "
            "are written like 'crane.n.04' and counted as in WordNet 3.0."
        ) from error


def _with_hypernyms(synset: Any) -> set[str]:
    """Follow hypernyms to the top; among verbs there are circles."""
    found: set[str] = set()
    todo = [synset]
    while todo:
        here = todo.pop()
        if here.name() not in found:
            found.add(here.name())
            todo += here.hypernyms() + here.instance_hypernyms()
    return found


@contextlib.contextmanager
def _open_wordnet(folder: Path) -> Iterator[Any]:
    absent = [file for file in _FILES if not (folder / file).is_file()]
    if absent:
        raise ConfigError(
            f"no WordNet in {folder}: {shorten(absent, 4)} not found. Give the folder of "
            "Princeton's dict files: nltk's corpora/wordnet, unpacked, or /usr/share/wordnet of "
            "Debian's package wordnet-base."
        )
    with contextlib.ExitStack() as stack:
        # nltk warns that it lacks other languages, and only warns when a synset is not where the
        # index says.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="No WordNet synset found")
        try:
            yield _reader(folder.resolve(), stack)
        except Net2VecError:
            raise
        except Exception as error:  # nltk has no one error for a damaged file
            raise DataError(
                f"WordNet in {folder} cannot be read, is it damaged? "
                f"{type(error).__name__}: {error}"
            ) from error


def _reader(folder: Path, files: contextlib.ExitStack) -> Any:
    """Return nltk's reader of a folder; ``files`` closes what it opens."""
    try:
        import nltk
        from nltk.corpus.reader.wordnet import WordNetCorpusReader
    except ImportError as error:
        raise ConfigError(
            "WordNet is read through nltk, which is not installed: "
            "pip install 'net2vec_pl[wordnet]'."
        ) from error

    class Reader(WordNetCorpusReader):  # type: ignore[misc]  # nltk publishes no types
        def open(self, file: str) -> Any:
            """Open a file of the folder; Debian's lacks lexnames, of which only numbers count."""
            if file == "lexnames":
                return io.StringIO("".join(f"{number:02d}\t-\t0\n" for number in range(100)))
            return files.enter_context((folder / file).open(encoding="utf-8"))

        def map_wn(self, version: str = "wordnet") -> None:
            """Skip the map to other languages, which needs files of nltk's own download."""

    # nltk reads only below the folders of this list.
    nltk.data.path.append(str(folder))
    try:
        return Reader(str(folder), None)
    finally:
        nltk.data.path.remove(str(folder))
