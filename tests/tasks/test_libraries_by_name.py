"""``model=timm/NAME`` and ``model=hf/FOLDER`` through the whole of a run, and what a bank is then.

The numbers of a bank come from the network of the file that was given, at the size of the images.
"""

import csv
from pathlib import Path

import pytest
import torch
from support.cli import QUICK, composed, run_cli

import net2vec_pl
from net2vec_pl.tasks.doctor import doctor

timm = pytest.importorskip("timm")

NAME = "timm/vit_tiny_patch16_224"
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that is made for images of 224 pixels."""
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.manual_seed(2)
    torch.save(timm.create_model(NAME.removeprefix("timm/")).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    options = [f"model={NAME}", f"model.weights={weights}", "protocol=lda", "layer=block.2"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_cli(monkeypatch, folder, *QUICK, *options, "run.dir=here") == 0
    return folder / "here"


def test_a_bank_names_its_network_in_full_and_builds_it_again(run: Path) -> None:
    bank = net2vec_pl.load_bank(run)
    assert bank.header["model"]["name"] == NAME
    assert bank.header["model"]["scaling"] == HALF
    assert (bank.backbone.layer, bank.backbone.shape) == ("blocks.2", (192, 2, 2))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert bank.segment(images).shape[:2] == (2, len(bank.vocabulary))


def test_learn_takes_the_same_name_and_gives_the_same_bank(run: Path, weights: Path) -> None:
    options = {"data.num_images": 60, "data.image_size": 32}
    bank = net2vec_pl.learn(
        NAME, "block.2", data="shapes", weights=weights, protocol="lda", analyses="none",
        beside=(), device="cpu", options=options,
    )  # fmt: skip
    assert bank.header["model"] == net2vec_pl.load_bank(run).header["model"]
    assert torch.equal(bank.file.weight, net2vec_pl.load_bank(run).file.weight)


def test_new_images_are_predicted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(run.parent / "photo.png")
    options = ["task=predict", f"bank={run}", "images=photo.png", "run.dir=masks"]
    assert run_cli(monkeypatch, run.parent, *options) == 0
    with next((run.parent / "masks").glob("*.csv")).open(newline="") as file:
        assert list(csv.DictReader(file))


def test_layers_of_a_network_by_name_are_listed_at_the_size_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["task=layers", f"model={NAME}", "image_size=[32,48]"]
    assert run_cli(monkeypatch, tmp_path, *options) == 0
    said = capsys.readouterr().out
    assert "block.11 (blocks.11)" in said
    assert "2 x 3" in said


def test_the_doctor_says_what_a_run_would_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    few = ["data.num_images=40", "data.image_size=32", "loader.workers=0", "trainer=cpu"]
    doctor(composed("task=doctor", *few, "model=timm", f"model.name={NAME}", "run.dir=new"))
    assert (
        f"warning  the weights of {NAME} are not here; a run downloads "
        "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k from the Hugging Face Hub"
    ) in " ".join(capsys.readouterr().out.split()).replace("warning ", "warning  ", 1)
