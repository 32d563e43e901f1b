"""``load_bank`` on the banks of a planted run: every answer worked out by hand."""

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.banks import edit_header, fields_of, made_up_header, put
from support.cli import read_table
from support.planted_run import CONCEPTS, FILTERS, SIZE, PlantedImages

from net2vec_pl import load_bank
from net2vec_pl.datasets.images.any_image import fit
from net2vec_pl.errors import RunFolderError
from net2vec_pl.inference import Bank
from proofs.conftest import PlantedRun

Floats = npt.NDArray[np.float64]
SEGMENTED = list(CONCEPTS)[:-1]


@pytest.fixture(scope="module")
def weights(run: PlantedRun) -> str:
    return str(run.folder.parent / "network.safetensors")


@pytest.fixture(scope="module")
def bank(run: PlantedRun, weights: str) -> Bank:
    return load_bank(run.folder, weights=weights)


@pytest.fixture(scope="module")
def classifiers(run: PlantedRun, weights: str) -> Bank:
    return load_bank(run.folder / "classification.safetensors", weights=weights)


@pytest.fixture(scope="module")
def images(run: PlantedRun) -> torch.Tensor:
    """All val images; more than go through the network at a time."""
    reader = PlantedImages(run.drawn)
    return torch.stack([reader[n].image for n in np.flatnonzero(~run.drawn.is_train).tolist()])


@pytest.fixture(scope="module")
def logits(run: PlantedRun) -> Floats:
    """The sums of the weights of the filters that fire, (N, C, h, w)."""
    fired = run.drawn.fired[~run.drawn.is_train]
    weight = run.bank.weight.double().numpy()
    return np.asarray(np.einsum("ck,nkhw->nchw", weight, fired))


def sigmoid(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-value)))


def test_logits_are_sums_of_the_weights_of_filters_that_fire(
    bank: Bank, images: torch.Tensor, logits: Floats
) -> None:
    assert len(images) > 16
    np.testing.assert_allclose(bank.logits(images), logits, atol=1e-5)
    names = ["ear", "ball", "cup"]
    rows = [SEGMENTED.index(name) for name in names]
    np.testing.assert_allclose(bank.logits(images[3:5], names), logits[3:5][:, rows], atol=1e-5)


def test_masks_are_where_logits_are_above_zero(
    bank: Bank, images: torch.Tensor, logits: Floats
) -> None:
    np.testing.assert_array_equal(bank.segment(images), logits > 0)
    assert not bank.segment(torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)).any()  # logits of 0


def test_probabilities_are_those_of_logits_upsampled_corner_on_corner(
    bank: Bank, images: torch.Tensor, logits: Floats
) -> None:
    found = bank.probabilities(images[:2], size=(20, 31))
    wanted = np.empty((2, len(SEGMENTED), 20, 31))
    for i, j in itertools.product(range(20), range(31)):
        y, x = i * (SIZE - 1) / 19, j * (SIZE - 1) / 30
        top, left = min(int(y), SIZE - 2), min(int(x), SIZE - 2)
        down, right = np.array([1 - y + top, y - top]), np.array([1 - x + left, x - left])
        square = logits[:2, :, top : top + 2, left : left + 2]
        wanted[:, :, i, j] = np.einsum("y,ncyx,x->nc", down, square, right)
    np.testing.assert_allclose(found, sigmoid(wanted), atol=1e-5)
    np.testing.assert_allclose(bank.probabilities(images), sigmoid(logits), atol=1e-6)


def test_masks_have_the_size_of_those_that_the_bank_was_learned_on(
    bank: Bank, weights: str, images: torch.Tensor
) -> None:
    data = bank.header["data"] | {"mask_size": [8, 9]}
    other = Bank(replace(bank.file, header=bank.header | {"data": data}), weights=weights)
    found = other.segment(images[:2])
    assert found.shape == (2, len(SEGMENTED), 8, 9)
    assert torch.equal(found, bank.segment(images[:2], size=(8, 9)))


def test_an_image_that_shrinks_is_smoothed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 24, 24)).astype(np.uint8)
    shares = np.zeros((12, 24))  # a triangle two pixels wide on either side of each middle
    for i in range(12):
        near = 1 - np.abs(np.arange(24) + 0.5 - 2 * (i + 0.5)) / 2
        shares[i] = near.clip(0) / near.clip(0).sum()
    wanted = np.einsum("iy,cyx,jx->cij", shares, image, shares)
    found = fit(torch.from_numpy(image), (12, 12)).numpy()
    assert np.abs(found - wanted).max() <= 1.01  # rounded along each side
    assert fit(torch.from_numpy(image), (24, 24)).numpy().tolist() == image.tolist()


def test_an_image_scores_the_largest_probability_anywhere(
    bank: Bank, images: torch.Tensor, logits: Floats
) -> None:
    np.testing.assert_allclose(bank.score(images), sigmoid(logits.max((2, 3))), atol=1e-6)


def test_classifiers_take_the_mean_of_activations_and_their_bias(
    classifiers: Bank, images: torch.Tensor, run: PlantedRun
) -> None:
    pooled = run.drawn.activation[~run.drawn.is_train].mean((2, 3))
    assert classifiers.file.bias is not None
    weight, bias = classifiers.file.weight.double().numpy(), classifiers.file.bias.double().numpy()
    wanted = sigmoid(pooled @ weight.T + bias)
    np.testing.assert_allclose(classifiers.score(images), wanted, atol=1e-6)
    names = ["park-s", "ball"]
    rows = [list(CONCEPTS).index(name) for name in names]
    np.testing.assert_allclose(classifiers.score(images, names), wanted[:, rows], atol=1e-6)
    assert np.abs(bias).max() > 0.01


