"""A bank in use: the run's own masks and scores come back, whatever the images come as."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from support import oracles
from support.banks import RUNS
from support.cli import by_name
from support.small_networks import Tower

import net2vec_pl
from net2vec_pl.backbones import FrozenBackbone
from net2vec_pl.backbones.shapesnet import ShapesNet
from net2vec_pl.backbones.weights import weights_digest
from net2vec_pl.datasets.images.any_image import read_any_image
from net2vec_pl.errors import BackboneError, ConfigError, DataError, RunFolderError
from net2vec_pl.inference import Bank
from net2vec_pl.probes import BankFile

RunOf = Callable[[str], Path]


@pytest.fixture(scope="module")
def bank(run_of: RunOf) -> Bank:
    return net2vec_pl.load_bank(run_of("bits"))


def altered(bank: Bank, folder: Path, **header: object) -> Path:
    """Save a bank that says something else of itself."""
    path = folder / "bank.safetensors"
    replace(bank.file, header=bank.file.header | header).save(path)
    return path


# -------------------- what a run found comes back


def test_a_bank_says_what_it_is_of(bank: Bank) -> None:
    concepts, filters = bank.file.weight.shape
    layer = bank.header["layer"]
    assert f"{concepts} concepts over {filters} filters of shapesnet {layer}" in repr(bank)


@pytest.mark.parametrize("name", RUNS)
def test_masks_of_the_val_images_have_exactly_the_set_iou_of_the_run(
    name: str, run_of: RunOf, data: oracles.Broden, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = net2vec_pl.load_bank(run_of(name))
    if name == "best":  # the run kept activations in memory: in half precision
        whole = FrozenBackbone.forward
        monkeypatch.setattr(FrozenBackbone, "forward", lambda *args: whole(*args).half().float())
    rows = [row for row in data["rows"] if row["split"] == "val"]
    found = bank.segment([row["path"] for row in rows]).numpy()
    scores = by_name(run_of(name) / "concepts.csv")
    annotated = bank.header["protocol"]["denominator"] == "annotated"
    for concept, masks in zip(bank.vocabulary, found.swapaxes(0, 1), strict=True):
        inside = union = 0
        for row, mask in zip(rows, masks, strict=True):
            truth = oracles.label_mask(row, concept.number)
            if truth.any() or (annotated and row["cells"][concept.category]):
                inside += int((mask & truth).sum())
                union += int((mask | truth).sum())
        expected = np.float32(inside / union) if union else np.float32(np.nan)
        np.testing.assert_equal(np.float32(scores[concept.name]["multi_val"]), expected)


def test_a_bank_says_the_same_in_a_fresh_process(
    bank: Bank, run_of: RunOf, photos: list[Path], tmp_path: Path
) -> None:
    code = (
        "import sys, torch, net2vec_pl\n"
        "bank = net2vec_pl.load_bank(sys.argv[1])\n"
        "torch.save(bank.logits(sys.argv[3:]), sys.argv[2])\n"
        "assert not {'hydra', 'omegaconf'} & set(sys.modules), 'a bank needs no Hydra'"
    )
    file = tmp_path / "bank.safetensors"
    file.write_bytes((run_of("bits") / file.name).read_bytes())  # no run folder around it
    said = tmp_path / "logits.pt"
    subprocess.run(
        [sys.executable, "-c", code, str(file), str(said), *map(str, photos)],
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(net2vec_pl.__file__).parents[1])},
        cwd=tmp_path,
    )
    torch.testing.assert_close(torch.load(said), bank.logits(photos), rtol=0, atol=1e-6)


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, net2vec_pl; assert 'torch' not in sys.modules and net2vec_pl.__version__"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_classifiers_rank_the_val_images_as_in_the_run(run_of: RunOf, data: oracles.Broden) -> None:
    bank = net2vec_pl.load_bank(run_of("bits") / "classification.safetensors")
    rows = [row for row in data["rows"] if row["split"] == "val"]
    scores = bank.score([row["path"] for row in rows]).numpy()
    rated = 0
    for concept, score in zip(bank.vocabulary, scores.T, strict=True):
        truth = [oracles.present_in(row, concept.number) for row in rows]
        row = by_name(run_of("bits") / "classification.csv")[concept.name]
        if row["status"] == "ok" and np.isfinite(score).all():
            assert float(row["auc"]) == pytest.approx(roc_auc_score(truth, score), abs=1e-6)
            assert float(row["ap"]) == pytest.approx(
                average_precision_score(truth, score), abs=1e-6
            )
            rated += 1
    assert rated > 10
    assert ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all()


def test_a_bank_that_classifies_has_no_masks(run_of: RunOf, photos: list[Path]) -> None:
    bank = net2vec_pl.load_bank(run_of("bits") / "classification.safetensors")
    for ask in (bank.logits, bank.probabilities, bank.segment):
        with pytest.raises(ConfigError, match=r"classifies whole images .* use score\(\)"):
            ask(photos)


def test_a_concept_without_embedding_has_no_score(run_of: RunOf, photos: list[Path]) -> None:
    bank = net2vec_pl.load_bank(run_of("bits") / "classification.safetensors")
    weight = bank.file.weight.clone()
    weight[1] = torch.nan
    hollow = Bank(replace(bank.file, weight=weight))
    missing = hollow.score(photos).isnan()
    assert missing[:, 1].all()
    assert torch.equal(missing[:, 2:], bank.score(photos).isnan()[:, 2:])
    with pytest.raises(ConfigError, match=f"{bank.names[1]} has no nearest concepts"):
        hollow.nearest(bank.names[1])
    assert bank.names[1] not in [n.name for n in hollow.nearest(bank.names[0], k=len(bank))]


# -------------------- masks, probabilities, scores


def test_masks_probabilities_and_scores_tell_of_the_same_logits(
    bank: Bank, photos: list[Path]
) -> None:
    logits, probabilities = bank.logits(photos), bank.probabilities(photos)
    h, w = bank.backbone.shape[1:]
    assert logits.shape == (3, len(bank), h, w)
    assert probabilities.shape == (3, len(bank), *bank.mask_size)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert torch.equal(bank.segment(photos), probabilities > 0.5)
    torch.testing.assert_close(bank.score(photos), logits.sigmoid().amax((2, 3)))
    enlarged = torch.nn.functional.interpolate(
        logits, (30, 20), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(bank.probabilities(photos, size=(30, 20)), enlarged.sigmoid())


def test_concepts_come_in_the_order_asked_for(bank: Bank, photos: list[Path]) -> None:
    all_of_them = bank.logits(photos)
    first, second = bank.names[5], bank.names[2]
    some = bank.logits(photos, [first, second, first])
    torch.testing.assert_close(some, all_of_them[:, [5, 2, 5]])
    torch.testing.assert_close(bank.logits(photos, first), all_of_them[:, [5]])
    assert bank.logits(photos, []).shape[1] == 0


def test_many_images_are_answered_as_each_by_itself(bank: Bank, data: oracles.Broden) -> None:
    paths = [row["path"] for row in data["rows"][:19]]
    alone = torch.cat([bank.logits(path) for path in paths])
    torch.testing.assert_close(bank.logits(paths), alone, rtol=0, atol=1e-6)


# -------------------- images


def test_it_does_not_matter_what_an_image_comes_as(bank: Bank, photos: list[Path]) -> None:
    expected = bank.logits(photos)
    pixels = [read_any_image(path) for path in photos]
    opened = [Image.open(path) for path in photos]
    forms: list[Any] = [
        list(map(str, photos)), opened, pixels, [p.numpy() for p in pixels],
        torch.stack(pixels), torch.stack(pixels).numpy(), [photos[0], opened[1], pixels[2]],
    ]  # fmt: skip
    for images in forms:
        assert torch.equal(bank.logits(images), expected)
    for image in (photos[0], str(photos[0]), opened[0], pixels[0], pixels[0].numpy()):
        torch.testing.assert_close(bank.logits(image), expected[:1], rtol=0, atol=1e-6)


def test_an_array_may_be_a_view_that_runs_backwards_or_may_not_be_written(
    bank: Bank, photos: list[Path]
) -> None:
    rgb = np.asarray(Image.open(photos[0]).convert("RGB"))  # read-only
    bgr = rgb[:, :, ::-1].copy()  # as OpenCV reads it
    expected = bank.logits(photos[0])
    for view in (rgb.transpose(2, 0, 1), bgr[:, :, ::-1].transpose(2, 0, 1)):
        assert torch.equal(bank.logits(view), expected)


def test_no_image_gives_no_answer(bank: Bank) -> None:
    assert bank.logits([]).shape == (0, len(bank), *bank.backbone.shape[1:])
    assert bank.segment([]).shape == (0, len(bank), *bank.mask_size)
    assert bank.score([]).shape == (0, len(bank))


def test_an_image_of_any_size_is_brought_to_that_of_the_run(bank: Bank, photos: list[Path]) -> None:
    larger = Image.open(photos[0]).resize((133, 90))
    fitted = larger.resize(bank.image_size[::-1], Image.Resampling.BILINEAR)
    given, wanted = bank.probabilities(larger), bank.probabilities(fitted)
    assert given.shape == wanted.shape
    assert float((given - wanted).abs().mean()) < 0.01  # PIL rounds otherwise


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((48, 48), np.int64), r"int64 \(48, 48\); give uint8, or floats from 0 to 1"),
        (np.full((3, 48, 48), 200.0, np.float32), "floats from 200 to 200; known are 0 to 1"),
        (torch.full((3, 48, 48), -1.0), "It looks normalised"),
        (torch.zeros(2, 4, 48, 48, dtype=torch.uint8), r"uint8 \(4, 48, 48\); known shapes: \(3,"),
        ([torch.zeros(1, 3, 48, 48, dtype=torch.uint8)], r"\(1, 3, 48, 48\)"),
        (np.zeros((3, 0, 48), np.uint8), r"uint8 \(3, 0, 48\); known shapes"),
        (np.array([None]), r"object \(1,\)"),
        (Path("absent.jpg"), "absent.jpg"),
    ],
)
def test_what_is_no_image_is_refused_with_a_word(bank: Bank, image: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bank.logits(image)  # type: ignore[arg-type]


# -------------------- the network


def test_weights_that_have_moved_can_be_given(
    bank: Bank, photos: list[Path], tmp_path: Path
) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(bank.backbone.network.state_dict(), weights)
    moved = altered(bank, tmp_path, model=bank.header["model"] | {"weights": "gone/weights.pth"})
    with pytest.raises(BackboneError, match=r"gone/weights\.pth: no such file"):
        net2vec_pl.load_bank(moved).logits(photos)
    found = net2vec_pl.load_bank(moved, weights=str(weights))
    assert torch.equal(found.logits(photos), bank.logits(photos))


def test_other_weights_are_refused(bank: Bank, photos: list[Path], tmp_path: Path) -> None:
    state = bank.backbone.network.state_dict()
    state = {k: v + 1e-3 if v.is_floating_point() else v for k, v in state.items()}
    torch.save(state, tmp_path / "others.pth")
    other = Bank(bank.file, weights=str(tmp_path / "others.pth"))
    state = torch.load(tmp_path / "others.pth")
    network = ShapesNet()
    network.load_state_dict(state)
    given = f"{tmp_path / 'others.pth'} have {weights_digest(network)}"
    with pytest.raises(BackboneError, match=said_of_digests(bank, given)):
        other.logits(photos)


def test_a_network_of_ones_own_is_used_if_it_is_that_of_the_run(
    run_of: RunOf, photos: list[Path]
) -> None:
    folder = run_of("after, annotated, own network")
    built, given = net2vec_pl.load_bank(folder), net2vec_pl.load_bank(folder, network=Tower())
    assert torch.equal(given.logits(photos), built.logits(photos))
    assert isinstance(given.backbone.network, Tower)
    with pytest.raises(BackboneError, match=r"unknown layer of custom '.*'") as error:
        net2vec_pl.load_bank(folder, network=ShapesNet()).logits(photos)
    assert "digest" not in str(error.value)


@pytest.mark.parametrize("name", ["head.bias", "first.weight"])
def test_a_network_of_ones_own_with_other_weights_is_refused(
    name: str, run_of: RunOf, photos: list[Path]
) -> None:
    network = Tower()
    with torch.no_grad():
        network.get_parameter(name).view(-1)[0] += 1  # behind the layer or before it
    bank = net2vec_pl.load_bank(run_of("after, annotated, own network"), network=network)
    given = f"the network given has {weights_digest(network)}"
    with pytest.raises(BackboneError, match=said_of_digests(bank, given)):
        bank.logits(photos)


def test_random_weights_that_are_not_those_of_the_run_are_refused(
    run_of: RunOf, photos: list[Path], tmp_path: Path
) -> None:
    bank = net2vec_pl.load_bank(run_of("raw, random weights"))
    other = net2vec_pl.load_bank(altered(bank, tmp_path, weights_digest="0f0f"))
    given = f"random weights have {bank.header['weights_digest']}"
    with pytest.raises(BackboneError, match=said_of_digests(other, given)):
        other.logits(photos)


def said_of_digests(bank: Bank, given: str) -> str:
    """Return a pattern of all that is said of weights that are not the bank's."""
    wanted = f"{bank.header['model']['name']} with weights of digest "
    return re.escape(
        f"the bank was learned on {wanted}{bank.header['weights_digest']}, but {given}. Where its "
        "weights are another file now: weights=FILE."
    )


