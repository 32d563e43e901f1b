"""What a figure's axes show, as plain numbers."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    Args:
        x: Where its points are.
        y: Their heights.
        colour: As it was given.
        error: Half the lengths of its error bars, where it has any.
    """

    x: list[float]
    y: list[float]
    colour: str
    error: list[float]


def lines(axes: Axes) -> dict[str, Line]:
    """Return the lines that have a label, by it."""
    found = {}
    for container in axes.containers:
        if not isinstance(container, ErrorbarContainer):
            continue
        parts: Any = container
        segments = [s for s in parts[2][0].get_segments() if len(s)]
        error = [float(top[1] - low[1]) / 2 for low, top in segments]
        found[str(container.get_label())] = _line(parts[0], error)
    for line in axes.lines:
        if not str(line.get_label()).startswith("_"):
            found[str(line.get_label())] = _line(line, [])
    return found


def _line(line: Any, error: list[float]) -> Line:
    x, y = ([float(v) for v in values] for values in (line.get_xdata(), line.get_ydata()))
    return Line(x, y, str(line.get_color()), error)


def heights(axes: Axes) -> list[float]:
    """Return the heights of the bars, in the order in which they were drawn."""
    patches: Any = axes.patches
    return [float(bar.get_height()) for bar in patches]
