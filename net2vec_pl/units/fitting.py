"""Units that follow from the activations of train images: components and factors."""

import warnings
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

_MOST_SWEEPS = 400


def components(
    count: Float64[Tensor, ""],
    total: Float64[Tensor, "K"],
    square: Float64[Tensor, "K K"],
    number: int,
) -> dict[str, Tensor]:
    """Return the directions along which activations vary most.

    Args:
        count: Positions.
        total: Sum of the activations x.
        square: Sum of x x'.
        number: U, at most K.

    Returns:
        ``weight`` (U, K), by falling variance, each of length 1 and so turned that its largest
        weight is above zero; and ``bias`` (U,), which takes off the mean.
    """
    mean = total / count
    covariance = square / count - mean[:, None] * mean
    _, vectors = torch.linalg.eigh(covariance)  # by rising variance
    weight = vectors.T.flip(0)[:number]
    largest = weight.gather(1, weight.abs().argmax(1, keepdim=True))
    weight = weight * largest.sign()
    return {"weight": weight.float(), "bias": -(weight @ mean).float()}


def factors(sample: Float[Tensor, "M K"], number: int, seed: int) -> dict[str, Tensor]:
    """Factorise activations into non-negative codes and a non-negative dictionary.

    Lee & Seung, *Learning the parts of objects by non-negative matrix factorization*, 1999, by
    coordinate descent (scikit-learn), as in CRAFT (Fel et al., CVPR 2023).

    Args:
        sample: Activations at some positions, none below zero.
        number: U, at most K and M.
        seed: Of the start.

    Returns:
        ``dictionary`` (U, K), each row of length 1, by falling size of what it explains.
    """
    model = NMF(number, init="nndsvda", random_state=seed, max_iter=_MOST_SWEEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for directions
        codes = cast(np.ndarray, model.fit_transform(sample.double().numpy()))
    dictionary = cast(np.ndarray, model.components_)
    length = np.linalg.norm(dictionary, axis=1)
    order = np.argsort(-codes.mean(0) * length, kind="stable")
    rows = (dictionary / np.maximum(length, np.finfo(np.float64).tiny)[:, None])[order]
    return {"dictionary": torch.from_numpy(rows).float()}
