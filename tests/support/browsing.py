"""What tests ask of a page in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def fitting_page(browser: Any, address: str, width: int, scheme: str) -> Iterator[Any]:
    """Open a page that must fit a window and be readable in a colour scheme."""
    size = {"width": width, "height": 844}
    with browser.new_page(viewport=size, color_scheme=scheme) as page:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert contrast(page) > 0.8
        yield page


def contrast(page: Any) -> float:
    """Return how far a page's text and background are apart in brightness, in [0, 1]."""
    script = "(name) => getComputedStyle(document.body)[name]"
    ink, paper = (page.evaluate(script, name) for name in ("color", "backgroundColor"))
    return abs(_brightness(ink) - _brightness(paper))


def _brightness(colour: str) -> float:
    channels = colour.removeprefix("rgb(").removesuffix(")").split(",")
    return sum(map(float, channels)) / 3 / 255
