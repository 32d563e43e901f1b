"""What learned embeddings are compared with: vectors of the same concepts from elsewhere.

Section 3.2.1 of the paper's supplement compares embeddings with two representations of the
concepts' names alone: their place in WordNet (:mod:`.wordnet`) and word2vec
(:mod:`.word_vectors`). Both give a :class:`Reference`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class Reference:
    """Vectors of those concepts that a source knows.

    Args:
        names: The concepts found, by the names they were asked for, in the order asked.
        vectors: A row per name, of any length; (0, d) if no name was found.
        missing: The names not found, in the order asked.
    """

    names: list[str]
    vectors: Float64[np.ndarray, "n d"]
    missing: list[str]


def plain_word(name: str) -> str:
    """Spell a dataset's concept name as WordNet and word2vec do.

    BRODEN marks colours by ``-c`` and scenes by ``-s``; words of a phrase are joined by ``_``.

    Example:
        >>> plain_word("grey-c"), plain_word("traffic light"), plain_word("t-shirt")
        ('grey', 'traffic_light', 't-shirt')
    """
    return "_".join(name.removesuffix("-c").removesuffix("-s").split())
