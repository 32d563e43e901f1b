"""One comparison of all the made-up runs, for every test of what it says."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from support.cli import read_table, run_cli
from support.compared_runs import EXPORTS, write_all
from support.html_parts import HtmlParts

from net2vec_pl.compare import comparison, draw

FIGURES = ("curves_over_depth", "concept_heat_map", "concept_scatters", "distance_heat_maps")


@dataclass
class Compared:
    """What a comparison has left and said.

    Args:
        folder: Of the comparison.
        console: What it has printed.
        drawn: What each figure was made of, in order: the function's name, and its arguments.
        files: Names of the figures, in order.
    """

    folder: Path
    console: str = ""
    drawn: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table."""
        return read_table(self.folder / f"{name}.csv")

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of every figure of a kind."""
        return [arguments for function, arguments in self.drawn if function == name]

    @property
    def page(self) -> HtmlParts:
        """The page."""
        return HtmlParts(self.folder / "comparison.html")


def compared(patch: pytest.MonkeyPatch, top: Path, runs: str, columns: int = 400) -> Compared:
    """Compare runs, and note what is printed and drawn."""
    found = Compared(top / "out")

    def noting(name: str, draws: Callable[..., Figure]) -> Callable[..., Figure]:
        def noted(*arguments: Any) -> Figure:
            found.drawn.append((name, arguments))
            return draws(*arguments)

        return noted

    def saved(figure: Figure, folder: Path, name: str) -> None:
        assert folder == top / "out" / "figures"
        found.files.append(name)
        folder.mkdir(exist_ok=True)  # a stand-in, for true ones take most of the time
        (folder / f"{name}.svg").write_text(name)

    for name in FIGURES:
        patch.setattr(draw, name, noting(name, getattr(draw, name)))
    patch.setattr(comparison, "save_figure", saved)
    patch.setenv("COLUMNS", str(columns))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run_cli(patch, top, "task=compare", f"runs={runs}", f"run.dir={top / 'out'}") == 0
    found.console = said.getvalue()
    return found


@pytest.fixture(scope="session")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Compare the runs of three groups, two exports, and what is left out."""
    top = tmp_path_factory.mktemp("compared")
    write_all(top)
    with pytest.MonkeyPatch.context() as patch:
        return compared(patch, top, f"[runs,{','.join(EXPORTS)}]")


@pytest.fixture(autouse=True, scope="module")
def _few_images_are_enough() -> None:
    """Comparisons have the bar that they have."""