def test_random_weights_are_drawn_again_without_touching_the_users_own(run_of: RunOf) -> None:
    before = torch.random.get_rng_state()
    bank = net2vec_pl.load_bank(run_of("raw, random weights"))
    assert bank.backbone.digest == bank.header["weights_digest"]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_network_waits_until_it_is_asked(bank: Bank, tmp_path: Path) -> None:
    gone = altered(bank, tmp_path, model=bank.header["model"] | {"weights": "gone.pth"})
    loaded = net2vec_pl.load_bank(gone)
    assert loaded.nearest(loaded.names[0])


# -------------------- concepts


def test_a_bank_is_a_collection_of_its_concepts(bank: Bank) -> None:
    assert list(bank) == bank.names == bank.vocabulary.names
    assert len(bank) == len(bank.names)
    assert bank.names[0] in bank
    assert "no such concept" not in bank
    for row, name in enumerate(bank):
        assert torch.equal(bank[name], bank.file.weight[row])


def test_nearest_concepts_are_those_of_largest_cosine(bank: Bank) -> None:
    weight = bank.file.weight.double().numpy()
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    cosine = unit @ unit[4]
    order = [row for row in np.argsort(-cosine) if row != 4][:6]
    found = bank.nearest(bank.names[4], k=6)
    assert [n.name for n in found] == [bank.names[row] for row in order]
    np.testing.assert_allclose([n.cosine for n in found], cosine[order], atol=1e-6)
    assert len(bank.nearest(bank.names[4], k=10_000)) == len(bank) - 1


