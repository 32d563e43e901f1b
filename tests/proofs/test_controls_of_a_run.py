"""Would the numbers look like this anyway? Every control once more, bank and network and all.

A bank is trained again by the literal oracle. No concept has as many train images as a step
averages over, so that a row steps once an epoch, and the order of images does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support import oracles
from support.jackknifed import jackknifed
from support.planted_run import CONCEPTS, FILTERS, SIZE, PlantedImages, PlantedNetwork
from support.rows import assert_rows

from net2vec_pl.probes import initial_rows
from proofs.conftest import PlantedRun

Array = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]
QUESTION = "Is it real?"
TAU, EPOCHS, LR = 0.3, 30, 1e-4 * 112**2 / SIZE**2
SCORED = [concept for concept in CONCEPTS if concept != "park-s"]  # which has no masks
NUMBERS = [CONCEPTS[concept][0] for concept in SCORED]
CATEGORIES = [CONCEPTS[concept][1] for concept in SCORED]
# Of every run: its seed, and one more than the seed of its model.
SEEDS = {"run": (0, 1), "looked": (3, 8)}


@dataclass(frozen=True)
class World:
    """What a bank learns from.

    Args:
        bits: Where filters fire, (N, K, h, w).
        masks: Where concepts are, (N, C, h, w).
        is_train: The split.
    """

    bits: Bits
    masks: Bits
    is_train: Bits

    def with_concept(self, c: int, train: bool) -> npt.NDArray[np.int64]:
        """The images of a split that have a concept."""
        return np.flatnonzero(self.masks[:, c].any((1, 2)) & (self.is_train == train))

    def start(self, seed: int) -> Array:
        """The vectors from which training starts."""
        return initial_rows(NUMBERS, FILTERS, seed, "early").double().numpy()

    def trained(self, seed: int) -> Array:
        """Train every concept on its own."""
        rows = []
        for c, start in enumerate(self.start(seed)):
            mine = self.with_concept(c, train=True)
            bits, masks = self.bits[mine], self.masks[mine, c]
            orders = [range(len(mine))] * EPOCHS
            alpha = oracles.alpha(masks)
            rows.append(oracles.train_one_concept(bits, masks, alpha, start, orders, lr=LR))
        return np.array(rows, dtype=np.float64)

    def by_bank(self, weight: Array) -> Bits:
        """Masks that a bank finds."""
        return np.asarray(np.einsum("ck,nkhw->nchw", weight, self.bits.astype(float)) > 0)

    def by_best_filter(self) -> tuple[Bits, list[int]]:
        """Masks of the filter that does best on train, and which that is; -1 for none."""
        found, best = np.zeros_like(self.masks), []
        for c in range(len(SCORED)):
            mine = self.with_concept(c, train=True)
            counts = sum(
                np.array(oracles.overlap_counts(self.bits[n], self.masks[n, c])) for n in mine
            )
            best.append(oracles.best_filter(*np.asarray(counts)))
            if best[-1] >= 0:
                found[:, c] = self.bits[:, best[-1]]
        return found, best


def planted(run: PlantedRun) -> World:
    return World(run.drawn.fired, run.drawn.masks[:, : len(SCORED)], run.drawn.is_train)


def shuffled(world: World, seed: int) -> World:
    """Pass the masks of a concept on along its train images in random order, in a ring."""
    masks, rng = world.masks.copy(), np.random.default_rng(seed)
    for c in range(len(SCORED)):
        mine = world.with_concept(c, train=True)
        ring = rng.permutation(mine)
        masks[ring, c] = world.masks[np.roll(ring, -1), c]
    return World(world.bits, masks, world.is_train)


def random_network(world: World, seed: int) -> World:
    """What the same architecture with random weights answers, above its own thresholds."""
    torch.manual_seed(seed)
    network = PlantedNetwork().requires_grad_(False)
    pictures = PlantedImages()
    images = torch.stack([pictures[n].image for n in range(len(pictures))]).float() / 255
    answers = network.early(images).double().numpy()
    thresholds = [oracles.exact_threshold(answers[:, k], TAU) for k in range(FILTERS)]
    return World(oracles.binarise(answers, thresholds), world.masks, world.is_train)


# -------------------- scores


@dataclass(frozen=True)
class Scored:
    """Pixels that found masks and true ones share, and have together, (N val, C)."""

    name: str
    text: str
    shared: Array
    both: Array

    @property
    def iou(self) -> Array:
        return oracles.set_iou(self.shared.sum(0), self.both.sum(0))


def score(name: str, text: str, world: World, found: Bits, best: Sequence[int] = ()) -> Scored:
    val = ~world.is_train
    masks, found = world.masks[val], found[val]
    there = masks.any((2, 3))
    shared = (masks & found).sum((2, 3)) * there * 1.0
    both = (masks | found).sum((2, 3)) * there * 1.0
    for c, k in enumerate(best):
        if k < 0:  # no filter: no score
            shared[:, c] = both[:, c] = 0
    return Scored(name, text, shared, both)


@dataclass(frozen=True)
class Real:
    """A run's bank and its controls, worked out again."""

    run: PlantedRun
    seed: int
    multi: Scored
    controls: list[Scored]


