"""Which row each table of a run folder has, so that the tables can be read back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from net2vec_pl.errors import unknown
from net2vec_pl.records import causal, run, studies, sums
from net2vec_pl.records.rows import Table
from net2vec_pl.records.table import Record, read_csv

# By the name of the file. Names may go on, as in nearest_patterns: the longest that fits counts.
# Columns of category_matrix are categories, so that no row of it can be read back.
KINDS: Mapping[str, type[Record]] = {
    "classification": run.ClassifiedRow,
    "concepts": run.ConceptRow,
    "filters": run.FilterRow,
    "findings": run.Finding,
    "native": run.NativeRow,
    "probes": run.ProbeRow,
    "seeds": run.SeedRow,
    "skipped": run.SkippedRow,
    "arithmetic": studies.SumRow,
    "closed_form_curves": sums.ClosedFormCurveRow,
    "closed_form_needed": sums.ClosedFormNeededRow,
    "causal": causal.CausalRow,
    "causal_classes": causal.CausalClassRow,
    "causal_doses": causal.CausalDoseRow,
    "causal_matrix": causal.CausalMatrixRow,
    "clusters": studies.ClusterRow,
    "comparisons": studies.ComparisonRow,
    "control_means": studies.ControlMeansRow,
    "controls": studies.ControlRow,
    "cumulative_filters": studies.ReachedRow,
    "detectors": studies.DetectorRow,
    "direction_spread": sums.DirectionSpreadRow,
    "examples": studies.ExampleRow,
    "failures": studies.FailureRow,
    "filter_overlap": studies.OverlapRow,
    "filters_needed": studies.NeededRow,
    "filters_per_concept": studies.FiltersUsedRow,
    "gains": studies.GainRow,
    "intervals": studies.IntervalRow,
    "l1_path": studies.PenaltyRow,
    "learning_curve": sums.LearningRow,
    "nearest": studies.NeighbourRow,
    "partial": sums.PartialRow,
    "random_directions": sums.RandomDirectionRow,
    "selectivity": sums.SelectivityRow,
    "shared_filters": studies.SharedFilterRow,
    "subsets": studies.SubsetRow,
    "synthesis": studies.SynthesisRow,
}
_FOLDERS = ("", "analysis")


def kind_of(name: str) -> type[Record] | None:
    """Return the class of the rows of a table; None for one that cannot be read back.

    Args:
        name: Name of its file, without ``.csv``.

    Example:
        >>> kind_of("nearest_patterns").__name__, kind_of("metrics")
        ('NeighbourRow', None)
    """
    fitting = [known for known in KINDS if name == known or name.startswith(f"{known}_")]
    return KINDS[max(fitting, key=len)] if fitting else None


class FolderTables(Mapping[str, Table[Record]]):
    """The tables of a run folder by name, each read when it is first asked for.

    Args:
        folder: The folder of a run, or of one of its layers.
    """

    def __init__(self, folder: Path) -> None:
        self._read: dict[str, Table[Record]] = {}
        found = [path for below in _FOLDERS for path in sorted((folder / below).glob("*.csv"))]
        self._paths = {path.stem: path for path in found if kind_of(path.stem) is not None}

    def __getitem__(self, name: str) -> Table[Record]:
        if name not in self._paths:
            raise KeyError(unknown("table", name, self))
        if name not in self._read:
            path = self._paths[name]
            self._read[name] = Table(read_csv(cast(type[Record], kind_of(name)), path))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
