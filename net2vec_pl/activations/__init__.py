"""What a frozen layer answers: thresholds, bits, and what they overlap."""

from net2vec_pl.activations.cache_folder import CacheFolder, CacheKey
from net2vec_pl.activations.disk_cache import DiskCache
from net2vec_pl.activations.disk_sink import CacheSink
from net2vec_pl.activations.extract import (
    as_kept,
    count_chosen_filters,
    count_single_filters,
    fire,
    respond,
)
from net2vec_pl.activations.memory import MemoryCache, MemorySink
from net2vec_pl.activations.pairs import BankCounts, count_pairs
from net2vec_pl.activations.pooled import PooledActivations
from net2vec_pl.activations.quantiles import UpperTails
from net2vec_pl.activations.survey import Sink, survey
from net2vec_pl.activations.upsampled import (
    count_chosen_upsampled,
    count_upsampled_filters,
    upsampled_above,
)

__all__ = [
    "BankCounts",
    "CacheFolder",
    "CacheKey",
    "CacheSink",
    "DiskCache",
    "MemoryCache",
    "MemorySink",
    "PooledActivations",
    "Sink",
    "UpperTails",
    "as_kept",
    "count_chosen_filters",
    "count_chosen_upsampled",
    "count_pairs",
    "count_single_filters",
    "count_upsampled_filters",
    "fire",
    "respond",
    "survey",
    "upsampled_above",
]
