"""Sweeps: every job a fresh process, and a ledger of what became of each."""

from net2vec_pl.sweeps.jobs import SweepJob, run_job
from net2vec_pl.sweeps.ledger import read_ledger, summary, write_ledger
from net2vec_pl.sweeps.lifeline import (
    DIGEST,
    begin_sweep,
    hold_lifeline,
    is_job,
    note_cause,
)

__all__ = [
    "DIGEST",
    "SweepJob",
    "begin_sweep",
    "hold_lifeline",
    "is_job",
    "note_cause",
    "read_ledger",
    "run_job",
    "summary",
    "write_ledger",
]
