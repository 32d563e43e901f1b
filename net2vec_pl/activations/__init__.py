"""What a frozen layer answers: thresholds, bits, and what they overlap."""

from net2vec_pl.activations.cache import CacheFolder, CacheKey, CacheSink, DiskCache
from net2vec_pl.activations.extract import count_single_filters, fire
from net2vec_pl.activations.memory import MemoryCache, MemorySink
from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.activations.survey import Sink, survey

__all__ = [
    "CacheFolder",
    "CacheKey",
    "CacheSink",
    "DiskCache",
    "MemoryCache",
    "MemorySink",
    "Sink",
    "UpperTails",
    "count_single_filters",
    "fire",
    "survey",
]