def test_arithmetic_adds_unit_vectors_and_leaves_its_terms_out(bank: Bank) -> None:
    weight = bank.file.weight.double().numpy()
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    asked = unit[0] - unit[1]
    cosine = unit @ (asked / np.linalg.norm(asked))
    order = [row for row in np.argsort(-cosine) if row > 1][:4]
    found = bank.arithmetic(f"{bank.names[0]} - {bank.names[1]}", k=4)
    assert [n.name for n in found] == [bank.names[row] for row in order]
    np.testing.assert_allclose([n.cosine for n in found], cosine[order], atol=1e-6)


def test_what_cannot_be_asked_ends_in_a_message(bank: Bank, photos: list[Path]) -> None:
    name = bank.names[0]
    near = name[:-1] + "q"
    for ask in (
        lambda: bank[near],
        lambda: bank.nearest(near),
        lambda: bank.arithmetic(f"{near} + {bank.names[1]}"),
        lambda: bank.segment(photos, [near]),
        lambda: bank.to_conv2d([near]),
    ):
        with pytest.raises(ConfigError, match=f"unknown concept '{near}'. Did you mean .*'{name}'"):
            ask()
    with pytest.raises(ConfigError, match="at least 1"):
        bank.nearest(name, k=0)
    with pytest.raises(ConfigError, match="no answer"):
        bank.arithmetic(f"{name} - {name}")


