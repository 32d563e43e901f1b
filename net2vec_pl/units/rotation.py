"""Random orthogonal matrices."""

import numpy as np
import torch
from jaxtyping import Float64
from numpy.random import Generator
from torch import Tensor


def random_rotation(size: int, rng: Generator) -> Float64[Tensor, "K K"]:
    """Draw an orthogonal matrix, all rotations and reflections being equally likely.

    Stewart, *The efficient generation of random orthogonal matrices*, 1980.
    """
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return torch.from_numpy(np.asarray(q * np.sign(np.diagonal(r))))
