"""Units against formulas written by hand: what each makes of a layer's filters."""

import re

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.decomposition import PCA, non_negative_factorization
from torch import Tensor

from net2vec_pl.errors import ConfigError
from net2vec_pl.units import UnitChoice, Units, told, units_from
from net2vec_pl.units.fitting import components, factors
from net2vec_pl.units.transforms import Factors

N, K, H, W = 5, 6, 3, 4


def maps(*, signed: bool = True) -> Tensor:
    drawn = torch.randn(N, K, H, W, generator=torch.Generator().manual_seed(3))
    return drawn if signed else drawn.relu()


def rows(activation: Tensor) -> np.ndarray:
    """Return activations as positions x units."""
    flat: np.ndarray = activation.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    return flat


def test_filters_are_left_as_they_are() -> None:
    units, x = UnitChoice().units(K), maps()
    assert units(x) is x
    assert (units.are_filters, units.number(K), units.tensors) == (True, K, {})


def test_a_rotation_keeps_lengths_and_depends_on_its_seed_alone() -> None:
    units = UnitChoice("rotation", {"seed": 4}).units(K)
    weight = units.tensors["weight"]
    torch.testing.assert_close(weight @ weight.T, torch.eye(K))
    x = maps()
    torch.testing.assert_close(units(x).norm(dim=1), x.norm(dim=1))
    np.testing.assert_allclose(rows(units(x)), rows(x) @ weight.double().numpy().T, atol=1e-5)
    assert torch.equal(UnitChoice("rotation", {"seed": 4}).units(K).tensors["weight"], weight)
    assert not torch.equal(UnitChoice("rotation", {"seed": 5}).units(K).tensors["weight"], weight)


def test_signed_units_are_two_relus() -> None:
    units, x = UnitChoice("signed").units(K), maps()
    halves = units(x)
    assert units.number(K) == halves.shape[1] == 2 * K
    assert torch.equal(halves[:, :K], x.relu())
    assert torch.equal(halves[:, K:], (-x).relu())
    assert torch.equal(halves[:, :K] - halves[:, K:], x)


def test_components_are_those_of_scikit_learn_turned_by_a_rule() -> None:
    x = rows(maps() * torch.tensor([5.0, 4, 3, 2, 1, 0.5])[:, None, None] + 2)
    count, total = torch.tensor(float(len(x))).double(), torch.from_numpy(x.sum(0))
    made = components(count, total, torch.from_numpy(x.T @ x), 4)
    wanted = PCA(4, svd_solver="full").fit(x).components_
    wanted *= np.sign(wanted[np.arange(4), np.abs(wanted).argmax(1)])[:, None]
    np.testing.assert_allclose(made["weight"].numpy(), wanted, atol=1e-5)
    units = UnitChoice("pca", {"count": 4}).fitted(made)
    activation = torch.from_numpy(x).float().T[None, :, :, None]
    scores = units(activation)[0, :, :, 0].T.numpy()
    np.testing.assert_allclose(scores, (x - x.mean(0)) @ wanted.T, atol=1e-4)
    np.testing.assert_allclose(np.cov(scores.T), np.diag(np.diag(np.cov(scores.T))), atol=1e-3)


def planted_parts() -> tuple[np.ndarray, np.ndarray]:
    """Return sparse codes (M, 3) and parts (3, K) whose products are to be factorised."""
    rng = np.random.default_rng(0)
    parts = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 2, 1, 0, 0], [0, 0, 0, 0, 1, 3]], dtype=float)
    return rng.random((400, 3)) * (rng.random((400, 3)) < 0.5), parts


def test_factors_find_the_parts_that_were_planted() -> None:
    codes, parts = planted_parts()
    sample = torch.from_numpy(codes @ parts).float()
    found = factors(sample, 3, 0)["dictionary"]
    assert torch.equal(factors(sample, 3, 0)["dictionary"], found)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    unit = parts / np.linalg.norm(parts, axis=1, keepdims=True)
    cosines = found.numpy() @ unit.T
    assert (cosines.max(1) > 0.999).all()
    assert sorted(cosines.argmax(1)) == [0, 1, 2]
    explained = codes.mean(0) * np.linalg.norm(parts, axis=1)
    assert cosines.argmax(1).tolist() == np.argsort(-explained).tolist()


def test_codes_of_factors_are_exact_and_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    dictionary = rng.random((5, 12)).astype(np.float32)  # parts that overlap much
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    x = rng.random((60, 12)).astype(np.float32)
    units = units_from({"name": "nmf"}, {"dictionary": torch.from_numpy(dictionary)})
    found = units(torch.from_numpy(x).T[None, :, :, None])[0, :, :, 0].T.numpy()
    exact = np.stack([nnls(dictionary.T, row)[0] for row in x])
    np.testing.assert_allclose(found, exact, atol=1e-5)
    assert (exact == 0).mean() > 0.1
    codes, *_ = non_negative_factorization(
        x, H=dictionary, n_components=5, update_H=False, max_iter=5000, tol=1e-7
    )
    np.testing.assert_allclose(found, codes, atol=1e-3)


