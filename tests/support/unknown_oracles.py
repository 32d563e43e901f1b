"""Slow and literal: what is known of every pixel, and every count as a loop over pixels.

Nothing here knows the package. A pixel is True (of the concept), False (not of it) or None
(unknown), and what is None is passed over.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

Truth = list[list[bool | None]]


def truth_of(
    maps: np.ndarray,
    map_categories: Sequence[str],
    image_labels: Sequence[tuple[str, int]],
    number: int,
    categories: Sequence[str],
) -> Truth:
    """Say of each pixel of one image whether it is of a concept: yes, no, or unknown (None)."""
    _, height, width = maps.shape
    rows: Truth = []
    for y in range(height):
        row: list[bool | None] = []
        for x in range(width):
            held = [int(layer[y, x]) for layer in maps]
            if number in held or any(n == number for _, n in image_labels):
                row.append(True)
            elif -1 - number in held or any(
                value == -1 and category in categories
                for value, category in zip(held, map_categories, strict=True)
            ):
                row.append(None)
            else:
                row.append(False)
        rows.append(row)
    return rows


def pixels(truth: Truth) -> Iterator[tuple[int, int, bool]]:
    """Yield what is known: y, x, and whether the concept is there."""
    for y, row in enumerate(truth):
        for x, value in enumerate(row):
            if value is not None:
                yield y, x, value


def counts(predicted: np.ndarray, truth: Truth) -> tuple[int, int]:
    """Count intersection and union over known pixels."""
    both = either = 0
    for y, x, there in pixels(truth):
        both += bool(predicted[y, x]) and there
        either += bool(predicted[y, x]) or there
    return both, either


def loss_and_slope(
    logits: np.ndarray, truth: Truth, alpha: float, loss: str
) -> tuple[float, np.ndarray]:
    """Return the loss of one image over known pixels, and its slope by every upsampled logit."""
    total, slope = 0.0, np.zeros(logits.shape)
    for y, x, there in pixels(truth):
        m = 1 / (1 + math.exp(-float(logits[y, x])))
        weight = alpha if there else 1 - alpha
        right, sign = (m, 1) if there else (1 - m, -1)
        if loss == "agreement":
            total -= weight * right
            slope[y, x] = -weight * sign * m * (1 - m)
        else:
            total -= weight * math.log(right)
            slope[y, x] = -weight * sign * (1 - right)
    return total, slope


def alpha(truths: Sequence[Truth]) -> float:
    """Return 1 - the mean share of known pixels over images that contain the concept."""
    shares = []
    for truth in truths:
        known = [there for _, _, there in pixels(truth)]
        if any(known):
            shares.append(sum(known) / len(known))
    return 1 - sum(shares) / len(shares)


def average_precision(logits: Sequence[np.ndarray], truths: Sequence[Truth]) -> float:
    """Return average precision over all known pixels; equal logits enter together."""
    scored = [
        (float(of[y, x]), there)
        for of, truth in zip(logits, truths, strict=True)
        for y, x, there in pixels(truth)
    ]
    positives = sum(there for _, there in scored)
    area, found, called = 0.0, 0, 0
    for level in sorted({value for value, _ in scored}, reverse=True):
        new = [there for value, there in scored if value == level]
        found, called = found + sum(new), called + len(new)
        area += sum(new) / positives * found / called
    return area


def argmax_counts(logits: np.ndarray, truths: Sequence[Truth]) -> list[tuple[int, int]]:
    """Count intersection and union of each of some concepts of a category, in one image.

    Where a concept is known to be there, the highest logit among those that are known wins. A pixel
    where some are unknown and none is known to be absent says nothing.
    """
    both, either = [0] * len(truths), [0] * len(truths)
    for y in range(logits.shape[1]):
        for x in range(logits.shape[2]):
            values = [truth[y][x] for truth in truths]
            if True not in values or (None in values and False not in values):
                continue
            able = [c for c, value in enumerate(values) if value is not None]
            winner = max(able, key=lambda c: logits[c, y, x])
            for c in able:
                both[c] += c == winner and values[c] is True
                either[c] += c == winner or values[c] is True
    return list(zip(both, either, strict=True))


def shares(truth: Truth, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each cell that is of the concept, and that is known; cells are whole."""
    height, width = len(truth) // grid[0], len(truth[0]) // grid[1]
    inside, known = np.zeros(grid), np.zeros(grid)
    for y, x, there in pixels(truth):
        known[y // height, x // width] += 1 / (height * width)
        inside[y // height, x // width] += there / (height * width)
    return inside, known
