"""What a frozen layer answers: thresholds, bits, and what they overlap."""

from net2vec_pl.activations.cache import MemoryCache, fill_cache
from net2vec_pl.activations.extract import count_single_filters, find_thresholds, fire
from net2vec_pl.activations.quantiles import UpperTails

__all__ = [
    "MemoryCache",
    "UpperTails",
    "count_single_filters",
    "fill_cache",
    "find_thresholds",
    "fire",
]
