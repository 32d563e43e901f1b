"""The rivals solve the same problem: against the literal oracle and against each other."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from support import oracles
from torch import Tensor

from benchmarks import rivals
from net2vec_pl.functional.quantile import tail_length, upper_quantile

FILTERS, GRID, SIZE = 6, (4, 5), (12, 10)
NUMBERS = (3, 300)  # the second needs the green channel
IMAGES = ((0, 2, 3, 5, 6), (1, 2, 4))
EPOCHS = 3


@dataclass(frozen=True)
class World:
    """Random activations of seven images, two concepts on some of them, and their label maps.

    Mask sizes less one are odd: so no upsampled 0/1 map is exactly one half anywhere, where float32
    might fall to either side.
    """

    activations: npt.NDArray[np.float32]
    thresholds: npt.NDArray[np.float32]
    label_maps: tuple[tuple[tuple[Path, ...], ...], ...]
    masks: tuple[Tensor, ...]
    start: Tensor

    @property
    def fired(self) -> Tensor:
        return torch.from_numpy(self.activations > self.thresholds[:, None, None])

    @property
    def alpha(self) -> Tensor:
        return rivals.weigh_concepts(self.masks)


def write_map(path: Path, numbers: npt.NDArray[np.int64], rng: np.random.Generator) -> Path:
    blue = rng.integers(0, 256, numbers.shape)  # holds nothing: readers must not look at it
    channels = np.stack([numbers % 256, numbers // 256, blue], axis=2).astype(np.uint8)
    Image.fromarray(channels).save(path)
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    rng = np.random.default_rng(7)
    activations = rng.exponential(size=(7, FILTERS, *GRID)).astype(np.float32)
    layers = rng.choice([0, 3, 44, 300], size=(7, 2, *SIZE))
    files = [
        tuple(write_map(tmp_path / f"{i}_{j}.png", layers[i, j], rng) for j in range(2))
        for i in range(7)
    ]
    pairs = list(zip(NUMBERS, IMAGES, strict=True))
    return World(
        activations,
        np.linspace(0.3, 1.5, FILTERS, dtype=np.float32),
        tuple(tuple(files[i] for i in images) for images in IMAGES),
        tuple(torch.from_numpy((layers[list(i)] == number).any(1)) for number, i in pairs),
        torch.from_numpy(rng.uniform(-0.4, 0.4, (2, FILTERS)).astype(np.float32)),
    )


def fit_in_memory(world: World, batch_size: int, lr: float = 1e-2) -> Tensor:
    return rivals.fit_in_memory(
        world.fired,
        IMAGES,
        world.masks,
        world.alpha,
        world.start,
        epochs=EPOCHS,
        lr=lr,
        batch_size=batch_size,
    )


@pytest.mark.parametrize("batch_size", [2, 64])
def test_in_memory_trains_as_the_formulas_do(world: World, batch_size: int) -> None:
    found = fit_in_memory(world, batch_size)
    for c, images in enumerate(IMAGES):
        masks = world.masks[c].numpy()
        expected = oracles.train_one_concept(
            world.fired.numpy()[list(images)],
            masks,
            oracles.alpha(masks),
            world.start[c].numpy(),
            [range(len(images))] * EPOCHS,
            lr=1e-2,
            batch=batch_size,
        )
        np.testing.assert_allclose(found[c].numpy(), expected, atol=1e-5)
    assert (found - world.start).abs().amax(1).min() > 1e-2


@pytest.mark.parametrize("batch_size", [2, 16])
def test_the_original_trains_alike_from_files(
    world: World, tmp_path: Path, batch_size: int
) -> None:
    world.activations.tofile(tmp_path / "activations")
    stored = np.memmap(
        tmp_path / "activations", dtype=np.float32, mode="r", shape=world.activations.shape
    )
    found = rivals.fit_like_the_original(
        stored,
        world.thresholds,
        IMAGES,
        world.label_maps,
        NUMBERS,
        world.alpha,
        world.start,
        epochs=EPOCHS,
        lr=1e-2,
        batch_size=batch_size,
    )
    torch.testing.assert_close(found, fit_in_memory(world, batch_size), atol=1e-5, rtol=0)


def test_a_concept_is_fitted_the_same_alone(world: World) -> None:
    alone = rivals.fit_in_memory(
        world.fired,
        IMAGES[1:],
        world.masks[1:],
        world.alpha[1:],
        world.start[1:],
        epochs=EPOCHS,
        lr=1e-2,
    )
    torch.testing.assert_close(alone[0], fit_in_memory(world, 64)[1])


def test_decoded_masks_unite_all_layers(world: World) -> None:
    for c, number in enumerate(NUMBERS):
        decoded = [rivals.decode_mask(maps, number) for maps in world.label_maps[c]]
        assert torch.equal(torch.stack(decoded), world.masks[c])


def test_counts_are_those_of_the_formulas(world: World) -> None:
    intersection, union = rivals.count_by_concept(world.fired, IMAGES, world.masks)
    for c, images in enumerate(IMAGES):
        counts = [
            oracles.single_filter_counts(world.fired[i].numpy(), mask.numpy())
            for i, mask in zip(images, world.masks[c], strict=True)
        ]
        assert intersection[c].tolist() == np.sum([both for both, _ in counts], axis=0).tolist()
        assert union[c].tolist() == np.sum([either for _, either in counts], axis=0).tolist()
    assert intersection.dtype == union.dtype == torch.int64


@pytest.mark.parametrize("tau", [0.005, 0.1, 0.5])
def test_thresholds_are_ours(tau: float) -> None:
    rng = np.random.default_rng(3)
    activations = rng.normal(size=(9, FILTERS, *GRID)).astype(np.float32).clip(0, 1.2)
    activations[:, 0] = 0  # a filter that never fires keeps threshold 0
    count = 9 * GRID[0] * GRID[1]
    ordered = torch.from_numpy(activations).transpose(0, 1).flatten(1).sort(1, descending=True)
    expected = upper_quantile(ordered.values[:, : tail_length(count, tau)], count, tau)
    found = rivals.thresholds_by_sort(activations, tau)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6, atol=1e-7)
    assert found[0] == 0
