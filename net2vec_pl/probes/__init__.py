"""What maps activations to concept scores: single filters and the bank of embeddings."""

from net2vec_pl.probes.bank import ConceptBank, initial_rows
from net2vec_pl.probes.bank_file import BankFile
from net2vec_pl.probes.scorer import Scorer
from net2vec_pl.probes.single_classifier import SingleClassifiers, best_single_classifiers
from net2vec_pl.probes.single_filter import SingleFilterBaseline, SingleFilterCounts

__all__ = [
    "BankFile",
    "ConceptBank",
    "Scorer",
    "SingleClassifiers",
    "SingleFilterBaseline",
    "SingleFilterCounts",
    "best_single_classifiers",
    "initial_rows",
]
