"""From logits on the activation grid to masks of any size, in memory that does not grow with it."""

import itertools
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from net2vec_pl.concepts import Concept
from net2vec_pl.figures.colours import distinct_colours
from net2vec_pl.functional.resize import bilinear_matrix, upsample

MOST_CONCEPTS = 255  # that the palette of a PNG can number, besides 0 for none
# A tile of one concept is 128 KiB, and lies within few cells of the activation grid.
_TILE = (128, 256)
_CONCEPTS_AT_ONCE = 8


@dataclass(frozen=True)
class Sheet:
    """Concepts that exclude each other in one picture: those of a category, 255 at most.

    Args:
        folder: Folder of its masks.
        columns: Which of the concepts asked for they are.
        concepts: By index in the picture, from 1.
        colours: Colour of each concept, by index in the picture.
    """

    folder: str
    columns: list[int]
    concepts: list[Concept]
    colours: UInt8[np.ndarray, "n 3"]


def sheets_of(concepts: Sequence[Concept]) -> list[Sheet]:
    """Put every concept on a sheet of its category.

    Args:
        concepts: Those asked for.
    """
    sheets: dict[str, Sheet] = {}
    for category in dict.fromkeys(concept.category for concept in concepts):
        columns = [i for i, concept in enumerate(concepts) if concept.category == category]
        for first in range(0, len(columns), MOST_CONCEPTS):
            part = columns[first : first + MOST_CONCEPTS]
            folder = _free_name(category, sheets)
            chosen = [concepts[i] for i in part]
            sheets[folder] = Sheet(folder, part, chosen, distinct_colours(len(part)))
    return list(sheets.values())


def _free_name(category: str, taken: Container[str]) -> str:
    plain = re.sub(r"[^\w.+-]", "_", category).strip(".") or "_"
    names = itertools.chain([plain], (f"{plain}_{i}" for i in itertools.count(2)))
    return next(name for name in names if name not in taken)


def strongest(
    logits: Float[Tensor, "c h w"], size: tuple[int, int], *, align_corners: bool
) -> tuple[UInt8[Tensor, "H W"], Int64[Tensor, "c"]]:
    """Find at every pixel the concept of the highest probability among those above one half.

    Args:
        logits: On the activation grid, of at most 255 concepts; NaN where there is no embedding.
        size: (H, W) wanted.
        align_corners: Whether bilinear upsampling aligns the corner samples.

    Returns:
        Its position among the concepts, from 1, and 0 where there is none; and the size in pixels
        of every concept's own mask, in which no other takes part.
    """
    rows, columns = _matrices(logits, size, align_corners)
    labels = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    pixels = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    for down, across in itertools.product(range(0, size[0], _TILE[0]), range(0, size[1], _TILE[1])):
        tile = slice(down, down + _TILE[0]), slice(across, across + _TILE[1])
        label = labels[tile]
        best = torch.zeros(label.shape, device=logits.device)
        for some, maps in _positive(logits, rows[tile[0]], columns[tile[1]]):
            pixels[some] += torch.count_nonzero(maps > 0, (1, 2))
            for concept, values in zip(some.tolist(), maps, strict=True):
                label.masked_fill_(values > best, concept + 1)
                torch.maximum(best, values, out=best)
    return labels.cpu(), pixels.cpu()


def _positive(
    logits: Float[Tensor, "c h w"], rows: Float[Tensor, "H h"], columns: Float[Tensor, "W w"]
) -> Iterator[tuple[Int64[Tensor, "n"], Float[Tensor, "n H W"]]]:
    """Upsample to a tile, some at a time, the concepts that are positive anywhere in it.

    Between values that are not positive there is none that is, so most concepts are done with.
    """
    beside = rows.any(0), columns.any(0)
    near = logits[:, beside[0]][:, :, beside[1]]
    found = (near.flatten(1).amax(1) > 0).nonzero()[:, 0]
    for some in torch.split(found, _CONCEPTS_AT_ONCE):
        yield some, upsample(near[some], rows[:, beside[0]], columns[:, beside[1]])


def probability_maps(
    logits: Float[Tensor, "c h w"], size: tuple[int, int], *, align_corners: bool
) -> Iterator[np.ndarray]:
    """Yield the probabilities (H, W) of concept after concept, float16, in [0, 1].

    What is above one half stays above it when it is rounded.

    Args:
        logits: Logits on the activation grid; NaN where there is no embedding.
        size: (H, W) wanted.
        align_corners: Whether bilinear upsampling aligns the corner samples.
    """
    rows, columns = _matrices(logits, size, align_corners)
    half = np.float16(0.5)
    for logit in logits:
        maps = upsample(logit, rows, columns)
        above = (maps > 0).cpu().numpy()
        rounded = maps.sigmoid_().cpu().numpy().astype(np.float16)
        rounded[above] = rounded[above].clip(np.nextafter(half, np.float16(1)))
        yield rounded


def _matrices(
    logits: Float[Tensor, "c h w"], size: tuple[int, int], align_corners: bool
) -> tuple[Float[Tensor, "H h"], Float[Tensor, "W w"]]:
    rows, columns = (
        bilinear_matrix(*pair, align_corners=align_corners).to(logits.device)
        for pair in zip(logits.shape[1:], size, strict=True)
    )
    return rows, columns