# -------------------- files


def test_folders_and_files_that_hold_no_bank_are_refused(run_of: RunOf, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"holds no bank\.safetensors"):
        net2vec_pl.load_bank(tmp_path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        net2vec_pl.load_bank(tmp_path / "bank.safetensors")
    with pytest.raises(RunFolderError, match="cannot be read"):
        net2vec_pl.load_bank(run_of("bits") / "concepts.csv")
    several = run_of("bits").parent
    with pytest.raises(RunFolderError, match=f"Did you mean {several}/conv4 or {several}/conv5"):
        net2vec_pl.load_bank(several)


def test_of_a_run_that_only_classifies_the_folder_is_enough(run_of: RunOf, tmp_path: Path) -> None:
    content = (run_of("bits") / "classification.safetensors").read_bytes()
    (tmp_path / "classification.safetensors").write_bytes(content)
    assert not net2vec_pl.load_bank(tmp_path).segments


def test_a_bank_of_a_newer_format_is_refused(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("net2vec_pl.probes.bank_file.FORMAT_VERSION", 99)
    path = altered(bank, tmp_path)
    monkeypatch.undo()
    with pytest.raises(RunFolderError, match="has format 99"):
        net2vec_pl.load_bank(path)


def test_a_bank_file_can_be_used_without_being_saved(bank: Bank) -> None:
    assert isinstance(bank.file, BankFile)
    assert Bank(bank.file).names == bank.names
