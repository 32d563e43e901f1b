"""Real road scenes as COCO: runs lose nothing, polygons little; the same bank from each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.camvid_coco import camvid_as_coco, polygons, runs
from support.cli import QUICK, run_cli
from support.real import first_rows
from support.references import content_of
from support.states import same_content

from net2vec_pl.datasets import BrodenReader, CocoReader
from net2vec_pl.datasets.coco.masks import runs_of, union
from net2vec_pl.datasets.images.resizing import Resizing

SIZES = Resizing("squash", (224, 224), (112, 112))


@pytest.fixture(scope="module")
def few(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camvid")
    return first_rows(shared / "data" / "camvid_broden_224", folder / "few", 24)


def test_runs_give_the_label_maps_exactly(few: Path, tmp_path: Path) -> None:
    given = BrodenReader(few)
    found = CocoReader(camvid_as_coco(few, tmp_path / "coco", runs), few / "images", resizing=SIZES)
    assert found.image_names == given.image_names
    assert same_content(given, found)
    for row in range(len(given)):
        assert torch.equal(given[row].label_maps, found[row].label_maps)


@pytest.mark.parametrize(("step", "least"), [(1, 0.999), (2, 0.9)])
def test_polygons_lose_little(few: Path, step: int, least: float) -> None:
    """Of outlines all points or every second, as an annotator would set them."""
    labels = BrodenReader(few)[0].label_maps[1].numpy().repeat(2, axis=0).repeat(2, axis=1)
    both = either = 0
    for number in {*labels.flatten().tolist()} - {0}:
        mask = labels == number
        outlines = [np.reshape(line, (-1, 2))[::step].flatten().tolist() for line in polygons(mask)]
        found = union(runs_of(outlines, mask.shape, "it"), mask.shape)
        both, either = both + int((found & mask).sum()), either + int((found | mask).sum())
    assert least <= both / either


@pytest.mark.slow
def test_a_run_on_runs_gives_the_same_bank_and_tables(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val = camvid_as_coco(few, tmp_path / "coco", runs)
    options = [option for option in QUICK if not option.startswith("data.")]
    broden = [*options, "data=broden", f"data.root={few}", "run.dir=broden"]
    coco = [
        *options,
        "data=coco",
        f"data.annotations=[{train},{val}]",
        f"data.images={few / 'images'}",
        "data.image_size=224",
        "run.dir=coco",
    ]
    assert run_cli(monkeypatch, tmp_path, *broden) == 0
    assert run_cli(monkeypatch, tmp_path, *coco) == 0
    assert content_of(tmp_path / "broden") == content_of(tmp_path / "coco")
