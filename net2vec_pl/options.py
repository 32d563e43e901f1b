"""Options as the command line writes them."""

import re
from collections.abc import Mapping
from typing import Any


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested options as on the command line.

    Example:
        >>> flat({"seed": 0, "protocol": {"lr": 0.1}})
        {'seed': 0, 'protocol.lr': 0.1}
    """
    leaves: dict[str, Any] = {}
    for name, value in options.items():
        nested = isinstance(value, Mapping) and value
        leaves |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return leaves


def quoted(value: object) -> str:
    r"""Write the value of an option so that Hydra reads it as it stands.

    Hydra takes a backslash literally, except in front of a quotation mark.

    Example:
        >>> print(quoted('a "b" #1'), quoted("a\\b"))
        "a \"b\" #1" "a\b"
    """
    text = re.sub(r'\\*(?="|\Z)', lambda slashes: 2 * slashes[0], str(value))
    return '"' + text.replace('"', '\\"') + '"'