@pytest.fixture(scope="module", params=SEEDS)
def real(request: pytest.FixtureRequest) -> Real:
    run: PlantedRun = request.getfixturevalue(request.param)
    (seed, seed_of_network), world = SEEDS[request.param], planted(run)
    other = random_network(world, seed_of_network)
    start = score("random_vector", "random vectors", world, world.by_bank(world.start(seed)))
    mixed = world.by_bank(shuffled(world, seed).trained(seed))
    name = "custom with random weights"
    controls = [
        score("single", "", world, *world.by_best_filter()),
        start,
        score(
            "shuffled_masks",
            "a bank trained on masks shuffled between images of each concept",
            world,
            mixed,
        ),
        score(
            "random_network_multi",
            f"combinations of filters of {name}",
            other,
            other.by_bank(other.trained(seed)),
        ),
        score(
            "random_network_single",
            f"the best single filter of {name}",
            other,
            *other.by_best_filter(),
        ),
    ]
    several = score("multi", "", world, world.by_bank(run.bank.weight.double().numpy()))
    return Real(run, seed, several, controls)


def test_the_oracle_learns_what_the_run_has_learned(run: PlantedRun) -> None:
    """So it may be trusted with banks that are not kept."""
    np.testing.assert_allclose(planted(run).trained(0), run.bank.weight.double(), atol=1e-4)


def test_every_control_scores_what_it_scores_when_done_again(real: Real) -> None:
    columns = [real.multi, *real.controls]
    expected = [
        {"name": concept, "category": CATEGORIES[c]}
        | {column.name: float(column.iou[c]) for column in columns}
        for c, concept in enumerate(SCORED)
    ]
    assert_rows(real.run.table("analysis/controls"), expected)


def test_the_controls_differ(real: Real) -> None:
    """Else one could stand for another."""
    columns = {tuple(column.iou.round(4).tolist()) for column in (real.multi, *real.controls)}
    assert len(columns) == 6


@dataclass(frozen=True)
class Means:
    """Means over concepts that both score, with intervals over images, and how many are ahead."""

    n: int
    single: tuple[float, float, float]
    gain: tuple[float, float, float]
    won: int


