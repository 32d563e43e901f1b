"""Tables of a run, on disk and on the console."""

from net2vec_pl.report.card import card_text, control_statements, write_card
from net2vec_pl.report.console import Gain, LastWords, gain, print_classified, print_summary
from net2vec_pl.report.hub_card import hub_card
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
    "card_text",
    "classification_table",
    "concept_table",
    "control_statements",
    "filter_table",
    "gain",
    "hub_card",
    "layer_row",
    "print_classified",
    "print_summary",
    "seed_table",
    "write_card",
]
