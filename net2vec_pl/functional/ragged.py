"""Lists of different lengths, one after another: where each begins, and where its elements lie."""

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64


def starts(lengths: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n_plus_1"]:
    """Return where each list begins, and at last where all of them end.

    Example:
        >>> starts(np.array([2, 0, 3])).tolist()
        [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def owners(lengths: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "total"]:
    """Return of every element which list it belongs to.

    Example:
        >>> owners(np.array([2, 0, 3])).tolist()
        [0, 0, 2, 2, 2]
    """
    return np.repeat(np.arange(len(lengths)), lengths)


def places(begin: Int64[np.ndarray, "n"], lengths: Int64[np.ndarray, "n"]) -> npt.NDArray[np.int64]:
    """Return where the elements of some lists lie, one list after another.

    Args:
        begin: Where each list begins.
        lengths: How many elements each has.

    Example:
        >>> places(np.array([7, 3]), np.array([2, 1])).tolist()
        [7, 8, 3]
    """
    within = np.arange(lengths.sum()) - np.repeat(starts(lengths)[:-1], lengths)
    found: npt.NDArray[np.int64] = within + np.repeat(begin, lengths)
    return found
