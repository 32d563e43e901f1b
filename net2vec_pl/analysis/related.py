"""Which classes of a network's answer have to do with a concept."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from net2vec_pl.analysis.references import plain_word
from net2vec_pl.analysis.wordnet import kinds_among
from net2vec_pl.errors import ConfigError, unknown

ASKED, WORDNET, NAME = "asked for", "WordNet", "its name"


@dataclass(frozen=True)
class Related:
    """The classes of one concept.

    Args:
        classes: Their numbers; may be none.
        how: What says so: ``asked for``, ``WordNet`` or ``its name``; empty where there are none.
    """

    classes: tuple[int, ...] = ()
    how: str = ""


def related_classes(
    concepts: Sequence[str],
    classes: Sequence[str],
    asked: Sequence[str] | None = None,
    wordnet: Path | None = None,
    offsets: Sequence[int] | None = None,
) -> list[Related]:
    """Return the classes of every concept.

    Args:
        concepts: Names of the concepts.
        classes: Names of the classes.
        asked: Such as ``"car: sports car, minivan"``, by names or numbers of classes; of a concept
            that is named here, nothing else is taken.
        wordnet: A folder with WordNet's dict files: classes that are a kind of the concept.
            Without it, or where it knows none, classes whose names end in the concept's, as in
            "sports car".
        offsets: Where WordNet has each class, if that is known better than from its name.

    Raises:
        ConfigError: If something asked for is no concept or no class.
    """
    given = _asked(asked or (), concepts, classes)
    kinds = {} if wordnet is None else kinds_among(concepts, classes, wordnet, offsets)
    found = []
    for name in concepts:
        if name in given:
            found.append(Related(given[name], ASKED if given[name] else ""))
        elif kinds.get(name):
            found.append(Related(kinds[name], WORDNET))
        else:
            word = plain_word(name).replace("_", " ")
            named = re.compile(rf"\b{re.escape(word)}$", re.IGNORECASE)  # a tree frog is no tree
            mine = tuple(i for i, text in enumerate(classes) if named.search(text))
            found.append(Related(mine, NAME if mine else ""))
    return found


def _asked(
    entries: Sequence[str], concepts: Sequence[str], classes: Sequence[str]
) -> Mapping[str, tuple[int, ...]]:
    number = {name.lower(): i for i, name in enumerate(classes)}
    given: dict[str, tuple[int, ...]] = {}
    for entry in entries:
        concept, colon, some = (part.strip() for part in entry.partition(":"))
        if not colon:
            raise ConfigError(
                f"analysis.related: {entry!r} must name a concept and its classes, as in "
                "'car: sports car, minivan'."
            )
        if concept not in concepts:
            raise ConfigError(unknown("concept of analysis.related", concept, concepts))
        mine = []
        for name in filter(None, (part.strip().lower() for part in some.split(","))):
            if name.isdecimal() and int(name) < len(classes):
                mine.append(int(name))
            elif name in number:
                mine.append(number[name])
            else:
                raise ConfigError(unknown("class of analysis.related", name, [*number]))
        given[concept] = tuple(mine)
    return given
