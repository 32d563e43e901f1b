"""Images made to excite: of which concepts, along which directions, and what they reach.

What they reach is asked once more of the network, and what noise reaches of the noise of the seed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.kept_figures import kept_figure
from support.planted_run import SIZE, PlantedNetwork, planted_weights
from support.rows import assert_rows
from torch import Tensor

from net2vec_pl.analysis.synthesis import Synthesis, SynthesisOptions, decode, synthesise
from proofs.conftest import PlantedRun

STARTS, NOISE = 8, 0.3
WAYS = ("embedding", "best filter")


@dataclass(frozen=True)
class Made:
    """What a run made images for.

    Args:
        run: The run.
        seed: Of the run.
        concepts: Whose directions these are.
        directions: The embedding and the best filter of each in turn, (2 n, K).
    """

    run: PlantedRun
    seed: int
    concepts: list[str]
    directions: Tensor

    def respond(self, images: Tensor) -> Tensor:
        """Ask the network."""
        network = PlantedNetwork().requires_grad_(False)
        network.load_state_dict(planted_weights())
        activation: Tensor = network.early(images)
        return activation

    def responses(self, images: Tensor) -> Tensor:
        """Responses of every direction to every image, at every place, (2 n, N, h, w)."""
        length = self.directions.norm(dim=1, keepdim=True)
        unit = torch.where(length > 0, self.directions / length, 0)
        return torch.einsum("dk,nkhw->dnhw", unit, self.respond(images))

    def noise(self) -> Tensor:
        """The images of noise that an ascent may start from."""
        chance = torch.Generator().manual_seed(self.seed)
        shape = (STARTS, 3, SIZE, SIZE // 2 + 1, 2)
        return decode(NOISE * torch.randn(shape, generator=chance), (SIZE, SIZE))

    def again(self) -> Synthesis:
        """Make the images once more."""
        options = SynthesisOptions(steps=2)
        return synthesise(self.respond, self.directions, (SIZE, SIZE), self.seed, options)


# Of every run: its seed and concepts: those asked for, or those that score highest.
RUNS = {
    "run": (0, ["ball", "cup", "dog"]),
    "looked": (3, ["dog", "grey-c", "ball"]),
    "classified": (0, []),
    "own_weights": (0, ["ear"]),
}


def made_of(request: pytest.FixtureRequest, name: str) -> Made:
    run: PlantedRun = request.getfixturevalue(name)
    seed, concepts = RUNS[name]
    if name == "classified":
        bank, table = run.classifiers, run.concepts("classification")
        concepts = sorted(table, key=lambda concept: -float(table[concept]["accuracy"]))[:3]
    else:
        bank, table = run.bank, run.concepts()
    rows = []
    for concept in concepts:
        best = table[concept]["best_filter"]
        one = np.zeros(16) if best == "nan" else np.eye(16)[int(best)]
        rows += [bank.weight[bank.vocabulary.names.index(concept)], torch.from_numpy(one).float()]
    return Made(run, seed, concepts, torch.stack(rows))


@pytest.fixture(params=RUNS)
def made(request: pytest.FixtureRequest) -> Made:
    return made_of(request, request.param)


@pytest.fixture(params=["looked", "classified"])
def kept(request: pytest.FixtureRequest) -> Made:
    return made_of(request, request.param)


def test_tables_hold_what_images_and_noise_reach(made: Made) -> None:
    again = made.again()
    by_noise = made.responses(made.noise()).double().flatten(1)
    noise, spread = by_noise.mean(1), by_noise.std(1, correction=0)
    by_images = made.responses(torch.from_numpy(again.images)).double().mean((2, 3))
    expected: list[dict[str, Any]] = []
    for i, status in enumerate(again.status):
        reached = (
            float(by_images[i, i]) if status in ("ok", "the objective did not rise") else np.nan
        )
        above = (reached - float(noise[i])) / float(spread[i]) if spread[i] > 1e-7 else np.nan
        expected.append(
            {
                "concept": made.concepts[i // 2],
                "direction": WAYS[i % 2],
                "on_noise": float(noise[i]),
                "reached": reached,
                "deviations_of_noise": above,
                "status": status,
            }
        )
    assert_rows(made.run.table("analysis/synthesis"), expected, close=1e-4)


def test_what_is_reached_is_not_the_most_on_the_way(request: pytest.FixtureRequest) -> None:
    """The finished image counts; here an image on the way excited more."""
    course = made_of(request, "own_weights").again().course[0]
    assert course.max() > course[-1]


def test_directions_without_an_answer_have_their_reason(
    looked: PlantedRun, classified: PlantedRun
) -> None:
    status = [row["status"] for row in looked.table("analysis/synthesis")]
    silent = "answers all noise alike: no gradient to follow"
    assert status == ["ok", "ok", "ok", "zero vector: no direction", "ok", silent]
    assert len(classified.table("analysis/synthesis")) == 6


def test_images_stand_by_concept_the_embedding_before_the_filter(kept: Made) -> None:
    figure = kept_figure(kept.run.folder, "synthesis")
    assert figure.get_suptitle() == "made to excite; mean response reached"
    again = kept.again()
    axes = [axis for axis in figure.axes if axis.images]
    assert len(axes) == 2 * len(kept.concepts)
    for i, axis in enumerate(axes):
        picture: npt.NDArray[np.float64] = np.asarray(axis.images[0].get_array())
        np.testing.assert_allclose(picture, again.images[i].transpose(1, 2, 0), atol=1e-4)
        image = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float()[None]
        reached = float(kept.responses(image).mean((2, 3))[i, 0])
        if again.status[i] != "ok":
            assert (picture == 0.5).all()
            reached = np.nan
        assert axis.get_xlabel() == f"{('embedding', 'filter')[i % 2]}: {reached:.2f}"
        assert axis.get_title(loc="left") == ("" if i % 2 else kept.concepts[i // 2])
