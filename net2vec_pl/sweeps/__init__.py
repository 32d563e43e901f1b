"""Sweeps: every job a fresh process, and a ledger of what became of each."""

from net2vec_pl.sweeps.callback import SweepFolder
from net2vec_pl.sweeps.jobs import run_job
from net2vec_pl.sweeps.ledger import read_ledger, summary
from net2vec_pl.sweeps.lifeline import hold_lifeline, is_job, note_cause

__all__ = [
    "SweepFolder",
    "hold_lifeline",
    "is_job",
    "note_cause",
    "read_ledger",
    "run_job",
    "summary",
]
