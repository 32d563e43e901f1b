"""What the numbers in masks are called: names, and colours, from options or a file."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from net2vec_pl.concepts import Vocabulary
from net2vec_pl.data.reader import UnreadableRowError
from net2vec_pl.datasets.from_torch.labels import NOTHING, concepts_of
from net2vec_pl.datasets.images.mask_files import Colour, Labels
from net2vec_pl.errors import ConfigError, DataError, shorten

DOCS = "docs/datasets.md#names-of-labels"
_NUMBER = ("number", "id", "idx", "index", "label", "value")
_NAME = ("name", "class", "category", "concept", "label")
_CVAT = re.compile(r"([^:#]+):(\d+),(\d+),(\d+)(:.*)?")
_CAMVID = re.compile(r"(\d+)\s+(\d+)\s+(\d+)\s+(\S.*)")


@dataclass(frozen=True)
class MaskLabels:
    """What the numbers in masks are called.

    Args:
        names: Number in the masks -> name. 0 is there only if it is a concept.
        complete: Whether every number has a name, so that another one is a mistake; otherwise
            what has no name is nothing.
        colours: (r, g, b) -> number, where the masks are in colours.
    """

    names: Mapping[int, str]
    complete: bool
    colours: Mapping[Colour, int] = field(default_factory=dict)

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts; where 0 is one of them, label numbers are one more than in the masks."""
        shift = int(0 in self.names)
        numbered = {number + shift: name for number, name in self.names.items()}
        return concepts_of(numbered, are_labels=False)

    def named(self, labels: Labels, what: str) -> Labels:
        """Return label numbers of the vocabulary in place of the numbers of a mask.

        Args:
            labels: The numbers of the mask; negative ones stay.
            what: How to call the mask in a message.

        Raises:
            UnreadableRowError: If a number has no name, though each should have one.
        """
        has_name = np.isin(labels, list(self.names))
        nameless = np.unique(labels[~has_name & (labels > 0)])
        if self.complete and len(nameless):
            raise UnreadableRowError(
                f"{what} holds label {shorten(map(str, nameless.tolist()))}, which has no name; "
                f"there are names for {min(self.names)} to {max(self.names)}: {DOCS}"
            )
        known = np.where(has_name, labels + np.int32(0 in self.names), np.int32(0))
        return np.where(labels < 0, labels, known).astype(np.int32)


def labels_from(given: Any) -> MaskLabels:
    """Read the names of labels.

    Args:
        given: A list of names of labels 1, 2, ..., which may begin with a word for label 0 such as
            ``background``; or {number: name} or {name: number}; or the path of a text, CSV, JSON or
            YAML file that holds such.

    Raises:
        ConfigError: If it is none of these.
        DataError: If a file cannot be read.
    """
    where = "data.labels"
    if isinstance(given, str | Path):
        where, given = f"labels {given}", _read(Path(given).expanduser())
    if isinstance(given, MaskLabels):
        return given
    if isinstance(given, Mapping) and given:
        return _of_mapping(given, where)
    if isinstance(given, Sequence) and not isinstance(given, str) and given:
        if all(isinstance(one, Mapping) for one in given):
            return _of_lines(given, where)
        return _of_list([str(one) for one in given])
    raise ConfigError(
        f"{where}={given} must be a list of names, {{number: name}}, or a file of them: {DOCS}"
    )


def _of_list(names: Sequence[str]) -> MaskLabels:
    first = 0 if names[0].lower() in NOTHING else 1
    return MaskLabels({n: name for n, name in enumerate(names, first) if n > 0}, complete=True)


def _of_mapping(given: Mapping[Any, Any], where: str) -> MaskLabels:
    if all(isinstance(value, int) for value in given.values()):
        given = {value: key for key, value in given.items()}
    if all(isinstance(value, Sequence) and not isinstance(value, str) for value in given.values()):
        return _of_lines(
            [dict(zip(("name", "r", "g", "b"), (k, *v), strict=False)) for k, v in given.items()],
            where,
        )
    names = {}
    for number, name in given.items():
        if not str(number).isdecimal() or not isinstance(name, str):
            raise ConfigError(f"{where} has {number!r}: {name!r}; give {{number: name}}: {DOCS}")
        if int(number) > 0 or name.lower() not in NOTHING:
            names[int(number)] = name
    return MaskLabels(names, complete=False)


def _of_lines(lines: Sequence[Mapping[Any, Any]], where: str) -> MaskLabels:
    """Read lines with a name each and, where there are such columns, a number and a colour."""
    lines = [{str(key).strip().lower(): value for key, value in line.items()} for line in lines]
    columns = [*lines[0]]
    name = next((column for column in _NAME if column in columns), None)
    number = next((column for column in _NUMBER if column in columns and column != name), None)
    if name is None:
        raise DataError(f"{where} has no column of names; it has {shorten(columns)}: {DOCS}")
    plain = _of_list([str(line[name]) for line in lines])
    first = 1 if len(plain.names) == len(lines) else 0
    try:
        numbers = [int(line[number]) if number else n for n, line in enumerate(lines, first)]
        colours = {_colour(line): n for n, line in zip(numbers, lines, strict=True)}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} has a line without a number or a colour: {error}.") from error
    names = {
        n: str(line[name]).strip()
        for n, line in zip(numbers, lines, strict=True)
        if n > 0 or str(line[name]).strip().lower() not in NOTHING
    }
    table = {colour: n for colour, n in colours.items() if colour is not None}
    return MaskLabels(names, complete=number is None, colours=table)


def _colour(line: Mapping[str, Any]) -> Colour | None:
    given = line.get("color", line.get("colour"))
    if given is None and "r" in line:
        given = [line[channel] for channel in "rgb"]
    if isinstance(given, str):
        given = re.findall(r"\d+", given)
    if given is None:
        return None
    red, green, blue = (int(value) for value in given)
    return red, green, blue


def _read(path: Path) -> Any:
    """Return what a file of names holds: a list, a mapping, or lines as mappings."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"labels {path} cannot be read: {error}. {DOCS}") from error
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        try:
            return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError) as error:
            raise DataError(f"labels {path} cannot be read: {error}. {DOCS}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("#")]
    if not lines:
        raise DataError(f"labels {path} names nothing. {DOCS}")
    for pattern, name, colour in ((_CVAT, 1, (2, 3, 4)), (_CAMVID, 4, (1, 2, 3))):
        found = [pattern.fullmatch(line) for line in lines]
        if all(found):
            return [
                {"name": one[name], **dict(zip("rgb", one.group(*colour), strict=True))}
                for one in found
                if one
            ]
    if "\t" in lines[0] or path.suffix.lower() == ".csv":
        return [*csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",")]
    return lines
