"""What every analysis of a run works on, and where it leaves what it finds."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from matplotlib.figure import Figure

from net2vec_pl import processes
from net2vec_pl.analysis.clusters import Layout
from net2vec_pl.analysis.intervals import Interval
from net2vec_pl.figures.style import save_figure
from net2vec_pl.pipeline.classification import Classified
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.segmentation import Segmented
from net2vec_pl.report import write_csv
from net2vec_pl.report.tables import Row

_log = logging.getLogger(__name__)


@dataclass
class Study:
    """One layer's results, and what the analyses have found in them.

    Args:
        job: The layer.
        segmentation: What was segmented, if anything was.
        classification: What was classified, if anything was.
        findings: The statements so far.
        tables: What has been written, by name.
        maps: The map of each bank's embeddings, by the suffix of its tables.
        figures: Names of what has been drawn.
    """

    job: LayerJob
    segmentation: Segmented | None
    classification: Classified | None
    findings: list[Row] = field(default_factory=list)
    tables: dict[str, Sequence[Row]] = field(default_factory=dict)
    maps: dict[str, Layout] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    @property
    def segmented(self) -> Segmented:
        """What was segmented, for those who know that something was."""
        assert self.segmentation is not None
        return self.segmentation

    @property
    def classified(self) -> Classified:
        """What was classified, for those who know that something was."""
        assert self.classification is not None
        return self.classification

    @property
    def seed(self) -> int:
        """Seed of all draws."""
        return self.job.setup.options.seed

    @property
    def categories(self) -> list[str]:
        """Category of every segmented concept."""
        return [concept.category for concept in self.job.vocabulary]

    def write(self, rows: Sequence[Row], name: str) -> None:
        """Write a table into ``analysis/``, unless it is empty."""
        self.tables[name] = rows
        if processes.is_first() and rows:
            folder = self.job.folder / "analysis"
            folder.mkdir(exist_ok=True)
            write_csv(rows, folder / f"{name}.csv")

    def draw(self, figure: Figure, name: str) -> None:
        """Write a figure into ``figures/``."""
        self.figures.append(name)
        if processes.is_first():
            save_figure(figure, self.job.folder / "figures", name)

    def find(
        self,
        question: str,
        measure: str,
        value: Float64[np.ndarray, "3"] | float,
        n: int,
        statement: str,
    ) -> None:
        """Note a finding: a number, with its interval if it has one, and what it says.

        Args:
            question: What was asked.
            measure: What was measured.
            value: The number; or number, lower and upper bound.
            n: Over how many concepts.
            statement: A sentence.
        """
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
        numbers = np.concatenate([numbers, np.full(3 - len(numbers), np.nan)])
        if not np.isfinite(numbers[0]):
            _log.info("nothing to find: %s", measure)
            return
        self.findings.append(
            {
                "question": question,
                "measure": measure,
                "value": numbers[0],
                "low": numbers[1],
                "high": numbers[2],
                "n": n,
                "statement": statement,
            }
        )


def interval(value: Float64[np.ndarray, "3"], pattern: str = "{:.3f}") -> str:
    """Write a number with its interval.

    Example:
        >>> interval(np.array([0.5, 0.25, 0.75]))
        '0.500 [0.250, 0.750]'
    """
    point, low, high = (pattern.format(v) for v in value)
    return f"{point} [{low}, {high}]"


def bounds(name: str, found: Interval) -> Row:
    """Return the columns of a number with its interval, or of one per concept.

    Example:
        >>> bounds("gain", Interval(np.array(0.5), np.array(0.25), np.array(0.75)))
        {'gain': 0.5, 'gain_low': 0.25, 'gain_high': 0.75}
    """
    return dict(zip((name, f"{name}_low", f"{name}_high"), found.array().tolist(), strict=True))


def by_category(categories: Sequence[str]) -> dict[str, Bool[np.ndarray, "C"]]:
    """Return which concepts each category has, in order of appearance, and all of them last.

    Example:
        >>> by_category(["scene", "object"])["all"].tolist()
        [True, True]
    """
    names = [*dict.fromkeys(categories), "all"]
    return {name: np.array([name in (c, "all") for c in categories]) for name in names}


def columns(values: Mapping[str, Any], row: int) -> Row:
    """Return one row of columns, plain numbers.

    Example:
        >>> columns({"p": np.array([0.5, 1.0]), "name": ["sky", "sea"]}, 1)
        {'p': 1.0, 'name': 'sea'}
    """
    cells = {name: column[row] for name, column in values.items()}
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in cells.items()}
