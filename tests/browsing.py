"""What tests ask of a page in a browser."""

from typing import Any


def contrast(page: Any) -> float:
    """Return how far a page's text and background are apart in brightness, in [0, 1]."""
    script = "(name) => getComputedStyle(document.body)[name]"
    ink, paper = (page.evaluate(script, name) for name in ("color", "backgroundColor"))
    return abs(_brightness(ink) - _brightness(paper))


def _brightness(colour: str) -> float:
    channels = colour.removeprefix("rgb(").removesuffix(")").split(",")
    return sum(map(float, channels)) / 3 / 255