def means(several: Scored, single: Scored) -> Means:
    chosen = np.isfinite(several.iou - single.iou)

    def of(images: np.ndarray, which: int) -> float:
        first, second = (
            oracles.set_iou(m.shared[images].sum(0), m.both[images].sum(0))[chosen]
            for m in (several, single)
        )
        found = (first, second, first - second)[which]
        return float(found[np.isfinite(found)].mean())

    everyone = np.arange(len(several.shared))
    there = [image for image in everyone if several.both[image][chosen].any()]

    def interval(which: int) -> tuple[float, float, float]:
        value = of(everyone, which)
        without = [of(everyone[everyone != image], which) for image in there]
        methods = ((several,), (single,), (several, single))[which]
        share = sum(m.both / m.both.sum(0) for m in methods)[:, chosen].sum(1)
        own = which < 2
        low, high = jackknifed(value, without, share[there].tolist(), share=own, skewed=own)
        return value, low, high

    gain = (several.iou - single.iou)[chosen]
    return Means(int(chosen.sum()), interval(1), interval(2), int((gain > 0).sum()))


def bounds(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def test_means_over_concepts_have_the_lead_of_the_trained_bank(real: Real) -> None:
    expected = []
    for control in real.controls:
        found = means(real.multi, control)
        row: dict[str, Any] = {"control": control.name, "n_concepts": found.n}
        row |= bounds("mean", found.single) | bounds("lead", found.gain)
        expected.append(row | {"n_above": found.won, "status": "ok"})
    assert_rows(real.run.table("analysis/control_means"), expected)


def said(found: tuple[float, float, float], pattern: str) -> str:
    value, low, high = (pattern.format(number) for number in found)
    return f"{value} [{low}, {high}]"


def finding(measure: str, found: Means, statement: str) -> dict[str, Any]:
    numbers = dict(zip(("value", "low", "high"), found.gain, strict=True))
    return {
        "question": QUESTION,
        "measure": measure,
        **numbers,
        "n": found.n,
        "statement": statement,
    }


def test_findings_say_how_far_the_bank_leads_and_what_a_random_network_gains(real: Real) -> None:
    expected = []
    for control in real.controls[1:]:
        found = means(real.multi, control)
        statement = (
            f"Against {control.text} ({found.single[0]:.3f} in mean val set IoU) the trained bank "
            f"leads by {said(found.gain, '{:.3f}')} and is ahead for {found.won} of "
            f"{found.n} concepts."
        )
        if control.name == "shuffled_masks":
            statement += " This lead is the probe's selectivity (Hewitt & Liang, 2019)."
        expected.append(finding(f"lead over {control.name}", found, statement))
    found = means(real.controls[-2], real.controls[-1])
    statement = (
        "On the network with random weights combinations gain "
        f"{said(found.gain, '{:.3f}')} over single filters and score higher for "
        f"{found.won} of {found.n} concepts: so much of such a gain needs no training of the "
        "network."
    )
    expected.append(finding("gain on a random network", found, statement))
    rows = [row for row in real.run.table("findings") if row["question"] == QUESTION]
    assert_rows(rows, expected)
    page = (real.run.folder / "findings.md").read_text()
    section = page.partition(f"## {QUESTION}\n\n")[2].strip().splitlines()
    assert section == [f"* {row['statement']}" for row in expected]


# -------------------- controls that cannot be made


def test_controls_that_are_left_out_say_why(own_weights: PlantedRun) -> None:
    """Without activations in memory, of a network that has weights of its own."""
    run = own_weights
    rows = {row["control"]: row for row in run.table("analysis/control_means")}
    memory = "needs activations kept in memory: cache=memory or device"
    assert {name: row["status"] for name, row in rows.items()} == {
        "single": "ok",
        "random_vector": "ok",
        "shuffled_masks": memory,
        "random_network": "the network brings its own weights",
    }
    for name in ("shuffled_masks", "random_network"):
        numbers = {k: v for k, v in rows[name].items() if k not in ("control", "status")}
        assert set(numbers.values()) == {"0", "nan"}
        assert numbers["n_concepts"] == "0"
    columns = ["name", "category", "multi", "single", "random_vector"]
    assert list(run.table("analysis/controls")[0]) == columns
    found = [row["measure"] for row in run.table("findings")]
    assert found == ["lead over random_vector"]
