"""The figures of a run as matplotlib holds them, kept for tests that read what was drawn."""

import pickle
from pathlib import Path

import pytest
from matplotlib.figure import Figure


def keep_figures(patch: pytest.MonkeyPatch) -> None:
    """Have the analyses of a run pickle their figures, in place of pictures."""

    def keep(figure: Figure, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(figure))

    patch.setattr("net2vec_pl.studies.study.save_figure", keep)


def kept_figure(folder: Path, name: str) -> Figure:
    """Return a figure of the run in a folder."""
    figure = pickle.loads((folder / "figures" / f"{name}.pickle").read_bytes())
    assert isinstance(figure, Figure)
    return figure
