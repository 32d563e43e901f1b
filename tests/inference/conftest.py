"""Runs whose banks are put to use: one of each kind, on the same few pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import oracles
from support.banks import RUNS
from support.cli import run_cli

from net2vec_pl.datasets import ShapesReader
from net2vec_pl.formats.broden_writer import write_broden
from net2vec_pl.functional import classifier_scores


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "data"
    write_broden(ShapesReader(num_images=40, image_size=48), folder)
    return folder


@pytest.fixture(scope="session")
def data(pictures: Path) -> oracles.Broden:
    return oracles.read_broden(pictures)


@pytest.fixture(scope="session")
def photos(data: oracles.Broden) -> list[Path]:
    """A few of the val images."""
    return [row["path"] for row in data["rows"] if row["split"] == "val"][:3]


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Callable[[str], Path]:
    """Return what gives the folder that holds a run's bank; each run is made at its first use."""
    made: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        options, below = RUNS[name]
        if name not in made:
            made[name] = tmp_path_factory.mktemp("run")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(classifier_scores, "LEAST_OF_A_CLASS", 1)  # there are few images
                arguments = [
                    "data=broden", f"data.root={pictures}", "protocol.epochs=1", "trainer=cpu",
                    "loader.workers=0", "callbacks.progress=false", "analysis=none", "run.dir=out",
                ]  # fmt: skip
                assert run_cli(patch, made[name], *arguments, *options) == 0
        return made[name] / "out" / below

    return folder_of
