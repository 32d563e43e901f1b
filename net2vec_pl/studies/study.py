"""What every analysis of a run works on, and where it leaves what it finds."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Bool, Float64
from matplotlib.figure import Figure

from net2vec_pl import processes
from net2vec_pl.analysis.clusters import Layout
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.data.groups import if_few, over_images
from net2vec_pl.figures.style import save_figure
from net2vec_pl.pipeline.classification import Classified
from net2vec_pl.pipeline.layer import LayerJob
from net2vec_pl.pipeline.segmentation import Segmented
from net2vec_pl.records import Estimate, Finding, Record, write_csv

R = TypeVar("R", bound=Record)
P = ParamSpec("P")
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
        figures: The recipe of every figure, by name: what draws it, and from which arrays.
    """

    job: LayerJob
    segmentation: Segmented | None
    classification: Classified | None
    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, Sequence[Record]] = field(default_factory=dict)
    maps: dict[str, Layout] = field(default_factory=dict)
    figures: dict[str, partial[Figure]] = field(default_factory=dict)

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

    @property
    def over_images(self) -> str:
        """What intervals on val are over, in words: images, or groups of them."""
        return over_images(self.job.setup.num_val_groups)

    @property
    def if_few(self) -> str:
        """What to add where they are over few groups; else empty."""
        return if_few(self.job.setup.num_val_groups)

    @property
    def by_groups(self) -> str:
        """The same in parentheses, for what else would not say it; empty without groups."""
        return "" if self.job.setup.num_val_groups is None else f" (interval {self.over_images})"

    def write(self, records: Sequence[Record], name: str) -> None:
        """Write a table into ``analysis/``, unless it is empty.

        Args:
            records: Its rows.
            name: The name of its file, without ``.csv``.
        """
        self.tables[name] = records
        if processes.is_first() and records:
            folder = self.job.folder / "analysis"
            folder.mkdir(exist_ok=True)
            write_csv(records, folder / f"{name}.csv")

    def table(self, kind: type[R], name: str) -> list[R]:
        """Return the rows of a table, or none if it has not been written.

        Args:
            kind: The class of its rows.
            name: Its name, as given to :meth:`write`.
        """
        return [record for record in self.tables.get(name, ()) if isinstance(record, kind)]

    def draw(
        self, name: str, function: Callable[P, Figure], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Keep the recipe of a figure, and draw it into ``figures/`` if the run draws.

        A recipe outlives the run and can be pickled: the function stands in a module, and what it
        is given are arrays and plain values, which nothing changes afterwards.

        Args:
            name: The name of its files, without ``.png`` and ``.svg``.
            function: What draws it; it may take ``axes`` to draw on, as those of this package do.
            *args: What it draws.
            **kwargs: What it draws, by name.
        """
        recipe = self.figures[name] = partial(function, *args, **kwargs)
        if processes.is_first() and self.job.setup.options.draw:
            save_figure(recipe(), self.job.folder / "figures", name)

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
        point, low, high = (*np.atleast_1d(value).astype(np.float64).tolist(), np.nan, np.nan)[:3]
        if not np.isfinite(point):
            _log.info("nothing to find: %s", measure)
            return
        self.findings.append(Finding(question, measure, point, low, high, n, statement))


def interval(value: Float64[np.ndarray, "3"], pattern: str = "{:.3f}") -> str:
    """Write a number with its interval.

    Example:
        >>> interval(np.array([0.5, 0.25, 0.75]))
        '0.500 [0.250, 0.750]'
    """
    point, low, high = (pattern.format(v) for v in value)
    return f"{point} [{low}, {high}]"


def middle_half(values: Float64[np.ndarray, "C"], pattern: str = "{:.3f}") -> str:
    """Say between which values the middle half of the concepts lies.

    Concepts are a fixed list, and they overlap: a mean over them has this spread, but no interval.

    Args:
        values: Of each concept; what is not finite is left out.
        pattern: How to write a value.

    Example:
        >>> middle_half(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), "{:.0f}")
        'middle half of the concepts: 1 to 3'
    """
    low, high = np.quantile(values[np.isfinite(values)], [0.25, 0.75], method="nearest")
    return f"middle half of the concepts: {pattern.format(low)} to {pattern.format(high)}"


def estimate(found: Interval) -> Estimate:
    """Return a number with its interval, for a table.

    Example:
        >>> estimate(Interval(np.array(0.5), np.array(0.25), np.array(0.75)))
        Estimate(value=0.5, low=0.25, high=0.75)
    """
    return Estimate(*found.array().tolist())


def estimates(found: Interval) -> list[Estimate]:
    """Return the numbers of all concepts with their intervals, for a table."""
    return [Estimate(*of_concept) for of_concept in found.array().T.tolist()]


def by_category(categories: Sequence[str]) -> dict[str, Bool[np.ndarray, "C"]]:
    """Return which concepts each category has, in order of appearance, and all of them last.

    Example:
        >>> by_category(["scene", "object"])["all"].tolist()
        [True, True]
    """
    names = [*dict.fromkeys(categories), "all"]
    return {name: np.array([name in (c, "all") for c in categories]) for name in names}