@pytest.mark.parametrize("name", CONCEPTS)
def test_nearest_concepts_and_sums_are_ranked_by_cosine(name: str, classifiers: Bank) -> None:
    weight = classifiers.file.weight.double().numpy()
    unit = weight / np.sqrt((weight**2).sum(1, keepdims=True))
    names = list(CONCEPTS)
    row = names.index(name)
    found = classifiers.nearest(name, 3)
    others = sorted((c for c in range(8) if c != row), key=lambda c: -float(unit[c] @ unit[row]))
    assert [near.name for near in found] == [names[c] for c in others[:3]]
    np.testing.assert_allclose(
        [near.cosine for near in found], [unit[c] @ unit[row] for c in others[:3]], atol=1e-6
    )
    one, two = names[row - 1], names[row - 2]
    asked = unit[row] + unit[row - 1] - unit[row - 2]
    asked /= np.sqrt((asked**2).sum())
    left = [c for c in range(8) if names[c] not in (name, one, two)]
    ranked = sorted(left, key=lambda c: -float(unit[c] @ asked))[:2]
    answers = classifiers.arithmetic(f"{name} + {one} - {two}", 2)
    assert [answer.name for answer in answers] == [names[c] for c in ranked]
    np.testing.assert_allclose(
        [answer.cosine for answer in answers], [unit[c] @ asked for c in ranked], atol=1e-6
    )


def test_what_a_bank_says_of_itself(bank: Bank, classifiers: Bank, run: PlantedRun) -> None:
    assert repr(bank) == "Bank(7 concepts over 16 filters of custom early)"
    assert repr(classifiers) == "Bank(8 concepts over 16 filters of custom early)"
    assert (bank.segments, classifiers.segments) == (True, False)
    assert (bank.names, classifiers.names) == (SEGMENTED, list(CONCEPTS))
    assert bank.header is bank.file.header
    assert torch.equal(bank["dog"], run.bank.weight[2])
    sizes = {
        "input_transform": made_up_header(3)["input_transform"] | {"image_size": [16, 24]},
        "data": made_up_header(3)["data"] | {"mask_size": [8, 9]},
    }
    other = Bank(replace(bank.file, header=made_up_header(FILTERS, **sizes)))
    assert (other.image_size, other.mask_size) == ((16, 24), (8, 9))


def test_of_a_folder_the_bank_that_segments_is_taken(run: PlantedRun) -> None:
    assert load_bank(run.folder).segments
    assert torch.equal(load_bank(run.folder).file.weight, run.bank.weight)


def test_a_run_of_several_layers_is_told_where_its_banks_are(two_layers: PlantedRun) -> None:
    folder = two_layers.folder
    with pytest.raises(RunFolderError) as error:
        load_bank(folder)
    assert str(error.value) == (
        f"{folder} holds no bank.safetensors, but below it are those of several layers. Did you "
        f"mean {folder / 'early'} or {folder / 'late'}?"
    )


def test_tables_and_arrays_hold_what_the_bank_holds(classifiers: Bank, tmp_path: Path) -> None:
    classifiers.to_csv(tmp_path / "bank.csv")
    weight, bias = classifiers.file.weight.numpy(), classifiers.file.bias
    assert bias is not None
    assert read_table(tmp_path / "bank.csv") == [
        {"id": str(number), "name": name, "category": category}
        | {f"filter_{k}": str(value) for k, value in enumerate(weight[c])}
        | {"bias": str(bias.numpy()[c])}
        for c, (name, (number, category)) in enumerate(CONCEPTS.items())
    ]
    classifiers.to_numpy(tmp_path / "bank.npz")
    with np.load(tmp_path / "bank.npz") as held:
        assert sorted(held) == ["bias", "categories", "header", "names", "threshold", "weight"]
        assert held["names"].tolist() == list(CONCEPTS)
        assert held["categories"].tolist() == [category for _, category in CONCEPTS.values()]
        np.testing.assert_array_equal(held["threshold"], [k / 64 for k in range(15)] + [0])


def test_a_convolution_has_the_embeddings_asked_for_as_rows(
    bank: Bank, classifiers: Bank, run: PlantedRun
) -> None:
    conv = bank.to_conv2d(["ear", "ball"])
    assert torch.equal(conv.weight[:, :, 0, 0], run.bank.weight[[3, 0]])
    assert conv.bias is None
    assert run.classifiers.bias is not None
    conv = classifiers.to_conv2d(["park-s", "ball"])
    assert conv.bias is not None
    assert torch.equal(conv.bias, run.classifiers.bias[[7, 0]])


def test_without_any_one_field_a_bank_is_refused_by_its_name_or_says_the_same(
    run: PlantedRun, weights: str, images: torch.Tensor, logits: Floats, tmp_path: Path
) -> None:
    refused = []
    for field in [*fields_of(run.bank.header), "vocabulary"]:
        path = edit_header(
            run.folder / "bank.safetensors",
            partial(put, field=field),
            tmp_path / "bank.safetensors",
        )
        try:
            bank = load_bank(path, weights=weights)
        except RunFolderError as error:
            assert f"bank {path} cannot be used: its header has no {field}, " in str(error)  # noqa: PT017
            refused.append(field)
            continue
        if field == "model._target_":  # the network is no longer known
            continue
        np.testing.assert_array_equal(bank.segment(images[:3]), logits[:3] > 0)
    assert {
        "model.name", "model.weights", "weights_digest", "layer", "module_path", "tau", "seed",
        "activation_shape", "input_transform.std", "protocol.align_corners", "data.mask_size",
        "versions", "vocabulary",
    } <= set(refused)  # fmt: skip
    assert not {"seeds", "deviations", "model.seed", "target"} & set(refused)
