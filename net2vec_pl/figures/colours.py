"""Many colours that differ as much as they can, for areas that may touch each other."""

import numpy as np
from jaxtyping import Float64, Int16, UInt8
from matplotlib.colors import to_rgb
from PIL import Image

from net2vec_pl.figures.style import COLOURS

_STEP = 15  # of the grid of candidates
_LIGHTNESS, _CHROMA = (100, 230), 35  # of 255: neither near black, white nor grey


def distinct_colours(count: int) -> UInt8[np.ndarray, "count 3"]:
    """Return RGB colours: Okabe and Ito's without black, then each the farthest from all before.

    Distances are those of CIELAB, with half of red against green, of which colour-blind readers see
    little. The first colours stay the same whatever the count.

    Args:
        count: How many, 0 or more.

    Example:
        >>> distinct_colours(2).tolist()
        [[0, 114, 178], [230, 159, 0]]
    """
    known = [c for c in COLOURS if c != "#000000"]
    first = np.array([to_rgb(c) for c in known]) * 255
    chosen = first.round().astype(np.uint8)[:count]
    if len(chosen) == count:
        return chosen
    line = np.arange(0, 256, _STEP, dtype=np.uint8)
    candidates = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    places = _lab(candidates)
    light, chroma = places[:, 0], np.hypot(places[:, 1], places[:, 2])
    fit = (light > _LIGHTNESS[0]) & (light < _LIGHTNESS[1]) & (chroma > _CHROMA)
    candidates, places = candidates[fit], _seen(places[fit])
    apart = np.full(len(candidates), np.inf)
    for place in _seen(_lab(chosen)):
        apart = np.minimum(apart, np.linalg.norm(places - place, axis=1))
    further = []
    for _ in range(count - len(chosen)):
        far = int(apart.argmax())
        further.append(candidates[far])
        apart = np.minimum(apart, np.linalg.norm(places - places[far], axis=1))
    return np.concatenate([chosen, further])


def _lab(colours: UInt8[np.ndarray, "n 3"]) -> Int16[np.ndarray, "n 3"]:
    lab = np.asarray(Image.fromarray(colours[None]).convert("LAB"))[0]
    return np.concatenate([lab[:, :1], lab[:, 1:].view(np.int8)], axis=1, dtype=np.int16)


def _seen(lab: Int16[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    place: Float64[np.ndarray, "n 3"] = lab * np.array([100 / 255, 0.5, 1.0])
    return place
