"""Lay the masks of concepts that overlap into as few maps of label numbers as will hold them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int32

from net2vec_pl.data.reader import UNKNOWN, unknown_label


@dataclass(frozen=True)
class Seen:
    """One concept in one image.

    Args:
        number: Its label number.
        there: Where it is.
        unknown: Where it is unknown whether it is there; what is ``there`` wins.
    """

    number: int
    there: Bool[np.ndarray, "height width"]
    unknown: Bool[np.ndarray, "height width"]


def pack_layers(
    concepts: Sequence[Seen],
    unknown: Bool[np.ndarray, "height width"],
    *,
    complete: bool,
) -> list[Int32[np.ndarray, "height width"]]:
    """Write concepts of one category into label maps; each pixel uses the first maps that are free.

    Args:
        concepts: The concepts of the category that are in the image.
        unknown: Where nothing is known of the category.
        complete: Whether these are all concepts of the category. Where each of them is there or
            unknown, the map then says it once of the whole category.

    Returns:
        As many maps as concepts lie over each other at most.
    """
    if complete and len(concepts) > 1:
        known = [~(c.there | c.unknown) for c in concepts]
        in_doubt = np.logical_or.reduce([c.unknown & ~c.there for c in concepts])
        unknown = unknown | (in_doubt & ~np.logical_or.reduce(known))
    layers: list[Int32[np.ndarray, "height width"]] = []
    depth = np.zeros(unknown.shape, dtype=np.int32)
    _put(layers, depth, unknown, UNKNOWN)
    for concept in concepts:
        _put(layers, depth, concept.there, concept.number)
        doubtful = concept.unknown & ~concept.there & ~unknown
        _put(layers, depth, doubtful, unknown_label(concept.number))
    return layers


def _put(
    layers: list[Int32[np.ndarray, "height width"]],
    depth: npt.NDArray[np.int32],
    where: Bool[np.ndarray, "height width"],
    label: int,
) -> None:
    if not where.any():
        return
    for place in range(int(depth[where].max()) + 1):
        if place == len(layers):
            layers.append(np.zeros(where.shape, dtype=np.int32))
        layers[place][where & (depth == place)] = label
    depth += where
