"""What is written as COCO's JSON, literally, and that it reads back as it was."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from support.states import same_content
from support.tiny_reader import TinyReader

from net2vec_pl.concepts import Category
from net2vec_pl.data import ConceptReader
from net2vec_pl.data.reader import UNKNOWN, Sample, unknown_label
from net2vec_pl.datasets import CocoReader, ShapesReader
from net2vec_pl.datasets.images.resizing import Resizing
from net2vec_pl.errors import DataError
from net2vec_pl.formats import write_coco


def read_back(folder: Path, given: ConceptReader) -> CocoReader:
    sides = [folder / name for name in ("train.json", "val.json")]
    resizing = Resizing("squash", given.image_size, given.mask_size)
    return CocoReader(sides, folder / "images", resizing=resizing)


class DoubtfulReader(TinyReader):
    """The tiny images with pixels that are unknown, in masks of 3 x 4 for images of 4 x 5."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size, self.mask_size = (4, 5), (3, 4)
        drawn = np.random.default_rng(3)
        labels = [0, 7, 300, UNKNOWN, unknown_label(7), unknown_label(300)]
        self.samples = [
            Sample(
                torch.from_numpy(drawn.integers(0, 256, (3, 4, 5), dtype=np.uint8)),
                torch.from_numpy(drawn.choice(labels, (2, 3, 4)).astype(np.int32)),
                ("object", "object"),
                (("scene", 301),),
            ),
            Sample(
                torch.from_numpy(drawn.integers(0, 256, (3, 4, 5), dtype=np.uint8)),
                torch.from_numpy(drawn.choice([0, 7, UNKNOWN], (1, 3, 4)).astype(np.int32)),
                ("part",),
                (),
            ),
        ]


@pytest.mark.parametrize(
    "given",
    [TinyReader(), DoubtfulReader(), ShapesReader(num_images=60, image_size=48)],
    ids=["tiny", "doubtful", "shapes"],
)
def test_what_is_written_reads_back_as_it_was(tmp_path: Path, given: ConceptReader) -> None:
    write_coco(given, tmp_path / "coco")
    assert same_content(given, read_back(tmp_path / "coco", given))
    assert sorted(p.name for p in (tmp_path / "coco").iterdir()) == [
        "images", "train.json", "val.json",
    ]  # fmt: skip


def written(folder: Path, given: ConceptReader) -> tuple[dict[str, Any], dict[str, Any]]:
    write_coco(given, folder / "coco")
    train, val = (
        json.loads((folder / "coco" / f"{side}.json").read_text()) for side in ("train", "val")
    )
    return train, val


def test_the_json_is_cocos(tmp_path: Path) -> None:
    train, val = written(tmp_path, TinyReader())
    assert train["images"] == [{"id": 1, "file_name": "a/one.png", "height": 4, "width": 4}]
    assert val["images"] == [
        {
            "id": 2,
            "file_name": "b/two.png",
            "height": 4,
            "width": 4,
            "annotated_supercategories": ["object", "part"],
        }
    ]
    assert train["categories"] == [
        {
            "id": 7,
            "name": "door",
            "supercategory": "part",
            "supercategories": ["part", "object"],
        },
        {"id": 300, "name": "house", "supercategory": "object"},
        {"id": 301, "name": "street-s", "supercategory": "scene"},
    ]
    assert train["annotations"][1] == {
        "id": 2,
        "image_id": 1,
        "category_id": 300,
        "iscrowd": 0,
        "area": 12,
        "bbox": [0.0, 0.0, 4.0, 4.0],
        "segmentation": {"size": [4, 4], "counts": "0:2H0"},
    }
    assert train["annotations"][-1] == {"id": 4, "image_id": 1, "category_id": 301}


def test_pycocotools_reads_the_masks(tmp_path: Path) -> None:
    written(tmp_path, TinyReader())
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "coco" / "val.json"))
    (house,) = theirs.loadAnns(theirs.getAnnIds(imgIds=[2]))
    assert theirs.annToMask(house)[:3, :3].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_what_is_unknown_is_a_crowd_of_every_concept_of_the_category(tmp_path: Path) -> None:
    given = TinyReader()
    given.samples[1] = Sample(
        given.samples[1].image,
        torch.tensor([[[300, UNKNOWN], [unknown_label(300), 0]]]).int(),
        ("object",),
        (),
    )
    _, val = written(tmp_path, given)
    found = [(a["category_id"], a["iscrowd"], a["area"]) for a in val["annotations"]]
    assert found == [(7, 1, 4), (300, 0, 4), (300, 1, 8)]
    assert val["annotations"][0]["supercategory"] == "object"


def test_masks_larger_than_images_are_refused(tmp_path: Path) -> None:
    given = TinyReader()
    given.mask_size = (2, 5)
    with pytest.raises(DataError, match=r"masks of tiny are 2x5, larger than its images \(4x4\)"):
        write_coco(given, tmp_path / "coco")


def test_a_side_without_images_has_no_file(tmp_path: Path) -> None:
    given = TinyReader()
    given.is_train = np.array([True, True])
    write_coco(given, tmp_path / "coco")
    assert not (tmp_path / "coco" / "val.json").exists()


def test_a_category_without_anything_keeps_its_place(tmp_path: Path) -> None:
    given = TinyReader()
    given.categories = (Category("texture", pixels=False), *given.categories)
    given.annotated = np.pad(given.annotated, ((0, 0), (1, 0)))
    write_coco(given, tmp_path / "coco")
    assert read_back(tmp_path / "coco", given).categories == given.categories


def test_a_crowd_leaves_out_what_is_there(tmp_path: Path) -> None:
    given = TinyReader()
    maps = torch.tensor([[[300, 0], [0, 0]], [[UNKNOWN, 0], [0, 0]]]).int()
    given.samples[1] = Sample(given.samples[1].image, maps, ("object", "object"), ())
    _, val = written(tmp_path, given)
    found = [(a["category_id"], a["iscrowd"], a["area"]) for a in val["annotations"]]
    assert found == [(7, 1, 4), (300, 0, 4)]
