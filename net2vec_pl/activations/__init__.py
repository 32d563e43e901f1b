"""What a frozen layer answers: thresholds, bits, and what they overlap."""

from net2vec_pl.activations.extract import count_single_filters, find_thresholds
from net2vec_pl.activations.quantiles import UpperTails

__all__ = ["UpperTails", "count_single_filters", "find_thresholds"]
