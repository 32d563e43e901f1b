"""Tables of a run, on disk and on the console."""

from net2vec_pl.report.card import write_card
from net2vec_pl.report.console import Gain, LastWords, gain, print_classified, print_summary
from net2vec_pl.report.tables import (
    BankScores,
    LayerTables,
    classification_table,
    concept_table,
    filter_table,
    layer_row,
    seed_table,
)

__all__ = [
    "BankScores",
    "Gain",
    "LastWords",
    "LayerTables",
    "classification_table",
    "concept_table",
    "filter_table",
    "gain",
    "layer_row",
    "print_classified",
    "print_summary",
    "seed_table",
    "write_card",
]
