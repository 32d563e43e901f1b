"""Runs over other units than filters: fitted once, kept in the bank, used by all that reads it."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.cli import QUICK, by_name, read_table, run_cli
from support.several import run_forked
from torch import Tensor, nn
from torch.utils.data import Dataset

import net2vec_pl
from net2vec_pl.datasets import ShapesReader
from net2vec_pl.errors import BackboneError, ConfigError, RunFolderError
from net2vec_pl.inference import Bank
from net2vec_pl.units import Units

UNITS = {
    "pca": ["units=pca", "units.count=12"],
    "nmf": ["units=nmf", "units.count=12"],
    "filters": [],
}
BARE: dict[str, Any] = {
    "network": "shapesnet",
    "analyses": "none",
    "beside": (),
    "device": "cpu",
    "protocol": "lda",
}
SMALL = {"data.num_images": 60, "data.image_size": 32}
FEW: dict[str, Any] = BARE | {"options": SMALL, "names": ["sky", "grass"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run over each kind of units."""
    folder = tmp_path_factory.mktemp("units")
    with pytest.MonkeyPatch.context() as patch:
        for name, options in UNITS.items():
            assert run_cli(patch, folder, *QUICK, *options, f"run.dir=runs/{name}") == 0
    return folder / "runs"


def scores_of(bank: Bank) -> Iterator[tuple[str, float]]:
    """Score the masks of a bank on the val images of the run, one concept after another."""
    reader = ShapesReader(num_images=60, image_size=32, seed=0)
    val = np.flatnonzero(~reader.is_train)
    samples = [reader[int(row)] for row in val]
    masks = bank.segment(torch.stack([sample.image for sample in samples]))
    for at, concept in enumerate(bank.vocabulary):
        inside = union = 0
        for sample, found in zip(samples, masks[:, at], strict=True):
            true = (sample.label_maps == concept.number).any(0)
            if true.any():
                inside += int((true & found).sum())
                union += int((true | found).sum())
        if union:
            yield concept.name, inside / union


@pytest.mark.parametrize("name", ["pca", "nmf"])
def test_the_bank_alone_gives_the_masks_that_the_run_scored(name: str, runs: Path) -> None:
    scored = by_name(runs / name / "concepts.csv")
    bank = net2vec_pl.load_bank(runs / name / "bank.safetensors")
    assert bank.backbone.shape == (12, 4, 4)
    assert bank.file.weight.shape[1] == len(read_table(runs / name / "filters.csv")) == 12
    found = dict(scores_of(bank))
    assert len(found) > 20
    for concept, score in found.items():
        assert score == pytest.approx(float(scored[concept]["multi_val"]), abs=1e-9), concept


def test_what_is_read_is_the_units_of_the_filters(runs: Path, tmp_path: Path) -> None:
    bank = net2vec_pl.load_bank(runs / "pca")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    filters = net2vec_pl.load_bank(runs / "filters").backbone(images)
    kept = load_file(runs / "pca" / "bank.safetensors")
    wanted = torch.einsum("uk,nkhw->nuhw", kept["units.weight"], filters)
    wanted += kept["units.bias"][:, None, None]
    torch.testing.assert_close(bank.backbone(images), wanted, rtol=0, atol=1e-5)
    assert bank.header["units"]["name"] == "pca"
    assert repr(bank).endswith("over 12 principal components of shapesnet conv5)")
    assert (
        "| units | 12 principal components in place of filters |"
        in (runs / "pca" / "bank.md").read_text()
    )
    bank.to_numpy(tmp_path / "bank.npz")
    assert np.array_equal(np.load(tmp_path / "bank.npz")["units.bias"], kept["units.bias"])
    plain = net2vec_pl.load_bank(runs / "filters")
    assert "units" not in plain.header
    assert "units" not in (runs / "filters" / "bank.md").read_text()


def test_components_are_those_of_all_positions_of_the_train_images(runs: Path) -> None:
    reader = ShapesReader(num_images=60, image_size=32, seed=0)
    images = torch.stack([reader[int(row)].image for row in np.flatnonzero(reader.is_train)])
    filters = net2vec_pl.load_bank(runs / "filters").backbone(images)
    x = filters.transpose(0, 1).flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x))
    weight = load_file(runs / "pca" / "bank.safetensors")["units.weight"].double().numpy()
    explained = np.diag(weight @ np.cov(x) @ weight.T)
    np.testing.assert_allclose(explained, values[::-1][:12], rtol=2e-3)
    for own, exact in zip(weight[:3], vectors.T[::-1], strict=False):
        assert abs(own @ exact) == pytest.approx(1, abs=1e-3)


