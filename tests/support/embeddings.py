"""Banks of embeddings, drawn from a seed."""

import numpy as np


def bank(concepts: int = 40, filters: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(concepts, filters))


def groups(each: int = 10, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Two groups of concepts, each around its own half of the filters."""
    centre = np.repeat(np.eye(2), 8, axis=1)
    noise = np.random.default_rng(seed).normal(scale=0.2, size=(2 * each, 16))
    return np.repeat(centre, each, axis=0) + noise, ["left"] * each + ["right"] * each
