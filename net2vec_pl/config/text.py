"""Keep text what it is: a folder 2024_05_01 is no number, though Hydra would read one."""

import os
import re
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from net2vec_pl.options import quoted

# Options whose values are text, or lists of text: paths, names, import paths.
TEXT = frozenset({
    "run.dir", "run.resume", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir",
    "data.name", "data.root", "data.names", "data.categories", "data._target_", "data.group",
    "data.annotations", "data.images", "data.panoptic", "data.masks", "data.suffix",
    "data.image_suffix", "data.file", "data.labels", "data.mirrors", "data.digest",
    "model.name", "model.weights", "model._target_", "layer", "units.file", "cache.dir",
    "protocol.probe", "beside", "logger.project", "logger.mode",
    "analysis.names", "analysis.arithmetic", "analysis.concepts", "analysis.wordnet",
    "analysis.words", "analysis.later", "analysis.related",
    "bank", "images", "concepts", "weights", "runs", "out", "page",
})  # fmt: skip
_RESUME = "run.resume"
_OPTION = re.compile(r"(\+{0,2}([\w.]+)=)(.*)", re.DOTALL)
_MANY = re.compile(r"(\[|choice\()(.*)([\])])", re.DOTALL)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def text_kept(arguments: Sequence[str]) -> list[str]:
    """Quote the values of text options that Hydra would read as numbers or switches, or not at all.

    ``null`` stays null, ``~/`` is the home folder, and a comma between values still makes a sweep
    of them. What is in quotes is left as it is, so keeping text twice changes nothing.

    Args:
        arguments: Arguments of the command line.

    Example:
        >>> text_kept(["data.root=2024_05_01", "data.names=[1e5,tree]", "seed=1_000"])
        ['data.root="2024_05_01"', 'data.names=["1e5",tree]', 'seed=1_000']
    """
    return [
        f"{match[1]}{(_whole if match[2] == _RESUME else _kept)(match[3])}"
        if (match := _OPTION.fullmatch(argument)) and match[2] in TEXT
        else argument
        for argument in arguments
    ]


def _whole(value: str) -> str:
    """Quote a value that makes no sweep: a comma is part of it."""
    if value[:1] in ("'", '"') or value == "null":
        return value
    return quoted(os.path.expanduser(value))


def _kept(value: str) -> str:
    values = list(_split(value))
    if len(values) > 1:
        return ",".join(map(_kept, values))
    if many := _MANY.fullmatch(value.strip()):
        return f"{many[1]}{','.join(map(_kept, _split(many[2])))}{many[3]}"
    if value.startswith("~/"):
        return quoted(os.path.expanduser(value))
    try:
        read = OverridesParser.create().parse_override(f"x={value}").value()
    except HydraException:
        return quoted(value.strip())
    return quoted(value.strip()) if isinstance(read, bool | int | float) else value


def _split(values: str) -> Iterator[str]:
    """Yield what stands between commas; one in quotes or brackets is part of a value."""
    begun, closing, quote = "", [""], ""
    for i, letter in enumerate(values):
        if quote:
            quote = "" if letter == quote and not _escaped(values[:i]) else quote
        elif letter in "\"'" and not begun.strip(" ([{"):
            quote = letter
        elif letter == closing[-1]:
            closing.pop()
        elif letter in _PAIRS:
            closing.append(_PAIRS[letter])
        elif letter == "," and len(closing) == 1 and not _escaped(values[:i]):
            yield begun
            begun = ""
            continue
        begun += letter
    yield begun


def _escaped(before: str) -> bool:
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1