def test_codes_of_factors_have_a_gradient_and_do_not_depend_on_company() -> None:
    units = Factors({"name": "nmf"}, {"dictionary": torch.eye(K)[:3]})
    x = maps(signed=False).requires_grad_()
    torch.testing.assert_close(units(x), x[:, :3])
    units(x).sum().backward()
    assert x.grad is not None
    assert (x.grad[:, :3][x[:, :3] > 0] > 0.99).all()
    torch.testing.assert_close(units(x[1:2]), units(x)[1:2], rtol=0, atol=1e-6)


def made(name: str) -> Units:
    """Return some units of each kind."""
    if name == "sae":
        tensors = {"weight": torch.randn(9, K), "bias": torch.randn(9), "threshold": torch.rand(9)}
        plain = {"name": "sae", "file": "a.safetensors", "activation": "jumprelu"}
        return units_from(plain, tensors)
    return UnitChoice(name).units(K)


@pytest.mark.parametrize("name", ["filters", "rotation", "signed", "pca", "nmf", "sae"])
def test_a_description_and_its_tensors_are_all_there_is(name: str) -> None:
    units = made(name)
    again = units_from(units.header, units.tensors)
    assert again.header == units.header
    assert torch.equal(again(maps()), units(maps()))
    assert units(maps()).shape == (N, units.number(K), H, W)
    if units.tensors:
        changed = {n: value + 1 for n, value in units.tensors.items()}
        assert units_from(units.header, changed).header["digest"] != units.header["digest"]
    assert units.header["digest"] != UnitChoice("rotation", {"seed": 9}).units(K).header["digest"]


@pytest.mark.parametrize(
    ("plain", "tensors", "message"),
    [
        ({"name": "ica"}, {}, "called 'ica', which is none of filters, rotation, signed"),
        ({"name": "pca"}, {"weight": torch.eye(2)}, "pca have no tensor bias"),
        (
            {"name": "rotation"},
            {"weight": torch.eye(2).double()},
            "a tensor weight of torch.float64",
        ),
        ({"name": "filters"}, {"weight": torch.eye(2)}, "filters cannot have a tensor weight"),
        (
            {"name": "pca"},
            {"weight": torch.eye(2), "bias": torch.zeros(3)},
            "the tensors of its units pca are of different lengths",
        ),
        (
            {"name": "sae", "activation": "gelu"},
            {"weight": torch.eye(2)},
            "the activation of its latents is 'gelu'",
        ),
        (
            {"name": "sae", "activation": "topk", "k": 3},
            {"weight": torch.eye(2)},
            "k of its latents is 3, but must be from 1 to 2",
        ),
        (
            {"name": "sae", "activation": "jumprelu"},
            {"weight": torch.eye(2)},
            "its latents have no threshold",
        ),
    ],
)
def test_what_makes_no_units_is_refused(
    plain: dict[str, object], tensors: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        units_from(plain, tensors)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pcs", {}, "unknown units 'pcs'. Did you mean 'pca'?"),
        ("pca", {"seed": 1}, "unknown option of units=pca 'seed'. Known: count."),
        ("pca", {"count": 0}, "units.count=0 must be a whole number from 1."),
        ("nmf", {"count": None}, "units.count=None must be a whole number from 1."),
        ("rotation", {"seed": -1}, "units.seed=-1 must be a whole number from 0"),
        ("sae", {"file": "x", "k": True}, "units.k=True must be a whole number from 1."),
        ("sae", {"file": "x", "threshold": -1.0}, "units.threshold=-1.0 must be a number from 0."),
        ("sae", {"file": "x", "centred": 1}, "units.centred=1 must be true or false."),
        ("sae", {"file": "x", "activation": "gelu"}, "must be one of relu, topk, jumprelu."),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        UnitChoice(name, options)


def test_there_are_no_more_components_than_filters() -> None:
    with pytest.raises(ConfigError, match=re.escape("units.count=7 must be from 1 to 6")):
        UnitChoice("pca", {"count": 7}).units(K)
    assert UnitChoice("pca", {"count": None}).units(K).number(K) == K


def test_what_stands_in_place_of_filters_is_told() -> None:
    assert told({}, 5) == told({"name": "filters"}, 5) == ""
    assert told({"name": "pca", "count": 5}, 5) == "5 principal components"
    assert told({"name": "nmf"}, 5) == "5 factors of a non-negative factorisation"