def test_a_run_that_stopped_has_its_units_already(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.pipeline.segmentation.count_single_filters", stop)
        assert run_cli(broken, tmp_path, *QUICK, *UNITS["nmf"], "run.dir=out") == 130
    with monkeypatch.context() as broken:
        broken.setattr("net2vec_pl.pipeline.units.factors", stop)
        assert run_cli(broken, tmp_path, "run.resume=out") == 0
    for name in ("bank.safetensors", "concepts.csv", "filters.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (runs / "nmf" / name).read_bytes()


@pytest.mark.parametrize("name", ["pca", "nmf"])
def test_two_processes_fit_what_one_fits(name: str, runs: Path, tmp_path: Path) -> None:
    plain = [option for option in QUICK if option != "trainer=cpu"]
    done = run_forked(tmp_path, 2, *plain, *UNITS[name], "loader.batch_size=14")
    assert done.returncode == 0, done.stderr
    assert f"units: 12 {'principal components' if name == 'pca' else 'factors'}" in done.stdout
    one, two = (load_file(f / "bank.safetensors") for f in (runs / name, tmp_path / "out"))
    fitted = [tensor for tensor in one if tensor.startswith("units.")]
    assert fitted
    for tensor in fitted:
        torch.testing.assert_close(two[tensor], one[tensor], rtol=0, atol=1e-5)


def test_a_comparison_tells_units_apart(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_cli(monkeypatch, tmp_path, "task=compare", f"runs={runs}", "run.dir=out") == 0
    settings = {row["setting"] for row in read_table(tmp_path / "out" / "categories.csv")}
    assert settings == {
        "filters",
        "12 principal components",
        "12 factors of a non-negative factorisation",
    }
    told = [r for r in read_table(tmp_path / "out" / "differences.csv") if r["what"] == "units"]
    assert len(told) == 3


def test_an_edited_bank_is_refused(runs: Path, tmp_path: Path) -> None:
    with safe_open(runs / "pca" / "bank.safetensors", "pt") as file:
        metadata = file.metadata()
    tensors = load_file(runs / "pca" / "bank.safetensors")
    path = tmp_path / "bank.safetensors"
    changed = {**tensors, "units.bias": tensors["units.bias"] + 1}
    save_file(changed, path, metadata)
    with pytest.raises(RunFolderError, match="not those that its header names"):
        net2vec_pl.load_bank(path)
    save_file({n: v for n, v in tensors.items() if n != "units.bias"}, path, metadata)
    with pytest.raises(RunFolderError, match="its units pca have no tensor bias"):
        net2vec_pl.load_bank(path)
    short = {n: v[:5] if n.startswith("units.") else v for n, v in tensors.items()}
    save_file(short, path, metadata)
    with pytest.raises(RunFolderError, match="its units are 5, but activation_shape has 12"):
        net2vec_pl.load_bank(path)


# -------------------- known answers


def test_combinations_do_not_depend_on_the_basis() -> None:
    """Fisher's discriminant is the same in rotated units; single units are not."""
    plain = BARE | {
        "layer": "conv3",
        "options": {
            "data.num_images": 200,
            "protocol.input": "raw",
            "protocol.shrinkage": 1e-6,
        },
        "categories": ["color", "material"],
    }
    filters = net2vec_pl.learn(**plain)
    rotated = net2vec_pl.learn(**plain, units="rotation")
    assert not isinstance(filters, dict)
    assert not isinstance(rotated, dict)
    one, two = (np.array([row.multi_val for row in bank.scores]) for bank in (filters, rotated))
    np.testing.assert_allclose(two, one, atol=0.01)
    singles = [np.array([row.single_val for row in bank.scores]) for bank in (filters, rotated)]
    assert np.abs(singles[0] - singles[1]).max() > 0.02


class RedSquares(Dataset[Any]):
    """A red square on noise in which red comes with green."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(row)
        image = torch.randint(0, 200, (3, 16, 16), dtype=torch.uint8, generator=random)
        image[1] = image[0]
        mask = torch.zeros(16, 16, dtype=torch.uint8)
        top, left = torch.randint(0, 9, (2,), generator=random).tolist()
        mask[top : top + 8, left : left + 8] = 1
        image[0][mask == 1] = image[0][mask == 1] // 2 + 20
        image[1][mask == 1] = 0
        return image, mask


def test_a_latent_that_is_a_concept_is_enough_for_it(tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 3, 1, bias=False)
    network = nn.Sequential(conv, nn.ReLU())
    with torch.no_grad():
        conv.weight.copy_(torch.eye(3)[:, :, None, None])
    path = tmp_path / "sae.safetensors"
    weight = torch.tensor([[0.0, 0.3, 0.5], [1.0, -1.0, 0.0], [0.2, 0.1, -0.4], [0.1, 0.6, 0.1]])
    save_file({"encoder.weight": weight, "encoder.bias": torch.zeros(4)}, path)
    given: dict[str, Any] = {
        "network": network,
        "data": RedSquares(),
        "names": ["square"],
        "scaling": "unit",
        "image_size": 16,
        "mask_size": 16,
        "options": {"protocol.tau": 0.25, "protocol.epochs": 1},
        "analyses": "none",
        "device": "cpu",
    }
    filters = net2vec_pl.learn(**given)
    latents = net2vec_pl.learn(
        **given, units={"name": "sae", "file": str(path), "activation": "relu"}
    )
    assert not isinstance(filters, dict)
    assert not isinstance(latents, dict)
    assert latents.scores["square"].best_filter == 1
    assert latents.scores["square"].single_val > 0.97
    assert filters.scores["square"].single_val < 0.5
    assert latents.header["units"]["file"] == "sae.safetensors"
    path.unlink()  # the bank holds it all
    again = net2vec_pl.load_bank(latents.save(tmp_path / "bank.safetensors"), network=network)
    image, _ = RedSquares()[23]
    assert torch.equal(again.segment(image), latents.segment(image))


class Signed(nn.Module):
    """A convolution that gives both signs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, stride=4)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        return found


def test_what_goes_below_zero_is_not_factorised_but_told_apart() -> None:
    torch.manual_seed(0)
    given = FEW | {"network": Signed(), "layer": "conv"}
    with pytest.raises(BackboneError, match=re.escape("but layer 'conv' of Signed gives values")):
        net2vec_pl.learn(**given, units={"name": "nmf", "count": 3})
    bank = net2vec_pl.learn(**given, units="signed")
    assert not isinstance(bank, dict)
    assert bank.file.weight.shape == (2, 12)


# -------------------- what stands around a run


def test_several_layers_have_units_of_their_own(tmp_path: Path) -> None:
    banks = net2vec_pl.learn(
        **FEW, layer=["conv4", "conv5"], units={"name": "pca", "count": 7}, folder=tmp_path / "run"
    )
    assert isinstance(banks, dict)
    for layer, filters in {"conv4": 96, "conv5": 128}.items():
        assert banks[layer].file.units.tensors["weight"].shape == (7, filters)
        assert banks[layer].backbone.with_units(Units()).shape[0] == filters
        page = (tmp_path / "run" / layer / "report.html").read_text()
        assert "7 principal components in place of filters" in page
        assert "Here a filter is one of 7 principal components." in page


def test_a_cache_on_disk_is_of_its_units(tmp_path: Path) -> None:
    given = FEW | {"cache": "disk", "protocol": "paper"}
    given["options"] = SMALL | {"cache.dir": str(tmp_path), "protocol.epochs": 1}
    banks = [net2vec_pl.learn(**given, units=units) for units in ("filters", "rotation")]
    thresholds = [bank.file.threshold for bank in banks if not isinstance(bank, dict)]
    assert not torch.equal(*thresholds)


def test_a_random_network_has_units_of_its_own_but_no_trained_ones(tmp_path: Path) -> None:
    path = tmp_path / "sae.safetensors"
    save_file({"encoder.weight": torch.randn(20, 128)}, path)
    given = FEW | {"analyses": ["controls"]}
    for units in ("pca", {"name": "sae", "file": str(path), "k": 3}):
        bank = net2vec_pl.learn(**given, units=units)
        assert not isinstance(bank, dict)
        rows = {row.control: row for row in bank.tables["control_means"]}
        if units == "pca":
            assert rows["random_network_multi"].status == "ok"
        else:
            assert rows["random_network"].status == (
                "units=sae belong to the network they were trained on"
            )
            assert rows["shuffled_masks"].status == "ok"


def test_the_doctor_counts_units(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["task=doctor", "data.num_images=60", "units=pca", "units.count=5"]
    assert run_cli(monkeypatch, tmp_path, *given) == 0
    assert "(module conv5): 5 principal components of 12 x 12" in capsys.readouterr().out
    assert run_cli(monkeypatch, tmp_path, *given[:3], "units.count=129") == 1
    assert "units.count=129 must be from 1 to 128" in capsys.readouterr().out


def test_units_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="net2vec_pl"):
        net2vec_pl.learn(**FEW, units={"name": "rotation", "seed": 3})
    assert "shapesnet at conv5: 128 axes of a random rotation, 4x4" in caplog.text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"units": "ica"}, "unknown choice of units 'ica'. Did you mean 'pca'?"),
        ({"units": {"name": "pca", "seed": 1}}, "unknown option of units=pca 'seed'"),
        ({"units": {"name": "pca", "count": 129}}, "units.count=129 must be from 1 to 128"),
        ({"units": {"name": "sae"}}, "units=sae needs the file of its weights: units.file=PATH"),
        ({"options": {"units": "pca"}}, "units is an argument of its own, units=UNITS"),
        ({"options": SMALL | {"units.count": 3}}, "unknown option of units=filters 'count'"),
    ],
)
def test_units_that_there_are_not_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        net2vec_pl.learn(**(FEW | given))
