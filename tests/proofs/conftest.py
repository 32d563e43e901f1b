"""Whole runs on the planted world, made once and read by many tests."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from filelock import FileLock
from support.cli import by_name, read_table, run_cli
from support.kept_figures import keep_figures
from support.planted_run import OPTIONS, Drawn, draw, write_world
from support.planted_variants import NETWORK, MixedLayer
from support.relearned import Floats, Layer, learn_all
from support.tiny_wordnet import write_wordnet

from net2vec_pl.analysis import intervals, pair_counts
from net2vec_pl.functional import classifier_scores
from net2vec_pl.probes import BankFile
from net2vec_pl.studies import examples

Make = Callable[..., "PlantedRun"]
# Numbers of resamples and of permutations that tests can repeat at once.
FEW = [
    "analysis.permutations=2000",
    "analysis.penalties=2",
    "analysis.steps=2",
]


@dataclass(frozen=True)
class PlantedRun:
    """A run that has finished, and what was planted.

    Args:
        folder: Of the run.
        drawn: What lies where in the images.
    """

    folder: Path
    drawn: Drawn

    @property
    def console(self) -> str:
        """What the run printed, in lines as wide as they are."""
        return (self.folder / "console.txt").read_text(encoding="utf-8")

    @cached_property
    def bank(self) -> BankFile:
        """What was learned to segment."""
        return BankFile.load(self.folder / "bank.safetensors")

    @cached_property
    def classifiers(self) -> BankFile:
        """What was learned to classify."""
        return BankFile.load(self.folder / "classification.safetensors")

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table, such as ``analysis/gains``."""
        return read_table(self.folder / f"{name}.csv")

    def concepts(self, name: str = "concepts") -> dict[str, dict[str, str]]:
        """Return the rows of a table with one for each concept, by the concept's name."""
        return by_name(self.folder / f"{name}.csv")

    def finding(self, measure: str) -> dict[str, str]:
        """Return the one finding with this measure."""
        (found,) = [row for row in self.table("findings") if row["measure"] == measure]
        return found


def ask_for_few_images(patch: pytest.MonkeyPatch, least: int = 1) -> None:
    """Lower the number of images that an interval needs: of 19 val images no concept has many."""
    for module in (intervals, pair_counts):
        patch.setattr(module, "LEAST_IMAGES", max(least, 2))


