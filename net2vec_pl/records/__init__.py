"""The tables that runs leave: a frozen dataclass for a row of each, column names among them."""

from net2vec_pl.records.rows import Table
from net2vec_pl.records.run import Finding
from net2vec_pl.records.table import Cell, Column, Estimate, Record, read_csv, read_rows, write_csv

__all__ = [
    "Cell",
    "Column",
    "Estimate",
    "Finding",
    "Record",
    "Table",
    "read_csv",
    "read_rows",
    "write_csv",
]
