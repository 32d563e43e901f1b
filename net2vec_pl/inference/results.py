"""What a run found beside its bank: tables, findings, figures, and images to look at."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, UInt8
from torch import Tensor

from net2vec_pl.activations import BankCounts
from net2vec_pl.errors import unknown
from net2vec_pl.inference.plots import Plots
from net2vec_pl.records import Finding, Table


class Tables(dict[str, Table[Any]]):
    """Tables by name."""

    def __missing__(self, name: str) -> Table[Any]:
        raise KeyError(unknown("table", name, self))


class Source(ABC):
    """The run itself, as long as it is at hand: its network and images."""

    @abstractmethod
    def report(self, path: Path) -> None:
        """Write the page of the run."""

    @abstractmethod
    def example(self, name: str) -> tuple[UInt8[Tensor, "3 H W"], Bool[Tensor, "sh sw"]] | None:
        """Return a val image that contains a concept, and the concept's true mask."""


@dataclass(frozen=True)
class Results:
    """Everything that a run says of a bank.

    Args:
        tables: By the names of their files: ``concepts``, ``probes``, ``gains``, …
        plots: The figures.
        counts: Pixels of every val pair; None where nothing is segmented.
        source: The run; None for a bank that was loaded or pickled.
        groups: The group of each row of the dataset, if rows are grouped.
    """

    tables: Mapping[str, Table[Any]]
    plots: Plots = field(default_factory=lambda: Plots({}))
    counts: BankCounts | None = None
    source: Source | None = None
    groups: npt.NDArray[np.int64] | None = None

    @property
    def findings(self) -> Table[Finding]:
        """Statements, each with its number and interval."""
        return self.tables.get("findings", Table())

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the run, which holds a dataset and a network."""
        return vars(replace(self, source=None))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo :meth:`__getstate__`."""
        vars(self).update(state)