@pytest.fixture(autouse=True, scope="module")
def _few_images_are_enough() -> Iterator[None]:
    """So that what a test works out again has the bar of its run."""
    with pytest.MonkeyPatch.context() as patch:
        ask_for_few_images(patch)
        yield


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Make:
    """Return what makes a run on the planted world, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    world = (base if worker_id == "master" else base.parent) / "planted"

    def make(name: str, *options: str, least: int = 1) -> PlantedRun:
        world.mkdir(exist_ok=True)
        with FileLock(world / "lock"):
            if not (world / "data").exists():
                write_world(world)
        with FileLock(world / f"{name}.lock"):
            asked = "\n".join(options).replace(str(base), "")  # each worker has its own folder
            note = world / f"{name}.options"
            if note.exists():
                assert note.read_text() == asked, f"two runs are called {name}"
            note.write_text(asked)
            if not (world / name / "console.txt").exists():
                said = io.StringIO()
                fault = io.StringIO()
                with (
                    pytest.MonkeyPatch.context() as patch,
                    contextlib.redirect_stdout(said),
                    contextlib.redirect_stderr(fault),
                ):
                    patch.setenv("COLUMNS", "400")
                    for module in (classifier_scores, examples):
                        patch.setattr(module, "LEAST_OF_A_CLASS", least)
                    ask_for_few_images(patch, least)
                    status = run_cli(patch, world, *OPTIONS, *options, f"run.dir={name}")
                assert status == 0, f"{fault.getvalue()}\n{said.getvalue()}"
                (world / name / "console.txt").write_text(said.getvalue(), encoding="utf-8")
        return PlantedRun(world / name, draw())

    return make


@pytest.fixture(scope="session")
def run(make_run: Make) -> PlantedRun:
    """One layer, both targets, two seeds, and every analysis."""
    return make_run("run", "layer=early", "target=both", "seeds=2", "analysis=all", *FEW)


@pytest.fixture(scope="session")
def two_layers(make_run: Make) -> PlantedRun:
    """Two layers and both targets, without analyses."""
    return make_run("two", "layer=[early,late]", "target=both", "analysis=none")


@pytest.fixture(scope="session")
def mixed(make_run: Make) -> PlantedRun:
    """Filters that overlap, embeddings that are still on their way, and seeds other than 0.

    So hardly any number equals another one. Figures are kept as objects, and there is no page.
    """
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "mixed",
            NETWORK,
            "layer=mixed",
            "target=both",
            "seed=3",
            "seeds=2",
            "protocol.tau=0.5",
            "protocol.epochs=10",
            "report=false",
            "analysis.names=[sharing,subsets,intervals]",
            *FEW,
        )


@pytest.fixture(scope="session")
def mixed_layer(mixed: PlantedRun) -> Layer:
    """What lies where on the layer of that run."""
    return MixedLayer(mixed.drawn, "mixed", epochs=10)


@pytest.fixture(scope="session")
def mixed_banks(mixed_layer: Layer) -> dict[int, dict[str, Floats]]:
    """What each of its seeds learns, by concept."""
    return {
        seed: {name: epochs[-1] for name, epochs in learn_all(mixed_layer, seed).items()}
        for seed in (3, 4)
    }


# Vectors of the words of five concepts, and of one that is none. Two of them are alike.
WORDS = {
    "ball": [1.0, 0.0, 2.0, -1.0],
    "cup": [0.5, 1.0, -2.0, 0.0],
    "dog": [-1.0, 3.0, 0.25, 1.0],
    "ear": [-1.0, 2.0, 1.0, 0.0],
    "red": [1.5, 0.0, 1.0, -1.0],
    "tree": [9.0, 9.0, 9.0, 9.0],
}
# What things are, and what those are: a ball is a toy, a toy is an artifact, ...
KINDS = {
    "entity": [],
    "artifact": ["entity"],
    "toy": ["artifact"],
    "ball": ["toy"],
    "cup": ["artifact"],
    "animal": ["entity"],
    "dog": ["animal"],
    "fin": ["animal"],
    "gray": ["entity"],
}


@pytest.fixture(scope="session")
def looked(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> PlantedRun:
    """A seed other than 0, both targets, and all options of what embeddings mean and look at."""
    words = tmp_path_factory.mktemp("words") / "vectors.txt"
    words.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in WORDS.items()))
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "looked",
            "layer=early",
            "target=both",
            "seed=3",
            "model.seed=7",
            "report=false",
            "analysis.names=[space,examples,synthesis,controls]",
            "analysis.neighbours=2",
            'analysis.arithmetic=["cup + dog - fin","red-c","dog - dog","ball + nobody"]',
            f"analysis.words={words}",
            "analysis.wordnet=nowhere",
            "analysis.concepts=[dog,grey-c,ball]",
            *FEW,
        )


@pytest.fixture(scope="session")
def classified(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> PlantedRun:
    """Classifiers alone, with word vectors of two concepts and a WordNet of five."""
    folder = tmp_path_factory.mktemp("resources")
    words = folder / "vectors.txt"
    words.write_text("".join(f"{w} {' '.join(map(str, WORDS[w]))}\n" for w in ("ball", "cup")))
    write_wordnet(folder, {k: ("n", [k], [("@", of) for of in v]) for k, v in KINDS.items()})
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "words",
            "layer=early",
            "target=classification",
            "report=false",
            "analysis.names=[space,synthesis]",
            f"analysis.words={words}",
            f"analysis.wordnet={folder}",
            *FEW,
        )


@pytest.fixture(scope="session")
def own_weights(make_run: Make) -> PlantedRun:
    """A network with weights of its own, no answers in memory, and a concept asked for."""
    with pytest.MonkeyPatch.context() as patch:
        keep_figures(patch)
        return make_run(
            "own_weights",
            "layer=early",
            "model._target_=support.planted_networks.OwnWeights",
            "model.weights=null",
            "cache=none",
            "report=false",
            "analysis.names=[synthesis,controls]",
            "analysis.concepts=[ear]",
            *FEW,
        )
